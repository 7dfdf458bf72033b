"""What all dialogs share: a framed box over the screen, escape to leave, keys held back for a moment after it opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen

from tui.screens.frame import HORIZONTAL, VERTICAL
from tui.widgets.key_footer import KeyFooter

if TYPE_CHECKING:
    from tui.app import DashboardApp

T = TypeVar("T")


class Dialog(ModalScreen[T]):
    """A modal box. The guard is for people whose next keystroke was meant for the screen below."""

    HORIZONTAL_BREAKPOINTS = HORIZONTAL
    VERTICAL_BREAKPOINTS = VERTICAL
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Cancel", id="dialog.close", key_display="esc"),
    ]
    TITLE_TEXT = ""

    guard_s = 0.0
    _opened_s = 0.0

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box", can_focus=False) as box:
            box.border_title = Content(self.TITLE_TEXT)
            yield from self.compose_box()
        yield KeyFooter()

    def compose_box(self) -> ComposeResult:
        raise NotImplementedError

    def action_close(self) -> None:
        if not self.guarded:
            self.dismiss(None)

    # --- the guard ---

    @property
    def guarded(self) -> bool:
        """Whether it is too early to take a key for an answer."""
        return self._now_s() - self._opened_s < self.guard_s

    def on_mount(self) -> None:
        self._opened_s = self._now_s()

    def _now_s(self) -> float:
        return cast("DashboardApp", self.app).clock()

    def on_resize(self, event: events.Resize) -> None:
        if self.focused is None:
            self.focus_next()
