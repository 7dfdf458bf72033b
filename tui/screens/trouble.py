"""The dialog for a failed start: what is wrong, and whether to try again."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from tui.screens.dialog import Dialog
from tui.text import safe


class TroubleDialog(Dialog[bool]):
    """Answers True for another try, False for leaving."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "answer(True)", "Retry", id="trouble.retry"),
        Binding("q", "answer(False)", "Quit", id="trouble.quit"),
        Binding("left,right", "app.focus_next", "Switch", show=False, id="trouble.switch"),
    ]

    def __init__(self, title: str, sentence: str) -> None:
        super().__init__()
        self.TITLE_TEXT = title
        self.sentence = sentence

    def compose_box(self) -> ComposeResult:
        yield Static(Content(safe(self.sentence)), classes="text")
        with Horizontal(classes="buttons"):
            yield Button(Content("Quit  q"), id="quit", compact=True)
            yield Button(Content("Retry  r"), id="retry", variant="primary", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        self.set_focus(self.query_one("#retry"))

    def action_answer(self, retry: bool) -> None:
        self.dismiss(retry)

    def action_close(self) -> None:
        self.dismiss(False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "retry")
