"""A question before something is done. Cancel has the focus; the key that opened it never confirms it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from tui.screens.dialog import Dialog
from tui.text import safe


@dataclass(frozen=True)
class Question:
    title: str
    subject: str
    """The raw name of what it is about."""
    consequence: str
    verb: str
    """What the confirming button says."""


class Confirm(Dialog[bool]):
    """Answers True only for `y` or the button, and only once the guard is over."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes"),
        Binding("n", "answer(False)", "No", id="confirm.no"),
        Binding("left,right", "app.focus_next", "Switch", show=False, id="confirm.switch"),
    ]

    def __init__(self, question: Question, guard_s: float = 0.0) -> None:
        super().__init__()
        self.question = question
        self.guard_s = guard_s
        self.TITLE_TEXT = question.title

    def compose_box(self) -> ComposeResult:
        question = self.question
        yield Static(Content(safe(question.subject)), classes="subject")
        yield Static(Content(safe(question.consequence)), classes="text")
        with Horizontal(classes="buttons"):
            yield Button(Content("Cancel  n"), id="cancel", compact=True)
            yield Button(Content(f"{question.verb}  y"), id="confirm", variant="error", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        self.set_focus(self.query_one("#cancel"))

    def action_answer(self, yes: bool) -> None:
        if not self.guarded:
            self.dismiss(yes)

    def action_close(self) -> None:
        self.action_answer(False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_answer(event.button.id == "confirm")
