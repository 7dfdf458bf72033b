"""What every full screen has around its body: header, transfer strip, last event, command bar, notice, keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tui.lines import Line, Tone
from tui.panels.events import event_line
from tui.panels.transfers import strip
from tui.widgets.command_bar import CommandBar
from tui.widgets.header import Header
from tui.widgets.key_footer import KeyFooter
from tui.widgets.notice import Notice
from tui.widgets.toned import Canvas

if TYPE_CHECKING:
    from tui.app import DashboardApp

HORIZONTAL = [(0, "-tiny"), (80, "-narrow"), (110, "-standard"), (170, "-wide")]
VERTICAL = [(0, "-h0"), (18, "-h18"), (24, "-h24"), (30, "-h30"), (36, "-h36"), (40, "-h40")]


class EventStrip(Canvas):
    """The newest event, where the log itself has no room."""

    line: Line = ()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        return [self.line]


class TransferStrip(Canvas):
    """The running transfer, where the list of them has no room. Takes no line while nothing runs."""

    def draw(self, width: int, height: int) -> Sequence[Line]:
        app = cast("DashboardApp", self.app)
        return [strip(list(app.transfers.all.values()), width)]


class FrameScreen(Screen[None]):
    """The keys that work everywhere, and the frame that shows the app's state."""

    HORIZONTAL_BREAKPOINTS = HORIZONTAL
    VERTICAL_BREAKPOINTS = VERTICAL
    AUTO_FOCUS = ""
    HAS_LISTS: ClassVar[bool] = False
    """Whether there is something to filter and to look for problems in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "upload", "Upload", id="upload", tooltip="Store a new artifact"),
        Binding("e", "update", "Update", id="update", tooltip="Store a new version of the selected artifact"),
        Binding("w", "get", "Get", id="get", tooltip="Write the selected artifact to a file"),
        Binding(
            "d", "delete", "Delete", id="delete", tooltip="Move the selected artifact to the trash, after a question"
        ),
        Binding("f", "fail", "Fail", id="fail", tooltip="Make the selected node stop serving, after a question"),
        Binding("r", "recover", "Recover", id="recover", tooltip="Let a failed node serve again"),
        Binding("D", "drain", "Drain", id="drain", tooltip="Empty the selected node, or stop emptying it"),
        Binding("x", "cancel_transfer", "Cancel", id="cancel", tooltip="Cancel the running transfer"),
        Binding("z", "undelete", "Undelete", id="undelete", tooltip="Bring back what was deleted last from here"),
        # Before other keys: what is typed right after them belongs to the bar already.
        Binding("slash", "filter", "Filter", id="filter", tooltip="Filter this panel", key_display="/", priority=True),
        Binding("colon", "command", "Command", id="command", tooltip="Write a command", key_display=":", priority=True),
        Binding(
            "exclamation_mark",
            "next_problem",
            "Problem",
            id="problem",
            key_display="!",
            tooltip="Go to the next problem",
        ),
        Binding("y", "copy", "Copy", id="copy", tooltip="Copy the selected name to the clipboard"),
        Binding("p", "pause", "Pause", id="pause", tooltip="Freeze the picture, or let it run again"),
        Binding("R", "refresh", "Refresh", id="refresh", show=False, tooltip="Ask the cluster now"),
        Binding("question_mark", "help", "Help", id="help", key_display="?", tooltip="All keys and commands"),
        Binding("escape", "escape", "Back", id="escape", key_display="esc", tooltip="End what runs, or go back"),
        Binding("q", "back", "Back", show=False, id="back", tooltip="Go back"),
    ]

    _left_focus: Widget | None = None

    @property
    def ready(self) -> bool:
        """Whether all widgets are there: not before the screen is mounted, nor while the app is shutting down."""
        return self.is_mounted and self.is_attached and self.app.is_running

    @property
    def dame(self) -> DashboardApp:
        return cast("DashboardApp", self.app)

    # --- what a screen says of itself ---

    def crumbs(self) -> Sequence[str]:
        return ()

    def selected_artifact(self) -> str | None:
        return None

    def selected_node(self) -> str | None:
        return None

    def compose_body(self) -> ComposeResult:
        raise NotImplementedError

    def focus_body(self) -> None:
        """Give the focus to the body: somewhere keys work."""
        raise NotImplementedError

    def show_state(self) -> None:
        """Draw the app's state anew, in the body."""

    def heard(self, answer: Any) -> None:
        """The answer to what this screen asks the cluster with each poll: an Outcome."""

    # --- the frame ---

    def compose(self) -> ComposeResult:
        app = self.dame
        yield Header(app.state, self.crumbs, app.clock)
        yield from self.compose_body()
        yield TransferStrip()
        yield EventStrip()
        yield CommandBar(app.history, app.complete_line, app.command_hint)
        yield Notice()
        yield KeyFooter()

    def on_mount(self) -> None:
        self.update_view()
        self.focus_body()

    def on_screen_resume(self) -> None:
        self.update_view()
        self.call_later(self.dame.commands.show_reports)

    def update_view(self) -> None:
        """The app's state has changed."""
        if self.ready:
            self.update_frame()
            self.show_state()

    def update_frame(self) -> None:
        """Redraw what shows ages and transfers; cheap enough for every tick."""
        if not self.ready:
            return
        transfers = self.query_one(TransferStrip)
        transfers.display = bool(self.dame.transfers.active)
        transfers.redraw()
        self.query_one(Header).redraw()
        happened = self.dame.state.events()
        newest = self.query_one(EventStrip)
        newest.line = event_line(happened[-1]) if happened else ()
        newest.redraw()
        self.set_class(self.dame.is_stale, "-stale")

    @property
    def notice(self) -> Notice:
        return self.query_one(Notice)

    def say(self, tone: Tone, text: str, position: int | None = None) -> None:
        """Put a sentence under the command bar."""
        if self.ready:
            self.notice.say(tone, text, position)

    def notice_is_free(self, opening: str) -> bool:
        """Whether there is nothing under the command bar but what begins like this."""
        return self.ready and (not self.notice.text or self.notice.text.startswith(opening))

    @property
    def bar(self) -> CommandBar:
        return self.query_one(CommandBar)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.keep_focus)

    def keep_focus(self) -> None:
        """Keys must go somewhere, whatever the layout has hidden."""
        focused = self.focused
        if focused is None or not focused.is_on_screen or not _displayed(focused):
            self.focus_body()

    # --- the command bar ---

    def action_command(self) -> None:
        self.open_bar("")

    def open_bar(self, line: str) -> None:
        self.remember_focus()
        self.bar.open("command", line)

    def remember_focus(self) -> None:
        if self.focused is not None and self.focused is not self.bar.input:
            self._left_focus = self.focused

    def leave_bar_for(self, panel: str) -> None:
        """Put the focus on a panel; for screens that have some."""

    def return_focus(self) -> None:
        """Back to where the bar was opened from."""
        self.bar.back_to_commands()
        if self._left_focus is not None and self._left_focus.is_attached and _displayed(self._left_focus):
            self.set_focus(self._left_focus)
        else:
            self.focus_body()

    def on_command_bar_entered(self, event: CommandBar.Entered) -> None:
        if self.bar.mode == "filter":
            self.return_focus()
        elif event.line.strip():
            self.notice.clear()
            self.dame.commands.submit(event.line)
        else:
            self.return_focus()

    def on_command_bar_edited(self, event: CommandBar.Edited) -> None:
        self.notice.clear_menu()
        if event.mode == "filter":
            self.apply_filter(event.line)

    def on_command_bar_left(self, event: CommandBar.Left) -> None:
        self.notice.clear()
        if event.mode == "filter":
            self.apply_filter("")
        self.return_focus()

    def on_command_bar_offered(self, event: CommandBar.Offered) -> None:
        self.notice.offer(event.words, event.at)

    def apply_filter(self, filter: str) -> None:
        """What is typed after `/`."""

    # --- actions ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would have nothing to act on are not offered, nor keys that are text where one is writing."""
        if action in ("filter", "command") and isinstance(self.focused, Input):
            return False
        if action in ("update", "get", "delete"):
            return self.selected_artifact() is not None
        if action in ("fail", "recover", "drain"):
            return self._offers(action)
        if action == "cancel_transfer":
            return bool(self.dame.transfers.active)
        if action in ("filter", "next_problem"):
            return self.HAS_LISTS
        if action == "undelete":
            return bool(self.dame.state.deleted)
        return True

    def _offers(self, action: str) -> bool:
        """Whether the selected node can be failed, recovered or drained."""
        shown, selected = self.dame.state.shown, self.selected_node()
        node = shown.node(selected) if shown and selected else None
        return node is not None and (action == "drain" or (node.state == "failed") == (action == "recover"))

    def action_upload(self) -> None:
        self.dame.commands.ask_upload()

    def action_update(self) -> None:
        if name := self.selected_artifact():
            self.dame.commands.ask_update(name)

    def action_get(self) -> None:
        if name := self.selected_artifact():
            self.dame.commands.ask_get(name)

    def action_delete(self) -> None:
        if name := self.selected_artifact():
            self.dame.commands.ask_delete(name)

    def action_fail(self) -> None:
        if node := self.selected_node():
            self.dame.commands.ask_node("fail", node)

    def action_recover(self) -> None:
        if node := self.selected_node():
            self.dame.commands.change_node("recover", node)

    def action_drain(self) -> None:
        if node := self.selected_node():
            self.dame.commands.ask_drain(node)

    def action_cancel_transfer(self) -> None:
        active = self.dame.transfers.active
        if active:
            self.dame.cancel_transfer(active[0].id)

    def action_undelete(self) -> None:
        self.dame.commands.undelete_last()

    def action_next_problem(self) -> None:
        """Go to what is not as it should be."""

    def action_filter(self) -> None:
        self.remember_focus()
        self.bar.open("filter", self.current_filter())

    def current_filter(self) -> str:
        return ""

    def action_copy(self) -> None:
        self.dame.copy(self.copyable())

    def copyable(self) -> str:
        """The raw name of what is selected."""
        return self.selected_artifact() or self.selected_node() or ""

    def action_pause(self) -> None:
        self.dame.toggle_pause()

    def action_refresh(self) -> None:
        self.dame.refresh_now()

    def action_help(self) -> None:
        self.dame.show_help()

    def action_escape(self) -> None:
        """What takes long ends first; then it is a step back."""
        if not self.dame.commands.end_lasting():
            self.action_back()

    def action_back(self) -> None:
        self.notice.clear()
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()


def _displayed(widget: Widget) -> bool:
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))
