"""The line under the command bar: what was wrong with the command, what came of it, or what could complete it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from tui.lines import Line, Run, Tone, line, wrap
from tui.text import safe
from tui.widgets.command_bar import PROMPT_WIDTH
from tui.widgets.toned import Canvas

LINES_MAX = 4
GLYPHS: dict[Tone, str] = {"good": "✓ ", "warn": "! ", "bad": "✗ "}


def caret_lines(text: str, position: int, width: int) -> list[Line]:
    """The sentence with a mark under the word it is about; beside the mark where there is room."""
    mark = " " * min(PROMPT_WIDTH + position, max(0, width - 2)) + "▲"
    if cell_len(mark) + 1 + cell_len(text) < width:
        return [line(Run(f"{mark} {text}", "bad"))]
    return [line(Run(mark, "bad")), *sentence_lines(text, "bad", width)]


def sentence_lines(text: str, tone: Tone, width: int) -> list[Line]:
    return [line(Run(f" {piece}", tone)) for piece in wrap(text, max(8, width - 2))]


def menu_lines(words: Sequence[str], at: int, width: int) -> list[Line]:
    """The candidates on one line, scrolled so that the chosen one is in view."""
    first = 0
    while sum(cell_len(word) + 2 for word in words[first : at + 1]) > width - 4:
        first += 1
    runs = [Run("‹ " if first else "  ", "dim")]
    used = 2
    for index, word in enumerate(words[first:], first):
        if used + cell_len(word) + 3 > width:
            runs.append(Run("›", "dim"))
            break
        runs += [Run(f"▸{word}" if index == at else f" {word}", "strong" if index == at else ""), Run(" ")]
        used += cell_len(word) + 2
    return [tuple(runs)]


class Notice(Canvas):
    """Takes no room while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__(id="notice")
        self.text = ""
        self._mood: Tone = ""
        self._position: int | None = None
        self._menu: tuple[Sequence[str], int] | None = None

    def say(self, tone: Tone, text: str, position: int | None = None) -> None:
        """A sentence; with a position it points at that place of the command line."""
        glyph = "" if position is not None else GLYPHS.get(tone, "")
        self._show(glyph + safe(text), tone, position)

    def offer(self, words: Sequence[str], at: int) -> None:
        self._show("", "", None)
        self._menu = ([safe(word) for word in words], at)
        self._lay_out()

    def clear(self) -> None:
        self._show("", "", None)

    def clear_menu(self) -> None:
        if self._menu is not None:
            self.clear()

    def _show(self, text: str, tone: Tone, position: int | None) -> None:
        self.text, self._mood, self._position, self._menu = text, tone, position, None
        self._lay_out()

    def _lay_out(self) -> None:
        lines = len(self._lines(self.screen.size.width))
        self.styles.height = min(lines, LINES_MAX)
        self.display = lines > 0
        self.redraw()

    def _lines(self, width: int) -> list[Line]:
        if self._menu is not None:
            return menu_lines(*self._menu, width)
        if not self.text:
            return []
        if self._position is not None:
            return caret_lines(self.text, self._position, width)
        return sentence_lines(self.text, self._mood, width)

    def draw(self, width: int, height: int) -> Sequence[Line]:
        return self._lines(width)
