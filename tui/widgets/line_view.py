"""A scrolling view of toned lines: the event log, previews, help. It follows its end until someone scrolls up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.lines import Line, width_of
from tui.widgets.toned import Toned


class LineView(ScrollView, Toned, can_focus=True):
    """Lines that do not wrap. With `follow` the newest stays in view until someone scrolls up; the end resumes it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*Toned.COMPONENT_CLASSES}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "Up", show=False, id="lines.up"),
        Binding("down,j", "step(1)", "Down", show=False, id="lines.down"),
        Binding("left", "aside(-8)", "Left", show=False, id="lines.left"),
        Binding("right", "aside(8)", "Right", show=False, id="lines.right"),
        Binding("home,g", "top", "Top", show=False, id="lines.top"),
        Binding("end,G", "bottom", "End", show=False, id="lines.bottom"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="lines.page_up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="lines.page_down"),
    ]

    following: reactive[bool] = reactive(False)

    def __init__(self, *, follow: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: Sequence[Line] = ()
        self.follow = follow
        self._made_from: object = None
        self.set_reactive(LineView.following, follow)

    def show(self, lines: Sequence[Line]) -> None:
        """Replace all lines; the place of scrolling stays, or follows the end."""
        self._made_from = None
        self._replace(lines)

    def show_once(self, made_from: object, make: Callable[[], Sequence[Line]]) -> None:
        """Replace all lines by those made from this value, unless that is what is shown already."""
        if self._made_from != made_from:
            self._made_from = made_from
            self._replace(make())

    def _replace(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self._resize_content()

    def _resize_content(self) -> None:
        widest = max((width_of(line) for line in self.lines), default=0)
        self.virtual_size = Size(widest, len(self.lines))
        if self.following:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)
        self.refresh()

    def on_resize(self) -> None:
        self._resize_content()

    def _go(self, y: float) -> None:
        self.scroll_to(y=y, animate=False, force=True, immediate=True)
        self._decide()

    def _decide(self) -> None:
        """Following is a matter of where the view stands: at its end, or not."""
        self.following = self.follow and self.scroll_y >= self.max_scroll_y

    def action_step(self, lines: int) -> None:
        self._go(self.scroll_y + lines)

    def action_page(self, pages: int) -> None:
        self._go(self.scroll_y + pages * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self._go(0)

    def action_bottom(self) -> None:
        self._go(self.max_scroll_y)

    def action_aside(self, cells: int) -> None:
        self.scroll_to(x=self.scroll_x + cells, animate=False, force=True, immediate=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        event.prevent_default()
        self.action_step(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        event.prevent_default()
        self.action_step(3)

    def render_line(self, y: int) -> Strip:
        width = self.inner_width
        position = y + self.scroll_offset.y
        if position >= len(self.lines):
            return self.paint((), width)
        line = self.lines[position]
        left = self.scroll_offset.x
        return self.paint(line, max(width, width_of(line))).crop(left, left + width)
