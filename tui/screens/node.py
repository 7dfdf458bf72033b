"""All about one storage node: who it is, how it is and why, what is on it, what happened to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content

from core.model import NodeDetail
from tui.errors import Failure, Outcome
from tui.lines import Run, line, wrap
from tui.panels import events
from tui.panels.overview import NODE_ARTIFACT_COLUMNS, node_artifact_rows, node_lines
from tui.screens.panels import PanelScreen
from tui.state import HISTORY_MAX
from tui.text import count, safe
from tui.widgets.line_view import LineView
from tui.widgets.live_table import LiveTable
from tui.widgets.tab_strip import Tab, TabStrip


class NodeScreen(PanelScreen):
    PANELS = (("overview", "Overview"), ("artifacts", "Artifacts here"), ("events", "Events"))

    def __init__(self, id: str, name: str) -> None:
        super().__init__()
        self.node = id
        self.node_name = name
        self.current = "overview"
        self._detail: NodeDetail | None = None
        self._trouble = ""
        self._reads: deque[float] = deque(maxlen=HISTORY_MAX)
        self._writes: deque[float] = deque(maxlen=HISTORY_MAX)

    def crumbs(self) -> Sequence[str]:
        return ("nodes", self.node_name)

    def selected_node(self) -> str | None:
        return self.node

    def selected_artifact(self) -> str | None:
        return self.query_one("#artifacts", LiveTable).cursor_key if self.current == "artifacts" else None

    def copyable(self) -> str:
        return self.selected_artifact() or self.node

    def compose_body(self) -> ComposeResult:
        yield TabStrip()
        with Horizontal(id="body"):
            with Vertical(id="left", classes="group"):
                yield LineView(id="overview").add_class("panel")
                yield LineView(id="events", follow=True).add_class("panel")
            yield LiveTable(NODE_ARTIFACT_COLUMNS, id="artifacts", empty="No artifact has a chunk here.").add_class(
                "panel"
            )

    def on_mount(self) -> None:
        super().on_mount()
        node = self.node
        self.dame.link.watch(self, lambda store: store.node(node))

    def on_unmount(self) -> None:
        self.dame.link.unwatch(self)

    def heard(self, answer: Outcome[NodeDetail]) -> None:
        if isinstance(answer, Failure):
            self._trouble = str(answer.error)
        else:
            self._detail, self._trouble = answer, ""
            self._reads.append(answer.node.read_bytes_per_s)
            self._writes.append(answer.node.write_bytes_per_s)
        self.show_state()

    def tabs(self) -> Sequence[Tab]:
        counts = {"artifacts": count(self._detail.artifacts_total)} if self._detail else {}
        return [
            Tab(panel, number, title, counts.get(panel, "")) for number, (panel, title) in enumerate(self.PANELS, 1)
        ]

    def show_state(self) -> None:
        if not self.ready:
            return
        view = self.query_one("#overview", LineView)
        trouble = [line(Run(f" {piece}", "warn")) for piece in wrap(safe(self._trouble), view.inner_width - 2)]
        state = self.dame.state
        if self._detail is not None:
            now_ms = state.shown.status.now_ms if state.shown else self._detail.node.started_ms
            shown = node_lines(self._detail, self._reads, self._writes, now_ms, view.inner_width)
            view.show([*(trouble if self._trouble else []), *shown])
            self.query_one("#artifacts", LiveTable).apply(node_artifact_rows(self._detail))
        else:
            view.show(trouble if self._trouble else [line(Run(" Asking the cluster…", "dim"))])
        mine = [event for event in state.events() if event.node == self.node]
        self.query_one("#events", LineView).show(events.lines(mine))
        self._show_titles(len(mine))
        self.show_tabs()

    def _show_titles(self, happened: int) -> None:
        held = count(self._detail.artifacts_total) if self._detail else "…"
        titles = {
            "overview": f"1 {safe(self.node_name)}",
            "artifacts": f"2 Artifacts here  {held}",
            "events": f"3 Events  {happened}",
        }
        for panel, title in titles.items():
            self.panel(panel).border_title = Content(title)

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        self.dame.commands.open_artifact(event.key)
