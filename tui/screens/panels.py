"""A screen of several panels: side by side where there is room, else one at a time under a tab strip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget

from tui.screens.frame import FrameScreen
from tui.widgets.tab_strip import Tab, TabStrip


class PanelScreen(FrameScreen):
    """Knows which panel is current; the stylesheet shows the others or not by the class `-current`.

    Panels have the class `panel`, containers around them the class `group`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"panel({number})", f"Panel {number}", show=False, id=f"panel.{number}")
            for number in range(1, 6)
        ),
        Binding("tab", "turn(1)", "Next panel", show=False, id="panel.next"),
        Binding("shift+tab", "turn(-1)", "Previous panel", show=False, id="panel.previous"),
    ]

    PANELS: ClassVar[Sequence[tuple[str, str]]] = ()
    """Id of each panel's widget, and its title, in the order of their numbers."""

    current = ""
    """Id of the panel that keys go to: the truth, whatever Textual believes has the focus."""
    _going: str | None = None
    """The panel that is about to get the focus; news of the focus being elsewhere is old meanwhile."""

    def tabs(self) -> Sequence[Tab]:
        return [Tab(panel, number, title) for number, (panel, title) in enumerate(self.PANELS, 1)]

    def panel(self, id: str) -> Widget:
        return self.query_one(f"#{id}")

    def focus_body(self) -> None:
        self.go_to(self.current or self.PANELS[0][0])

    def go_to(self, id: str) -> None:
        """Make a panel current, and focus it once the stylesheet has brought it to light."""
        self._going = id
        self._mark(id)
        self.panel(id).focus()
        self.call_after_refresh(self._arrive)

    def _arrive(self) -> None:
        if self._going is not None and self.ready:
            self.panel(self._going).focus()
            self._going = None

    def leave_bar_for(self, panel: str) -> None:
        self.bar.back_to_commands()
        self.go_to(panel)

    def remember_focus(self) -> None:
        super().remember_focus()
        self._going = None

    def _mark(self, id: str) -> None:
        self.current = id
        shown = self.panel(id)
        for widget in self.query(".panel, .group"):
            widget.set_class(widget in shown.ancestors_with_self, "-current")
        self.set_classes_for(id)
        self.show_tabs()

    def set_classes_for(self, id: str) -> None:
        for panel, _ in self.PANELS:
            self.set_class(panel == id, f"-at-{panel}")

    def show_tabs(self) -> None:
        self.query_one(TabStrip).show(self.tabs(), self.current)

    def action_panel(self, number: int) -> None:
        if number <= len(self.PANELS):
            self.go_to(self.PANELS[number - 1][0])

    def action_turn(self, steps: int) -> None:
        ids = [panel for panel, _ in self.PANELS]
        self.go_to(ids[(ids.index(self.current) + steps) % len(ids)])

    def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        self.go_to(event.key)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click may focus another panel than the current one."""
        if self._going is None and event.widget is self.focused:
            for node in event.widget.ancestors_with_self:
                if isinstance(node, Widget) and node.has_class("panel") and node.id not in (None, self.current):
                    self._mark(str(node.id))
        self.refresh_bindings()
