"""The dashboard: artifacts, nodes, cluster, events and transfers at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events as textual_events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer

from core.model import ArtifactInfo
from tui.errors import Failure, Outcome
from tui.lines import Run, line
from tui.panels import artifacts, chunk_map, cluster, events, nodes, transfers
from tui.panels.overview import artifact_lines
from tui.screens.panels import PanelScreen
from tui.state import Link
from tui.text import count, safe
from tui.widgets.line_view import LineView
from tui.widgets.live_table import LiveTable, Sort
from tui.widgets.tab_strip import Tab, TabStrip

INSPECT_AFTER_S = 0.25
"""The inspector waits until the cursor rests for so long."""


class DashboardScreen(PanelScreen):
    HAS_LISTS = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape",
            "escape",
            "Clear filter",
            show=False,
            id="filter.clear",
            key_display="esc",
            tooltip="Clear the filter",
        ),
        Binding("q", "quit", "Quit", id="quit", tooltip="Quit"),
        Binding(
            "less_than_sign", "sort(-1)", "Sort by the column before", show=False, id="sort.previous", key_display="<"
        ),
        Binding("greater_than_sign", "sort(1)", "Sort by the next column", show=False, id="sort.next", key_display=">"),
        Binding("I", "invert_sort", "Invert the order", show=False, id="sort.invert"),
        Binding("c", "clear_transfers", "Clear ended transfers", show=False, id="transfers.clear"),
    ]
    PANELS = (
        ("artifacts", "Artifacts"),
        ("nodes", "Nodes"),
        ("cluster", "Cluster"),
        ("events", "Events"),
        ("transfers", "Transfers"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.current = "artifacts"
        self.filters = {"artifacts": "", "nodes": "", "events": ""}
        self.sorts = {"artifacts": artifacts.SORT_FIRST, "nodes": nodes.SORT_FIRST}
        self._inspected: str | None = None
        self._inspect_timer: Timer | None = None
        self._problem: tuple[str, str] | None = None

    def compose_body(self) -> ComposeResult:
        yield TabStrip()
        with Horizontal(id="body"):
            yield LiveTable(artifacts.COLUMNS, id="artifacts", empty=artifacts.EMPTY).add_class("panel")
            with Vertical(id="side", classes="group"):
                yield LineView(id="cluster").add_class("panel")
                yield LiveTable(nodes.COLUMNS, id="nodes", empty=nodes.EMPTY).add_class("panel")
            yield LineView(id="inspector")
        with Horizontal(id="bottom", classes="group"):
            yield LineView(follow=True, id="events").add_class("panel")
            yield LiveTable(transfers.COLUMNS, id="transfers", empty=transfers.EMPTY).add_class("panel")

    def on_mount(self) -> None:
        self.query_one("#inspector").can_focus = False
        super().on_mount()
        self.watch(self.query_one("#events", LineView), "following", self._show_titles, init=False)

    def on_unmount(self) -> None:
        self.dame.link.unwatch(self)

    # --- selection ---

    def table(self, id: str) -> LiveTable:
        return self.query_one(f"#{id}", LiveTable)

    def selected_artifact(self) -> str | None:
        return self._selected("artifacts")

    def selected_node(self) -> str | None:
        return self._selected("nodes")

    def _selected(self, panel: str) -> str | None:
        if self.current != panel or not self.is_mounted:
            return None
        return self.table(panel).cursor_key

    def on_live_table_moved(self, event: LiveTable.Moved) -> None:
        self.refresh_bindings()
        if event.table.id == "artifacts":
            self._inspect_soon()
        self._show_titles()

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        if event.table.id == "artifacts":
            self.dame.commands.open_artifact(event.key)
        elif event.table.id == "nodes":
            self.dame.commands.open_node(event.key)

    # --- drawing ---

    def tabs(self) -> Sequence[Tab]:
        state = self.dame.state
        shown = state.shown
        hurt = nodes.problems(shown) if shown else []
        happened = state.events()
        counts = {
            "artifacts": count(len(shown.artifacts)) if shown else "",
            "nodes": count(len(shown.nodes)) if shown else "",
            "transfers": count(len(self.dame.transfers.active)) if self.dame.transfers.active else "",
        }
        bad = events.warnings(happened[-100:])
        alerts = {"nodes": f"!{len(hurt)}" if hurt else "", "events": f"!{bad}" if bad else ""}
        return [
            Tab(panel, number, title, counts.get(panel, ""), alerts.get(panel, ""))
            for number, (panel, title) in enumerate(self.PANELS, 1)
        ]

    def show_state(self) -> None:
        if not self.ready:
            return
        self._show_artifacts()
        self._show_nodes()
        self._show_cluster()
        self._show_events()
        self.show_transfers()
        self._show_titles()
        self.show_tabs()

    def _show_artifacts(self) -> None:
        table, shown = self.table("artifacts"), self.dame.state.shown
        table.sort = self.sorts["artifacts"]
        table.empty = self._empty("artifacts", artifacts.EMPTY, len(shown.artifacts) if shown else 0)
        table.apply(artifacts.rows(shown, self.filters["artifacts"], table.sort) if shown else [])

    def _show_nodes(self) -> None:
        table, shown = self.table("nodes"), self.dame.state.shown
        table.sort = self.sorts["nodes"]
        table.empty = self._empty("nodes", nodes.EMPTY, len(shown.nodes) if shown else 0)
        table.apply(nodes.rows(shown, self.filters["nodes"], table.sort) if shown else [])

    def _empty(self, panel: str, otherwise: str, total: int) -> str:
        """What an empty table says: why it is empty, and what to do."""
        if self.dame.state.link(self.dame.clock()) is Link.CONNECTING:
            return f"Connecting: {safe(self.dame.state.stage)}…"
        given = self.filters[panel]
        return f"None of {count(total)} matches {safe(given)}; esc clears the filter." if given and total else otherwise

    def _show_cluster(self) -> None:
        view = self.query_one("#cluster", LineView)
        state = self.dame.state
        if state.shown is None:
            view.show([line(Run(f" Connecting: {safe(state.stage)}…", "dim"))])
        else:
            view.show(cluster.lines(state, view.inner_width, 40))

    def _show_events(self) -> None:
        happened, given = self.dame.state.events(), self.filters["events"]
        made_from = (id(happened), len(happened), given)
        self.query_one("#events", LineView).show_once(made_from, lambda: events.lines(happened, given))

    def show_transfers(self) -> None:
        self.table("transfers").apply(transfers.rows(list(self.dame.transfers.all.values())))

    def update_frame(self) -> None:
        super().update_frame()
        if self.ready:
            self.show_transfers()

    def _show_titles(self) -> None:
        if not self.ready:
            return
        shown = self.dame.state.shown
        self._title("artifacts", 1, "Artifacts", len(shown.artifacts) if shown else None)
        self._title("nodes", 2, "Nodes", len(shown.nodes) if shown else None)
        self._head("cluster", "3 Cluster")
        narrowed = f"  / {safe(self.filters['events'])}  esc clears" if self.filters["events"] else ""
        self._head("events", f"4 Events{narrowed}")
        follows = self.query_one("#events", LineView).following
        self._foot("events", "" if follows else "not following; end resumes")
        active = len(self.dame.transfers.active)
        self._head("transfers", f"5 Transfers{f'  {active} running' if active else ''}")

    def _title(self, panel: str, number: int, name: str, total: int | None) -> None:
        table = self.table(panel)
        given = self.filters[panel]
        amount = "" if total is None else f"  {count(total)}"
        if given:
            amount = f"  {count(len(table.rows))}/{count(total or 0)}  / {safe(given)}  esc clears"
        self._head(panel, f"{number} {name}{amount}")
        place = f"{table.cursor_row + 1}/{len(table.rows)}" if table.rows else ""
        self._foot(panel, place if len(table.rows) > table.size.height - 1 else "")

    def _head(self, panel: str, text: str) -> None:
        self.panel(panel).border_title = Content(text)

    def _foot(self, panel: str, text: str) -> None:
        self.panel(panel).border_subtitle = Content(text)

    # --- inspector ---

    def _inspect_soon(self) -> None:
        if self._inspect_timer is not None:
            self._inspect_timer.stop()
        self._inspect_timer = self.set_timer(INSPECT_AFTER_S, self._inspect)

    def _inspect(self) -> None:
        """Ask about the artifact under the cursor, if there is a place to show it."""
        name = self.table("artifacts").cursor_key if self.query_one("#inspector").display else None
        if name == self._inspected:
            return
        self._inspected = name
        if name is None:
            self.dame.link.unwatch(self)
        else:
            self.dame.link.watch(self, lambda store: store.info(name))

    def heard(self, answer: Outcome[ArtifactInfo]) -> None:
        view = self.query_one("#inspector", LineView)
        if isinstance(answer, Failure):
            view.show([line(Run(f" {safe(str(answer.error))}", "dim"))])
        elif answer.name == self._inspected:
            shown = self.dame.state.shown
            rows = chunk_map.lines(answer, shown.nodes if shown else ())
            view.show([*artifact_lines(answer, view.inner_width), (), *rows])
            view.border_title = Content("Selected")

    def on_resize(self, event: textual_events.Resize) -> None:
        super().on_resize(event)
        self.call_after_refresh(self._after_resize)

    def _after_resize(self) -> None:
        if self.ready:
            self._show_cluster()
            self._show_titles()
            self._inspect()

    def _arrive(self) -> None:
        super()._arrive()
        self.call_after_refresh(self._after_resize)  # a panel that was hidden had no width to draw for

    # --- filter and order ---

    def action_filter(self) -> None:
        if self.current not in self.filters:
            self.go_to("artifacts")
        super().action_filter()

    def current_filter(self) -> str:
        return self.filters.get(self.current, "")

    def apply_filter(self, filter: str) -> None:
        self.set_filter(self.current, filter)

    def set_filter(self, panel: str, filter: str) -> None:
        self.filters[panel] = filter
        self.show_state()

    def action_sort(self, steps: int) -> None:
        if self.current in self.sorts:
            keys = [
                column.key for column, _ in self.table(self.current).shown_columns(self.table(self.current).inner_width)
            ]
            at = keys.index(self.sorts[self.current].column) if self.sorts[self.current].column in keys else 0
            self.sort_by(self.current, keys[(at + steps) % len(keys)])

    def action_invert_sort(self) -> None:
        if self.current in self.sorts:
            self.sort_by(self.current, self.sorts[self.current].column)

    def sort_by(self, panel: str, column: str) -> None:
        """Order by a column; the one that orders already turns round."""
        now = self.sorts[panel]
        self.sorts[panel] = Sort(column, not now.reverse if now.column == column else False)
        self.show_state()

    def on_live_table_sort_asked(self, event: LiveTable.SortAsked) -> None:
        if event.table.id in self.sorts:
            self.sort_by(event.table.id, event.column)

    # --- actions ---

    def action_quit(self) -> None:
        self.dame.ask_quit()

    def action_back(self) -> None:
        """Escape takes away what narrows the view, one thing at a time."""
        self.notice.clear()
        if self.filters.get(self.current):
            self.set_filter(self.current, "")

    def action_next_problem(self) -> None:
        """Walk through what is not as it should be: nodes first, then artifacts, round and round."""
        shown = self.dame.state.shown
        found = [("nodes", node) for node in nodes.problems(shown)] if shown else []
        found += [("artifacts", name) for name in artifacts.problems(shown)] if shown else []
        if not found:
            self.say("good", "No problems: every node is up and every chunk has its replicas.")
            return
        at = found.index(self._problem) + 1 if self._problem in found else 0
        self._problem = found[at % len(found)]
        panel, key = self._problem
        if not self.table(panel).select(key):
            self.set_filter(panel, "")
            self.table(panel).select(key)
        self.go_to(panel)

    def action_cancel_transfer(self) -> None:
        key = self.table("transfers").cursor_key if self.current == "transfers" else None
        if key is None or not self.dame.cancel_transfer(int(key)):
            super().action_cancel_transfer()

    def action_clear_transfers(self) -> None:
        self.dame.transfers.clear_ended()
        self.show_transfers()
