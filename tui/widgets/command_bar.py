"""The command line at the bottom: a prompt, an input with ghost text, completion by tab, history by the arrows.

It knows nothing of verbs: what completes a line and what a line means are given to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from tui.command_history import CommandHistory

Mode = Literal["command", "filter"]
PROMPTS: dict[Mode, str] = {"command": " ❯ ", "filter": " / "}
PROMPT_WIDTH = 3


@dataclass(frozen=True)
class Candidates:
    """What may replace line[start:cursor]."""

    start: int
    words: tuple[str, ...]


Complete = Callable[[str, int], Awaitable[Candidates]]


def printable(text: str) -> str:
    """What an input line can hold: control characters are left out."""
    return "".join(char for char in text if char.isprintable())


def common_start(words: Sequence[str]) -> str:
    """What all the words begin with."""
    first, last = min(words), max(words)
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:same]


class GhostText(Suggester):
    """Suggests the rest of the word where there is just one way to go on."""

    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        found = await self._complete(value, len(value))
        typed = value[found.start :]
        fitting = [word for word in found.words if word.startswith(typed) and word != typed]
        return value[: found.start] + fitting[0] if typed and fitting else None


class CommandInput(Input):
    """The input itself. Escape, tab and the arrows mean something here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete(1)", "Complete", id="bar.complete", priority=False),
        Binding("shift+tab", "complete(-1)", "Previous", show=False, id="bar.complete_back"),
        Binding("up", "recall(-1)", "History", id="bar.older", key_display="↑"),
        Binding("down", "recall(1)", "Newer", show=False, id="bar.newer"),
        Binding("escape", "leave", "Back", id="bar.leave", key_display="esc"),
    ]

    class Left(Message):
        """Escape was pressed."""

    class CompletionAsked(Message):
        def __init__(self, steps: int) -> None:
            super().__init__()
            self.steps = steps

    class Recalled(Message):
        def __init__(self, steps: int) -> None:
            super().__init__()
            self.steps = steps

    refused = ""
    """The line that was refused and is still there to be mended."""

    def insert(self, text: str, index: int) -> None:
        if text == ":" and self.value in ("", self.refused):
            self.clear()  # the key that opens the bar, pressed in it: begin anew
            return
        super().insert(printable(text), index)

    def replace(self, text: str, start: int, end: int) -> None:
        super().replace(printable(text), start, end)

    def action_leave(self) -> None:
        self.post_message(self.Left())

    def action_complete(self, steps: int) -> None:
        self.post_message(self.CompletionAsked(steps))

    def action_recall(self, steps: int) -> None:
        self.post_message(self.Recalled(steps))


class CommandBar(Horizontal):
    """Prompt and input; posts what was entered, and what there is to choose from."""

    class Entered(Message):
        def __init__(self, line: str) -> None:
            super().__init__()
            self.line = line

    class Edited(Message):
        """The line changed under someone's hands."""

        def __init__(self, mode: Mode, line: str) -> None:
            super().__init__()
            self.mode = mode
            self.line = line

    class Left(Message):
        """The bar was left by escape."""

        def __init__(self, mode: Mode) -> None:
            super().__init__()
            self.mode = mode

    class Offered(Message):
        """Several words would complete the line; `at` is the one put in, or -1."""

        def __init__(self, words: tuple[str, ...], at: int) -> None:
            super().__init__()
            self.words = words
            self.at = at

    def __init__(self, history: CommandHistory, complete: Complete, hint: str) -> None:
        super().__init__(id="bar")
        self._history = history
        self._complete = complete
        self._hint = hint
        self.mode: Mode = "command"
        self._offer: Candidates | None = None
        self._offer_at = -1
        self._expected: str | None = None
        """The value this bar itself put in; its change is not an edit."""

    def compose(self) -> ComposeResult:
        yield Static(PROMPTS["command"], id="prompt", markup=False)
        yield CommandInput(
            placeholder=self._hint,
            id="command",
            compact=True,
            suggester=GhostText(self._complete),
            select_on_focus=False,
        )

    @property
    def input(self) -> CommandInput:
        return self.query_one(CommandInput)

    def open(self, mode: Mode, line: str = "") -> None:
        """Take the focus, as a command line or as a filter line."""
        self.mode = mode
        self.query_one("#prompt", Static).update(PROMPTS[mode])
        self.input.suggester = GhostText(self._complete) if mode == "command" else None
        self.input.placeholder = self._hint if mode == "command" else "words or globs, ! excludes; esc clears"
        self.put(line)
        self.screen.set_focus(self.input)  # at once: the next key may be here already, which focus() would not wait for

    def put(self, line: str, cursor: int | None = None) -> None:
        """Set the line without it counting as an edit."""
        self._expected = line
        self.input.value = line
        self.input.cursor_position = len(line) if cursor is None else cursor

    def back_to_commands(self) -> None:
        """The filter line is done with."""
        if self.mode == "filter":
            self.mode = "command"
            self.query_one("#prompt", Static).update(PROMPTS["command"])
            self.input.placeholder = self._hint
            self.put("")

    def on_click(self, event: events.Click) -> None:
        self.input.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value == self._expected:
            self._expected = None
            return
        self._offer = None
        self._history.forget_place()
        self.post_message(self.Edited(self.mode, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._offer = None
        self.input.refused = event.value
        self.post_message(self.Entered(event.value))

    def on_command_input_left(self, event: CommandInput.Left) -> None:
        event.stop()
        self._offer = None
        self.post_message(self.Left(self.mode))

    def on_command_input_recalled(self, event: CommandInput.Recalled) -> None:
        event.stop()
        line = self._history.step(event.steps, self.input.value) if self.mode == "command" else None
        if line is not None:
            self.put(printable(line))

    def on_command_input_completion_asked(self, event: CommandInput.CompletionAsked) -> None:
        event.stop()
        if self.mode == "filter":
            return
        if self._offer is not None and len(self._offer.words) > 1:
            self._cycle(event.steps)
        else:
            self.run_worker(self._ask(), group="completion", exclusive=True, exit_on_error=True)

    async def _ask(self) -> None:
        line, cursor = self.input.value, self.input.cursor_position
        found = await self._complete(line, cursor)
        if (self.input.value, self.input.cursor_position) != (line, cursor) or not found.words:
            return
        self._offer, self._offer_at = found, -1
        shared = found.words[0] if len(found.words) == 1 else common_start(found.words)
        if len(shared) > cursor - found.start:
            self._replace_word(found.start, cursor, shared)
        if len(found.words) == 1:
            self._offer = None
        else:
            self.post_message(self.Offered(found.words, -1))

    def _cycle(self, steps: int) -> None:
        assert self._offer is not None
        words = self._offer.words
        self._offer_at = (self._offer_at + steps) % len(words) if self._offer_at >= 0 or steps > 0 else len(words) - 1
        self._replace_word(self._offer.start, self.input.cursor_position, words[self._offer_at])
        self.post_message(self.Offered(words, self._offer_at))

    def _replace_word(self, start: int, cursor: int, word: str) -> None:
        line = self.input.value
        space = " " if self._is_whole(word) and cursor == len(line) and self._offer_at < 0 else ""
        self.put(line[:start] + word + space + line[cursor:], start + len(word) + len(space))

    def _is_whole(self, word: str) -> bool:
        """Whether the word is finished: the only candidate, and not a directory to go on in."""
        return self._offer is not None and self._offer.words == (word,) and not word.endswith("/")
