"""From a command line or a key to what happens: the verbs' side of the dashboard.

Every verb runs by the registry, in a worker thread; here is only decided where its result is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from core.doctor.finding import DoctorReport, summary
from core.errors import Cancelled, UsageError
from core.model import Version
from core.verbs import VERBS, Context, Invocation, Result, parse_line
from tui.errors import Failure, Outcome
from tui.lasting import Lasting
from tui.lines import Line
from tui.panels import doctor, fsck, trash
from tui.screens.artifact import ArtifactScreen
from tui.screens.confirm import Confirm, Question
from tui.screens.content import ContentDialog, ContentForm
from tui.screens.frame import FrameScreen
from tui.screens.get import GetDialog
from tui.screens.node import NodeScreen
from tui.screens.preview import PreviewScreen
from tui.screens.report import ReportScreen
from tui.text import safe

if TYPE_CHECKING:
    from tui.app import DashboardApp


class Commands:
    """What can be asked of the dashboard. Lives on the event loop's thread; blocking calls go to workers."""

    def __init__(self, app: DashboardApp) -> None:
        self._app = app
        self.lasting = Lasting(app.post_message)
        self._reports: list[ReportScreen] = []
        """Those that wait until nobody is asked anything."""
        self._shown: dict[str, Callable[[argparse.Namespace], None]] = {
            "list": lambda given: app.show_panel("artifacts", filter=given.filter or ""),
            "nodes": lambda given: app.show_panel("nodes", filter=""),
            "status": lambda given: app.show_panel("cluster"),
            "events": lambda given: app.show_panel("events"),
            "help": lambda given: app.show_help(given.verb or ""),
            "exit": lambda given: app.ask_quit(),
            "restore-catalog": lambda given: app.complain(
                "`restore-catalog` is for a cluster that is stopped; run it in a shell: dame restore-catalog"
            ),
            "up": lambda given: app.complain(
                "`up` keeps a cluster running without a screen; run it in a shell: dame up"
            ),
        }

    # --- lines ---

    def submit(self, line: str) -> None:
        """Do what a line says, or say what is wrong with it."""
        app = self._app
        app.history.add(line)
        try:
            invocation = parse_line(line)
        except UsageError as error:
            if (form := _form_for(line)) is not None:
                app.leave_bar()
                self._open_form(form)
                return
            app.complain(str(error), error.details.get("position"))
            return
        app.leave_bar()
        self.run(invocation)

    def run(self, invocation: Invocation) -> None:
        name, given = invocation.verb.name, invocation.arguments
        if name in self._shown:
            self._shown[name](given)
        elif not self._app.connected:
            self._app.complain("The cluster is not connected yet; wait until it is, then repeat the command.")
        elif name == "doctor":
            self._examine()
        elif name == "purge":
            self._ask_purge(invocation)
        elif name == "get" and given.output is None:
            self._app.open_screen(PreviewScreen(given.name, given.version))
        elif invocation.verb.transfers:
            self.transfer(invocation)
        elif invocation.verb.lasts:
            self._begin_lasting(invocation)
        else:
            self._call(invocation)

    def _call(self, invocation: Invocation) -> None:
        store = self._app.store
        self._app.in_background(
            lambda: invocation.run(Context(store)), lambda outcome: self._came_back(invocation, outcome)
        )

    def _came_back(self, invocation: Invocation, outcome: Outcome[Result]) -> None:
        if isinstance(outcome, Failure):
            self._app.failed(f"{invocation.verb.name}: {outcome.error}", str(outcome.error))
            return
        name = invocation.verb.name
        if name == "delete":
            self._deleted(outcome.value)
        elif outcome.kind == "info":
            self.open_artifact(invocation.arguments.name, invocation.arguments.version)
        elif outcome.kind == "versions":
            self._app.open_screen(ArtifactScreen(invocation.arguments.name, panel="versions"))
        elif outcome.kind == "fsck":
            self._show_fsck(outcome)
        elif outcome.kind == "trash" and outcome.value:
            rows, now_ms = outcome.value, self._app.now_ms
            self._show_report("trash", lambda width: trash.lines(rows, now_ms, width))
        elif outcome.kind == "node":
            self._app.open_screen(NodeScreen(outcome.value.node.id, outcome.value.node.name))
        else:
            self._app.did(outcome.text, outcome.warnings)
        if invocation.verb.mutates:
            self._app.refresh_now()

    def _show_fsck(self, outcome: Result) -> None:
        self._app.tell(outcome.text, "warning" if outcome.failed else "info")
        report, verdict = outcome.value, outcome.text
        self._show_report("fsck", lambda width: fsck.lines(report, verdict, width))

    def _examine(self) -> None:
        """The doctor takes some seconds: it knocks, asks and waits for answers."""
        self._app.front.say("accent", "The doctor is looking around.")
        self._app.in_background(self._app.examine, self._examined)

    def _examined(self, outcome: Outcome[DoctorReport]) -> None:
        if isinstance(outcome, Failure):
            self._app.failed(f"doctor: {outcome.error}", str(outcome.error))
            return
        self._app.did(summary(outcome))
        self._show_report("doctor", lambda width: doctor.lines(outcome, width))

    def _show_report(self, title: str, lines: Callable[[int], Sequence[Line]]) -> None:
        """At once, or when the dialog that is open or the line that is being written is done with."""
        self._reports.append(ReportScreen(title, lines))
        self.show_reports()

    def show_reports(self) -> None:
        """Open a report that waits, if the screen is free for it."""
        if self._reports and not self._app.is_answering:
            self._app.push_screen(self._reports.pop(0))

    def _deleted(self, version: Version) -> None:
        self._app.state.deleted.append(version.name)
        self._app.did(f"Deleted {safe(version.name)}; press z or type undelete to bring it back.", ())

    def open_artifact(self, name: str, version: int | None = None) -> None:
        self._app.open_screen(ArtifactScreen(name, version))

    def open_node(self, id: str) -> None:
        self._app.open_screen(NodeScreen(id, self._node_name(id)))

    # --- what takes long ---

    def _begin_lasting(self, invocation: Invocation) -> None:
        app, lasting = self._app, self.lasting
        if lasting.verb:
            app.complain(f"`{lasting.verb}` is still under way; wait until it ends, or end it with esc.")
            return
        context = Context(app.store, steps=lasting.told, cancel=lasting.begin(invocation.verb.name))
        self.show_lasting()
        app.in_background(lambda: invocation.run(context), lambda outcome: self._ended(invocation, outcome))

    def show_lasting(self) -> None:
        """How far it is, under the command bar, unless something else stands there."""
        front = self._app.front
        if self.lasting.verb and front.notice_is_free(self.lasting.opening):
            front.say("accent", self.lasting.sentence())

    def end_lasting(self) -> bool:
        """Let it end early; False if there is nothing to end."""
        ending = self.lasting.cancel()
        if ending:
            self._app.front.say("accent", self.lasting.sentence())
        return ending

    def _ended(self, invocation: Invocation, outcome: Outcome[Result]) -> None:
        self._forget_lasting()
        if isinstance(outcome, Failure) and isinstance(outcome.error, Cancelled):
            self._app.did_not(str(outcome.error))
        else:
            self._came_back(invocation, outcome)

    def _forget_lasting(self) -> None:
        """What was said of its steps goes, wherever it stands."""
        for screen in self._app.screen_stack:
            if isinstance(screen, FrameScreen) and screen.notice_is_free(self.lasting.opening):
                screen.notice.clear()
        self.lasting.ended()

    # --- transfers ---

    def transfer(self, invocation: Invocation) -> None:
        store = self._app.store
        self._app.transfers.start(
            "down" if invocation.verb.name == "get" else "up",
            invocation.arguments.name,
            lambda progress, cancel: invocation.run(Context(store, progress=progress, cancel=cancel)),
        )
        self._app.update_views()

    # --- keys ---

    def ask_upload(self) -> None:
        self._open_form(ContentForm("upload", ""))

    def ask_update(self, name: str) -> None:
        self._open_form(ContentForm("update", name))

    def _open_form(self, form: ContentForm) -> None:
        self._app.open_dialog(ContentDialog(form), self._form_filled)

    def _form_filled(self, form: ContentForm | None) -> None:
        if form is not None:
            self.run(_invocation(form.verb, **form.arguments()))

    def ask_get(self, name: str, version: int | None = None) -> None:
        self._app.open_dialog(GetDialog(name, version), self._output_chosen(name, version))

    def _output_chosen(self, name: str, version: int | None) -> Callable[[str | None], None]:
        def chosen(output: str | None) -> None:
            if output is not None:
                self.run(_invocation("get", name=name, version=version, output=output))

        return chosen

    def ask_delete(self, name: str) -> None:
        artifact = self._app.state.shown.artifact(name) if self._app.state.shown else None
        versions = f"Its newest is version {artifact.version}. " if artifact else ""
        question = Question(
            "Delete this artifact?",
            name,
            f"{versions}All its versions go to the trash; z or undelete brings them back while they are there.",
            "Delete",
        )
        self._confirm(question, lambda: self.run(_invocation("delete", name=name)))

    def _ask_purge(self, invocation: Invocation) -> None:
        question = Question(
            "Purge this artifact?",
            invocation.arguments.name,
            "It was deleted, and all its versions leave the trash for good: nothing brings them back.",
            "Purge",
        )
        self._confirm(question, lambda: self._call(invocation))

    def _confirm(self, question: Question, then: Callable[[], None]) -> None:
        self._app.open_dialog(Confirm(question, self._app.guard_s), lambda yes: then() if yes else None)

    def undelete_last(self) -> None:
        if self._app.state.deleted:
            self.run(_invocation("undelete", name=self._app.state.deleted.pop()))

    def ask_node(self, verb: str, node: str) -> None:
        question = Question(
            "Make this storage node fail?",
            self._node_name(node),
            "It stops serving and beating until it is recovered; what it holds is copied elsewhere.",
            "Fail",
        )
        self._confirm(question, lambda: self.change_node(verb, node))

    def ask_drain(self, node: str) -> None:
        info = self._app.state.shown.node(node) if self._app.state.shown else None
        if info is not None and info.state in ("draining", "drained"):
            self.change_node("undrain", node)
            return
        question = Question(
            "Drain this storage node?",
            self._node_name(node),
            "Everything it holds is copied to other nodes, and it takes nothing new, until the drain is taken back.",
            "Drain",
        )
        self._confirm(question, lambda: self.change_node("drain", node))

    def change_node(self, verb: str, node: str) -> None:
        self.run(_invocation(verb, node=node))

    def _node_name(self, id: str) -> str:
        info = self._app.state.shown.node(id) if self._app.state.shown else None
        return info.name if info else id


def _invocation(verb: str, **given: Any) -> Invocation:
    """A command built from a dialog: every argument of the verb, those not given as None."""
    known = {argument.name: None for argument in VERBS[verb].arguments}
    assert given.keys() <= known.keys()
    return Invocation(VERBS[verb], argparse.Namespace(**{**known, **given}))


def _form_for(line: str) -> ContentForm | None:
    """The dialog for an upload or update that lacks nothing but its content."""
    try:
        given = parse_line(f"{line} --file -")
    except UsageError:
        return None
    if given.verb.name not in ("upload", "update"):
        return None
    arguments = given.arguments
    return ContentForm(
        given.verb.name,
        arguments.name,
        replication=arguments.replication,
        chunk_size=arguments.chunk_size,
        keep_versions=arguments.keep_versions,
    )
