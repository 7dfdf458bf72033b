"""The dialog that asks where to write an artifact."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static

from tui.screens.dialog import Dialog
from tui.text import safe
from tui.widgets.path_input import PathInput


def suggested_output(name: str) -> str:
    """A file name for an artifact: the last part of its name, without what no one can type."""
    last = PurePosixPath(name).name
    return "".join(char for char in last if char.isprintable())[:200] or "artifact"


class GetDialog(Dialog[str]):
    """Answers with the path, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j", "submit", "Write", id="get.submit", key_display="^j"),
    ]

    def __init__(self, name: str, version: int | None) -> None:
        super().__init__()
        self.artifact = name
        self.version = version
        self.TITLE_TEXT = "Write an artifact to a file"

    def compose_box(self) -> ComposeResult:
        which = f"version {self.version}" if self.version else "the newest version"
        yield Static(Content(safe(self.artifact)), classes="subject")
        yield Static(Content(f"{which}, to this file:"), classes="text")
        yield PathInput(suggested_output(self.artifact), id="output")
        yield Static("", classes="problem", markup=False)
        with Horizontal(classes="buttons"):
            yield Button(Content("Cancel  esc"), id="cancel", compact=True)
            yield Button(Content("Write  ^j"), id="confirm", variant="primary", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        self.set_focus(self.query_one(PathInput))
        self._check()

    def _check(self) -> str:
        """What stands in the way; a file that will be replaced is only mentioned."""
        given = self.query_one(PathInput).value
        problem = "" if given.strip() else "Give the path of a file."
        note = ""
        if given.strip():
            path = Path(given).expanduser()
            note = f"Replaces the file that is there: {path}" if path.is_file() else f"Writes {path.absolute()}"
            problem = "That is a directory; name a file in it." if path.is_dir() else ""
        shown = self.query_one(".problem", Static)
        shown.update(Content(safe(problem or note)))
        shown.set_class(not problem, "-fine")
        return problem

    def on_input_changed(self, event: Input.Changed) -> None:
        self._check()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        if not self._check():
            self.dismiss(self.query_one(PathInput).value)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "confirm":
            self.action_submit()
        else:
            self.action_close()
