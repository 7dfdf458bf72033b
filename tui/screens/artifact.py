"""All about one artifact: overview, versions, where its chunks are, and a look at its content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from core.model import ArtifactInfo, Version
from core.store import ArtifactStore
from tui.errors import Failure, Outcome
from tui.lines import Line, Run, line, wrap
from tui.panels import chunk_map, preview
from tui.panels.overview import VERSION_COLUMNS, artifact_lines, version_rows
from tui.screens.panels import PanelScreen
from tui.text import safe
from tui.widgets.line_view import LineView
from tui.widgets.live_table import LiveTable
from tui.widgets.tab_strip import Tab, TabStrip

Details = tuple[ArtifactInfo, list[Version]]


def read_start(store: ArtifactStore, name: str, version: int | None) -> bytes:
    """The first bytes of a content; the rest stays where it is."""
    with store.open(name, version) as stream:
        return stream.read(preview.PREVIEW_MAX_BYTES)


class ArtifactScreen(PanelScreen):
    """Shows one version; the newest one, whichever that is, unless a version was asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "hexadecimal", "Hex", id="artifact.hex", tooltip="Show the content as text or in hexadecimal"),
    ]
    PANELS = (("overview", "Overview"), ("versions", "Versions"), ("chunks", "Chunks"), ("preview", "Preview"))

    def __init__(self, name: str, version: int | None = None, *, panel: str = "") -> None:
        super().__init__()
        self.artifact = name
        self.version = version
        self.current = panel or "chunks"
        self._details: Details | None = None
        self._trouble = ""
        self._data: Outcome[bytes] | None = None
        self._data_of: int | None = None
        self._hexadecimal = False

    def crumbs(self) -> Sequence[str]:
        return ("artifacts", self.artifact)

    def selected_artifact(self) -> str | None:
        return self.artifact

    def compose_body(self) -> ComposeResult:
        yield TabStrip()
        with Horizontal(id="body"):
            with Vertical(id="left", classes="group"):
                yield LineView(id="overview").add_class("panel")
                yield LiveTable(VERSION_COLUMNS, id="versions").add_class("panel")
                yield LineView(id="preview").add_class("panel")
            yield LineView(id="chunks").add_class("panel")

    def on_mount(self) -> None:
        super().on_mount()
        self._watch()

    def on_unmount(self) -> None:
        self.dame.link.unwatch(self)

    def _watch(self) -> None:
        name, version = self.artifact, self.version
        self.dame.link.watch(self, lambda store: (store.info(name, version), store.history(name)))

    def heard(self, answer: Outcome[Details]) -> None:
        if isinstance(answer, Failure):
            self._trouble = str(answer.error)
        else:
            self._details, self._trouble = answer, ""
            self._fetch_content(answer[0].version)
        self.show_state()

    def _fetch_content(self, version: int) -> None:
        """A version never changes, so its content is read once."""
        if self._data_of == version:
            return
        self._data, self._data_of = None, version
        store, name = self.dame.store, self.artifact
        self.dame.in_background(lambda: read_start(store, name, version), self._content_came)

    def _content_came(self, outcome: Outcome[bytes]) -> None:
        self._data = outcome
        self.show_state()

    # --- drawing ---

    def tabs(self) -> Sequence[Tab]:
        counts = {"versions": str(self._details[0].versions)} if self._details else {}
        return [
            Tab(panel, number, title, counts.get(panel, "")) for number, (panel, title) in enumerate(self.PANELS, 1)
        ]

    def show_state(self) -> None:
        if not self.ready:
            return
        self._show_titles()
        overview = self.query_one("#overview", LineView)
        overview.show([*self._trouble_lines(overview.inner_width), *self._overview(overview.inner_width)])
        self._show_preview()
        if self._details is None:
            return
        info, versions = self._details
        table = self.query_one("#versions", LiveTable)
        table.apply(version_rows(versions))
        chunks = self.query_one("#chunks", LineView)
        nodes = self.dame.state.shown.nodes if self.dame.state.shown else ()
        chunks.show_once((info, nodes), lambda: chunk_map.lines(info, nodes))
        self.show_tabs()

    def _trouble_lines(self, width: int) -> list[Line]:
        return (
            [line(Run(f" {piece}", "warn")) for piece in wrap(safe(self._trouble), width - 2)] if self._trouble else []
        )

    def _overview(self, width: int) -> list[Line]:
        if self._details is not None:
            return artifact_lines(self._details[0], width)
        return [] if self._trouble else [line(Run(" Asking the cluster…", "dim"))]

    def _show_titles(self) -> None:
        chunks = len(self._details[0].chunks) if self._details else 0
        binned = f"  bins of {-(-chunks // chunk_map.ROWS_MAX)}" if chunks > chunk_map.ROWS_MAX else ""
        titles = {
            "overview": "1 Overview",
            "versions": "2 Versions",
            "chunks": f"3 Chunks  {chunks:,}{binned}",
            "preview": "4 Preview",
        }
        for panel, title in titles.items():
            self.panel(panel).border_title = Content(title)
        self.panel("chunks").border_subtitle = Content(chunk_map.LEGEND)

    def _show_preview(self) -> None:
        view = self.query_one("#preview", LineView)
        if self._data is None or self._details is None:
            view.show([line(Run(" Reading…", "dim"))] if not self._trouble else [])
        elif isinstance(self._data, Failure):
            view.show(
                [line(Run(f" {piece}", "warn")) for piece in wrap(safe(str(self._data.error)), view.inner_width - 2)]
            )
        else:
            data, width, hexadecimal = self._data, view.inner_width, self._hexadecimal
            made_from = (self._data_of, width, hexadecimal)
            view.show_once(made_from, lambda: preview.lines(data, width, hexadecimal=hexadecimal))
            text = preview.caption(self._data, self._details[0].size_bytes, hexadecimal=self._hexadecimal)
            view.border_title = Content(f"4 Preview  {text}")

    # --- actions ---

    def action_hexadecimal(self) -> None:
        self._hexadecimal = not self._hexadecimal
        self._show_preview()

    def action_get(self) -> None:
        self.dame.commands.ask_get(self.artifact, self.version)

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        """A version was chosen: show that one."""
        self.version = int(event.key)
        self._watch()
