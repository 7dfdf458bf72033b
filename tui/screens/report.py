"""The answer of a verb that has too much to say for one line, over the screen it was asked from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen

from tui.lines import Line
from tui.screens.frame import HORIZONTAL, VERTICAL
from tui.widgets.key_footer import KeyFooter
from tui.widgets.line_view import LineView


class ReportScreen(ModalScreen[None]):
    HORIZONTAL_BREAKPOINTS = HORIZONTAL
    VERTICAL_BREAKPOINTS = VERTICAL
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close", id="report.close", key_display="esc"),
    ]

    def __init__(self, title: str, lines: Callable[[int], Sequence[Line]]) -> None:
        """lines: makes the page for a width in cells."""
        super().__init__()
        self._heading = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        view = LineView(id="page")
        view.border_title = Content(self._heading)
        view.border_subtitle = Content("↑ ↓ scroll")
        yield view
        yield KeyFooter()

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#page"))

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        view = self.query_one("#page", LineView)
        view.show(self._lines(view.inner_width))
