"""The dialog for uploads and updates: text typed here, or a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Label, Static, TextArea

from core.verbs import VERBS
from tui.screens.dialog import Dialog
from tui.text import safe, size
from tui.widgets.command_bar import printable
from tui.widgets.path_input import PathInput


@dataclass(frozen=True)
class ContentForm:
    """What the dialog asks for. A file path wins over text."""

    verb: str
    name: str
    text: str = ""
    file: str = ""
    replication: int | None = None
    chunk_size: int | None = None
    keep_versions: int | None = None
    """As it was given on the command line; the dialog does not ask for it."""

    def arguments(self) -> dict[str, Any]:
        """As the verb wants them."""
        return {
            "name": self.name,
            "text": None if self.file else self.text,
            "file": self.file or None,
            "replication": self.replication,
            "chunk_size": self.chunk_size,
            "keep_versions": self.keep_versions,
        }


def optional_argument(verb: str, name: str, word: str) -> Any:
    """A field's value by the registry's own rules; empty is None. Raises ValueError that says what it must be."""
    argument = next(argument for argument in VERBS[verb].arguments if argument.name == name)
    return argument.type(word.strip()) if word.strip() else None


class ContentDialog(Dialog[ContentForm]):
    """Answers with the filled form, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j", "submit", "Store it", id="content.submit", key_display="^j"),
    ]

    def __init__(self, form: ContentForm) -> None:
        super().__init__()
        self.form = form
        self.TITLE_TEXT = "Upload a new artifact" if form.verb == "upload" else "Update an artifact"

    def compose_box(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label("Name", markup=False)
            if self.form.verb == "update":
                yield Static(Content(safe(self.form.name)), classes="subject")
            else:
                yield Input(printable(self.form.name), id="name", compact=True, placeholder="models/bert.bin")
        with Horizontal(classes="field"):
            yield Label("File", markup=False)
            yield PathInput(self.form.file, id="file", placeholder="path of a file; or leave empty and type below")
        with Horizontal(classes="field area"):
            yield Label("Text", markup=False)
            yield TextArea(self.form.text, id="text", compact=True, show_line_numbers=False)
        with Horizontal(classes="field"):
            yield Label("Copies", markup=False)
            yield Input(_shown(self.form.replication), id="replication", compact=True, placeholder="3", classes="short")
            yield Label("Chunk size", markup=False, classes="second")
            yield Input(
                _shown(self.form.chunk_size), id="chunk_size", compact=True, placeholder="8MiB", classes="short"
            )
        yield Static("", classes="problem", markup=False)
        with Horizontal(classes="buttons"):
            yield Button(Content("Cancel  esc"), id="cancel", compact=True)
            yield Button(Content("Store  ^j"), id="confirm", variant="primary", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        wanted = "#text" if self.form.name else "#name"
        self.set_focus(self.query_one(wanted))
        self._say()

    # --- checking ---

    def _field(self, id: str) -> str:
        return self.query_one(f"#{id}", Input).value

    def _filled(self) -> ContentForm:
        """The form as it stands. Raises ValueError with a sentence about the first field that is wrong."""
        verb = self.form.verb
        name = self.form.name if verb == "update" else self._field("name")
        if not name:
            raise ValueError("Give the artifact a name.")
        file = self._field("file").strip()
        if file and not Path(file).expanduser().is_file():
            raise ValueError("There is no such file; check the path, or leave it empty and type the content.")
        values = {}
        for field, label in (("replication", "Copies"), ("chunk_size", "Chunk size")):
            try:
                values[field] = optional_argument(verb, field, self._field(field))
            except ValueError as error:
                raise ValueError(f"{label} must be {error}.") from None
        text = self.query_one("#text", TextArea).text
        return replace(self.form, name=name, file=file, text=text, **values)

    def _say(self) -> ContentForm | None:
        """Show what is wrong, or what will be stored."""
        shown = self.query_one(".problem", Static)
        try:
            form = self._filled()
        except ValueError as error:
            shown.update(Content(safe(str(error))))
            shown.remove_class("-fine")
            return None
        shown.update(Content(safe(_summary(form))))
        shown.add_class("-fine")
        return form

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._say()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self._say()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_next()

    def action_submit(self) -> None:
        form = self._say()
        if form is not None:
            self.dismiss(form)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "confirm":
            self.action_submit()
        else:
            self.action_close()


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


def _summary(form: ContentForm) -> str:
    if form.file:
        try:
            length = Path(form.file).expanduser().stat().st_size
        except OSError as error:
            return f"The file can't be looked at: {error.strerror}."
        return f"Stores the file, {size(length)}."
    length = len(form.text.encode("utf-8", "surrogatepass"))
    return f"Stores the text, {size(length)}." if length else "Stores an empty artifact: no file, no text."
