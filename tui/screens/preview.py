"""What `get NAME` shows: the first part of the content, and the offer to write all of it to a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from core.model import ArtifactInfo
from core.store import ArtifactStore
from tui.errors import Failure, Outcome
from tui.lines import Run, line, wrap
from tui.panels import preview
from tui.screens.artifact import read_start
from tui.screens.frame import FrameScreen
from tui.text import safe
from tui.widgets.line_view import LineView


def _fetch(store: ArtifactStore, name: str, version: int | None) -> tuple[ArtifactInfo, bytes]:
    info = store.info(name, version)
    return info, read_start(store, name, info.version)


class PreviewScreen(FrameScreen):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "hexadecimal", "Hex", id="preview.hex", tooltip="Show the content as text or in hexadecimal"),
        Binding("enter", "details", "Details", id="preview.details", key_display="↵", tooltip="All about the artifact"),
    ]

    def __init__(self, name: str, version: int | None) -> None:
        super().__init__()
        self.artifact = name
        self.version = version
        self._fetched: Outcome[tuple[ArtifactInfo, bytes]] | None = None
        self._hexadecimal = False

    def crumbs(self) -> Sequence[str]:
        return ("get", self.artifact)

    def selected_artifact(self) -> str | None:
        return self.artifact

    def compose_body(self) -> ComposeResult:
        yield LineView(id="preview").add_class("panel")

    def focus_body(self) -> None:
        self.set_focus(self.query_one("#preview"))

    def on_mount(self) -> None:
        super().on_mount()
        store, name, version = self.dame.store, self.artifact, self.version
        self.dame.in_background(lambda: _fetch(store, name, version), self._came)

    def _came(self, outcome: Outcome[tuple[ArtifactInfo, bytes]]) -> None:
        self._fetched = outcome
        if isinstance(outcome, Failure):
            self.say("bad", str(outcome.error))
        self.show_state()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.call_after_refresh(self.show_state)

    def show_state(self) -> None:
        if not self.ready:
            return
        view = self.query_one("#preview", LineView)
        if self._fetched is None:
            view.show([line(Run(" Reading…", "dim"))])
        elif isinstance(self._fetched, Failure):
            view.show(
                [line(Run(f" {piece}", "warn")) for piece in wrap(safe(str(self._fetched.error)), view.inner_width)]
            )
        else:
            info, data = self._fetched
            width, hexadecimal = view.inner_width, self._hexadecimal
            view.show_once((width, hexadecimal), lambda: preview.lines(data, width, hexadecimal=hexadecimal))
            text = preview.caption(data, info.size_bytes, hexadecimal=self._hexadecimal)
            view.border_title = Content(f"{safe(info.name)} v{info.version}  {text}")
            view.border_subtitle = Content("w writes all of it to a file")

    def action_hexadecimal(self) -> None:
        self._hexadecimal = not self._hexadecimal
        self.show_state()

    def action_details(self) -> None:
        self.dame.commands.open_artifact(self.artifact, self.version)

    def action_get(self) -> None:
        self.dame.commands.ask_get(self.artifact, self.version)
