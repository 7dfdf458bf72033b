"""The dashboard: the app that owns state, poller and transfers, and its way in."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.filter import LineFilter
from textual.notifications import SeverityLevel
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from core.doctor.finding import DoctorReport
from core.model import Severity
from core.store import ArtifactStore
from core.verbs import VERBS, Verb, complete
from tui.cluster_link import Answered, ClusterLink, Connect, Connected, StageReached, start_thread
from tui.command_history import CommandHistory, default_path
from tui.commands import Commands
from tui.errors import Failure, Outcome
from tui.guard import ControlFilter
from tui.lasting import StepReached
from tui.palette import DameCommands
from tui.poller import FetchFailed, SnapshotFetched, Watched
from tui.screens.confirm import Confirm, Question
from tui.screens.dashboard import DashboardScreen
from tui.screens.frame import FrameScreen
from tui.screens.help import HelpScreen
from tui.screens.trouble import TroubleDialog
from tui.state import AppState, Link
from tui.terminal import default_log_path, has_terminal, own_terminal
from tui.text import safe
from tui.theme import DARK, FALLBACKS, LIGHT
from tui.transfers import TransferEnded, TransferProgressed, Transfers
from tui.widgets.command_bar import Candidates

T = TypeVar("T")

GUARD_S = 0.3
"""How long a question takes no answer after it opens."""
QUIT_WAIT_S = 2.0
CONNECTING_WAIT_S = 30.0
CLIPBOARD_MAX_BYTES = 74_994
"""More than this is dropped by terminals without a word."""


class DashboardApp(App[int]):
    """Draws the first picture at once; the cluster is connected to in a thread."""

    TITLE = "DAME"
    CSS_PATH = "styles/dashboard.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {DameCommands}
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "ask_quit", "Quit", show=False, priority=True, id="app.quit", tooltip="Quit"),
        Binding("ctrl+c", "ask_quit", "Quit", show=False, priority=True, id="app.interrupt", tooltip="Quit"),
    ]

    def __init__(
        self,
        connect: Connect,
        *,
        examine: Callable[[], DoctorReport],
        place: str = "",
        history: CommandHistory | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        poll_interval_s: float = 1.0,
        guard_s: float = GUARD_S,
    ) -> None:
        super().__init__()
        self.examine = examine
        """The doctor's visit; for use in worker threads only."""
        self.link = ClusterLink(connect, self.post_message, clock, poll_interval_s)
        self._controls = ControlFilter()
        self._wall_clock = wall_clock
        self._quitting = False
        self._trouble = ""
        self._dashboard = DashboardScreen()
        self.guard_s = guard_s
        self.clock = clock
        self.state = AppState(place=place)
        self.history = history or CommandHistory(None)
        self.transfers = Transfers(start_thread, self.post_message, clock)
        self.commands = Commands(self)
        self.command_hint = "command   " + " ".join(
            name
            for name in VERBS
            if name in ("upload", "update", "get", "delete", "list", "status", "nodes", "node", "help", "exit")
        )

    # --- start ---

    def get_default_screen(self) -> Screen[None]:
        return self._dashboard

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return FALLBACKS

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name
        self.set_interval(1.0, self.tick)
        self.connect()

    def connect(self) -> None:
        self.state.stage = "starting"
        self.link.connect()

    def on_stage_reached(self, event: StageReached) -> None:
        self.state.stage = event.stage
        self.update_views()

    def on_connected(self, event: Connected) -> None:
        outcome = event.outcome
        if isinstance(outcome, Failure):
            self.state.stage = "failed"
            self.update_views()
            self._trouble = str(outcome.error)
            self.open_dialog(TroubleDialog("The cluster can't be reached", self._trouble), self._after_trouble)
            return
        self.state.place = self.state.place or outcome.description
        self.state.stage = "asking the cluster"
        self.link.adopt(outcome)
        self.update_views()

    def _after_trouble(self, retry: bool | None) -> None:
        if retry:
            self.connect()
        else:
            self.exit(1, message=Text(safe(self._trouble)))

    # --- the cluster ---

    @property
    def connected(self) -> bool:
        return self.link.connected

    @property
    def store(self) -> ArtifactStore:
        """For use in worker threads only: every call blocks."""
        return self.link.store

    @property
    def is_stale(self) -> bool:
        return self.state.link(self.clock()) is Link.STALE

    def in_background(self, call: Callable[[], T], then: Callable[[Outcome[T]], None]) -> None:
        """Run a blocking call in a thread, and what follows on the event loop."""
        self.link.in_background(call, then)

    def on_answered(self, event: Answered) -> None:
        event.then()

    def on_watched(self, event: Watched) -> None:
        screen = event.key
        if isinstance(screen, FrameScreen) and screen.ready:
            screen.heard(event.answer)

    def on_snapshot_fetched(self, event: SnapshotFetched) -> None:
        self.state.accept(event.snapshot)
        self.update_views()

    def on_fetch_failed(self, event: FetchFailed) -> None:
        if not self.state.trouble:
            self.tell(str(event.error), "warning")
        self.state.trouble = str(event.error)
        self.update_views()

    @property
    def now_ms(self) -> int:
        """The NameNode's time as of the newest picture; before the first one, this machine's."""
        latest = self.state.latest
        return latest.status.now_ms if latest else round(self._wall_clock() * 1000)

    def refresh_now(self) -> None:
        self.link.wake()

    # --- views ---

    @property
    def front(self) -> FrameScreen:
        """The topmost full screen, whatever dialog is over it."""
        frames = (screen for screen in reversed(self.screen_stack) if isinstance(screen, FrameScreen))
        return next(frames, self._dashboard)

    @property
    def is_answering(self) -> bool:
        """Whether a dialog is open, or something is being written: not the time to put a screen over it."""
        return isinstance(self.screen, ModalScreen) or isinstance(self.screen.focused, Input)

    def update_views(self) -> None:
        self.front.update_view()

    def tick(self) -> None:
        """Ages grow by themselves, and a stalled transfer reports nothing."""
        self.transfers.catch_up()
        self.front.update_frame()
        self.commands.show_reports()

    def open_screen(self, screen: FrameScreen) -> None:
        self.push_screen(screen)

    def open_dialog(self, dialog: ModalScreen[T], then: Callable[[T | None], None]) -> None:
        """Open a dialog, unless one is open already."""
        if not isinstance(self.screen, ModalScreen):
            self.push_screen(dialog, then)

    def show_panel(self, panel: str, filter: str | None = None) -> None:
        """Go to a panel of the dashboard, from wherever we are."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        dashboard = self.front
        assert isinstance(dashboard, DashboardScreen)
        if filter is not None:
            dashboard.set_filter(panel, filter)
        dashboard.leave_bar_for(panel)

    def show_help(self, verb: str = "") -> None:
        if not isinstance(self.screen, ModalScreen):
            self.push_screen(HelpScreen(self.screen.active_bindings, verb))

    def toggle_pause(self) -> None:
        self.state.toggle_pause(self.clock())
        self.update_views()

    # --- telling ---

    def tell(self, text: str, severity: Severity = "info") -> None:
        self.state.tell(round(self._wall_clock() * 1000), text, severity)

    def did(self, text: str, warnings: Sequence[str] = ()) -> None:
        """Something was done: say it under the command bar, and in the log."""
        for warning in warnings:
            self.tell(warning, "warning")
        self.tell(text)
        if warnings:
            self.front.say("warn", f"{text} {' '.join(warnings)}")
        else:
            self.front.say("good", text)
        self.update_views()

    def did_not(self, text: str) -> None:
        """Something was cancelled: no failure, and nothing done."""
        self.tell(text, "warning")
        self.front.say("warn", text)
        self.update_views()

    def failed(self, logged: str, shown: str) -> None:
        self.tell(logged, "error")
        self.complain(shown)
        self.update_views()

    def complain(self, text: str, position: int | None = None) -> None:
        """Say what is wrong under the command bar; it stays until the next command."""
        self.front.say("bad", text, position)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        super().notify(safe(message), title=safe(title), severity=severity, timeout=timeout, markup=markup)

    def copy(self, text: str) -> None:
        size = len(text.encode("utf-8", "replace"))
        if not text:
            self.complain("Nothing is selected that could be copied.")
        elif size > CLIPBOARD_MAX_BYTES:
            self.complain("That is too long for the terminal's clipboard.")
        else:
            self.copy_to_clipboard(text.encode("utf-8", "replace").decode())
            self.front.say("good", f"Sent to the terminal's clipboard: {text}")

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [self._controls, *super().get_line_filters()]

    # --- the command bar ---

    def leave_bar(self) -> None:
        """A command was understood: its line goes, and keys mean keys again."""
        self.front.bar.put("")
        self.front.return_focus()

    def prepare_command(self, verb: Verb) -> None:
        """Put a verb into the command bar, to be finished there; one that needs nothing more runs."""
        if any(not argument.optional for argument in verb.arguments):
            self.front.open_bar(f"{verb.name} ")
        else:
            self.commands.submit(verb.name)

    async def run_key(self, screen: FrameScreen, action: str) -> None:
        await screen.run_action(action)

    async def complete_line(self, line: str, cursor: int) -> Candidates:
        """In a thread, since paths are looked up on the disk."""
        shown = self.state.shown
        names = [artifact.name for artifact in shown.artifacts if artifact.name.isprintable()] if shown else []
        nodes = [node.name for node in shown.nodes] if shown else []
        found = await asyncio.to_thread(complete, line, cursor, names, nodes)
        return Candidates(found.start, found.candidates)

    # --- transfers ---

    def on_transfer_progressed(self, event: TransferProgressed) -> None:
        self.transfers.progressed(event)
        self.front.update_frame()

    def on_transfer_ended(self, event: TransferEnded) -> None:
        transfer = self.transfers.ended(event)
        outcome = event.outcome
        if transfer.state == "done" and not isinstance(outcome, Failure):
            self.did(transfer.outcome, outcome.warnings)
        elif transfer.state == "cancelled":
            self.did_not(transfer.outcome)
        else:
            self.failed(transfer.outcome, transfer.outcome)
        self.refresh_now()
        self.update_views()

    def cancel_transfer(self, id: int) -> bool:
        cancelled = self.transfers.cancel(id)
        self.front.update_frame()
        return cancelled

    # --- what takes long ---

    def on_step_reached(self, _: StepReached) -> None:
        self.commands.lasting.heard()
        self.commands.show_lasting()

    # --- the end ---

    def action_ask_quit(self) -> None:
        self.ask_quit()

    def ask_quit(self) -> None:
        """Leave; with transfers running only after a question."""
        running = len(self.transfers.active)
        if not running or self._quitting:
            self.leave()
            return
        question = Question(
            "Quit while transfers run?",
            f"{running} running",
            "They are cancelled; nothing is left half-written.",
            "Quit",
        )
        while isinstance(self.screen, ModalScreen):
            self.pop_screen()
        self.open_dialog(Confirm(question, self.guard_s), lambda yes: self.leave() if yes else None)

    def leave(self) -> None:
        """Cancel what runs, wait for it a moment, and go."""
        if self._quitting:
            return
        self._quitting = True
        self.transfers.cancel_all()
        self.commands.lasting.cancel()
        self.run_worker(self._leave(), group="leave", exclusive=True)

    async def _leave(self) -> None:
        end_s = self.clock() + QUIT_WAIT_S
        while self.transfers.active and self.clock() < end_s:
            await asyncio.sleep(0.02)
        self.exit(0)

    def on_unmount(self) -> None:
        self.link.stop()


def run_dashboard(address: str | None, data_dir: Path | None, nodes: int | None) -> int:
    """Open the dashboard and stay in it; the answer is the exit code."""
    if not has_terminal():
        sys.stderr.write("The dashboard needs a terminal; without one, name a verb, such as `list`.\n")
        return 2
    log_path = default_log_path()
    stores: list[ArtifactStore] = []
    connecting = threading.Lock()

    def connect(on_stage: Callable[[str], None]) -> ArtifactStore:
        from core.store import connect as open_store

        with connecting:
            store = open_store(address, data_dir=data_dir, nodes=nodes, on_stage=on_stage)
            stores.append(store)
            return store

    def examine_cluster() -> DoctorReport:
        from core.doctor.examination import examine

        return examine(address, data_dir)

    app = DashboardApp(connect, examine=examine_cluster, place=address or "", history=CommandHistory(default_path()))
    with own_terminal(log_path):
        code = app.run()
        if connecting.acquire(timeout=CONNECTING_WAIT_S):  # a cluster that is still starting must be closed, too
            for store in stores:
                store.close()
    if app.return_code:
        sys.stderr.write(f"The log is in {log_path}\n")
    return app.return_code or code or 0
