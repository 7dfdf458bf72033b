"""Panel 4: what happened, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.model import Event
from tui.filters import matches
from tui.lines import Line, Run, line
from tui.text import clock, safe
from tui.words import SEVERITY_WORDS


def lines(events: Iterable[Event], filter: str = "") -> list[Line]:
    return [event_line(event) for event in events if matches(event.text, filter)]


def event_line(event: Event) -> Line:
    word, tone = SEVERITY_WORDS[event.severity]
    return line(
        Run(f" {clock(event.time_ms)}  ", "dim"),
        Run(word, tone),
        Run(f"  {safe(event.text)}", "" if event.severity == "info" else tone),
    )


def warnings(events: Sequence[Event]) -> int:
    """How many of the events are more than news."""
    return sum(event.severity != "info" for event in events)
