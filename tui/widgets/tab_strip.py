"""The line of panels where only one of them fits: number, name and what is worth knowing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.message import Message

from tui.lines import Line, Run, Tone
from tui.widgets.toned import Canvas


@dataclass(frozen=True)
class Tab:
    key: str
    number: int
    title: str
    count: str = ""
    alert: str = ""
    """What asks for attention there."""


def tab_runs(tab: Tab, current: bool, wide: bool) -> list[Run]:
    name = f"{tab.number} {tab.title}" if wide or current else str(tab.number)
    tone: Tone = "strong" if current else "dim"
    left, right = ("[", "]") if current else (" ", " ")
    runs = [Run(f"{left}{name}", tone)]
    if tab.count and (wide or current):
        runs.append(Run(f" {tab.count}", tone))
    if tab.alert:
        runs.append(Run(f" {tab.alert}", "warn"))
    return [*runs, Run(right, tone)]


class TabStrip(Canvas):
    """Tabs that can be clicked."""

    class Chosen(Message):
        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tabs: Sequence[Tab] = ()
        self.current = ""
        self._ends: list[tuple[int, str]] = []

    def show(self, tabs: Sequence[Tab], current: str) -> None:
        self.tabs, self.current = tabs, current
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        for wide in (True, False):
            runs, self._ends = self._lay_out(wide)
            if self._ends and self._ends[-1][0] <= width:
                break
        return [tuple(runs)]

    def _lay_out(self, wide: bool) -> tuple[list[Run], list[tuple[int, str]]]:
        runs: list[Run] = []
        ends: list[tuple[int, str]] = []
        at = 0
        for tab in self.tabs:
            mine = tab_runs(tab, tab.key == self.current, wide)
            at += sum(cell_len(run.text) for run in mine)
            runs += mine
            ends.append((at, tab.key))
        return runs, ends

    def on_click(self, event: events.Click) -> None:
        for end, key in self._ends:
            if event.x < end:
                self.post_message(self.Chosen(key))
                return
