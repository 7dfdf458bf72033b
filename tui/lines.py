"""Toned text: the plain values every panel is made of, before Textual sees them.

A Run is a piece of text with a tone, a Line is a sequence of runs. Tones name a meaning, never a colour; the stylesheet
gives them colours, and without colour the words and glyphs still say it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

Tone = Literal["", "strong", "dim", "good", "warn", "bad", "accent"]
TONES: tuple[Tone, ...] = ("", "strong", "dim", "good", "warn", "bad", "accent")
Align = Literal["left", "right"]

ELLIPSIS = "…"
EIGHTHS = " ▁▂▃▄▅▆▇█"


class Run(NamedTuple):
    """Text without line breaks or control characters, in one tone."""

    text: str
    tone: Tone = ""


Line = tuple[Run, ...]


def line(*parts: str | Run) -> Line:
    """A line of runs; a bare string has no tone."""
    return tuple(part if isinstance(part, Run) else Run(part) for part in parts)


def width_of(runs: Iterable[Run]) -> int:
    """Terminal cells a line takes."""
    return sum(cell_len(run.text) for run in runs)


def plain(runs: Iterable[Run]) -> str:
    return "".join(run.text for run in runs)


def clip(text: str, width: int) -> str:
    """The text in at most `width` cells, with an ellipsis at the end where something was cut."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def clip_middle(text: str, width: int) -> str:
    """The text in at most `width` cells, cut in the middle: names differ at both ends."""
    if cell_len(text) <= width:
        return text
    if width < 8:
        return clip(text, width)
    head = (width - 1) // 2
    tail = width - 1 - head
    return set_cell_size(text, head) + ELLIPSIS + _last_cells(text, tail)


def _last_cells(text: str, width: int) -> str:
    """The end of a text in exactly `width` cells."""
    end = text[-width:]
    while cell_len(end) > width:
        end = end[1:]
    return " " * (width - cell_len(end)) + end


def fit(text: str, width: int, align: Align = "left", *, middle: bool = False) -> str:
    """The text in exactly `width` cells."""
    text = clip_middle(text, width) if middle else clip(text, width)
    padding = " " * (width - cell_len(text))
    return padding + text if align == "right" else text + padding


def wrap(text: str, width: int) -> list[str]:
    """Cut a text into pieces of at most `width` cells, at spaces where there are any."""
    pieces: list[str] = []
    current = ""
    for word in text.split(" "):
        candidate = f"{current} {word}" if current else word
        if cell_len(candidate) <= width:
            current = candidate
            continue
        if current:
            pieces.append(current)
        *full, current = chop_cells(word, max(1, width)) or [""]
        pieces.extend(full)
    return [*pieces, current]


def spread(left: Sequence[Run], right: Sequence[Run], width: int) -> Line:
    """One line with a part at each end; the left part gives way."""
    room = width - width_of(right)
    kept = clip_line(left, max(0, room - 1))
    return (*kept, Run(" " * max(0, room - width_of(kept))), *right)


def clip_line(runs: Sequence[Run], width: int) -> Line:
    """As many runs as fit in `width` cells, the last one cut with an ellipsis."""
    kept: list[Run] = []
    for run in runs:
        room = width - width_of(kept)
        if cell_len(run.text) > room:
            return (*kept, Run(clip(run.text, room), run.tone))
        kept.append(run)
    return tuple(kept)


def bar(share: float, width: int) -> str:
    """A horizontal bar of `width` cells; anything above nothing shows at least one cell, and only all fills it."""
    share = min(1.0, max(0.0, share))
    full = int(share * width)
    if share > 0 and full == 0 and width > 0:
        full = 1
    return "█" * full + "░" * (width - full)


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values as a row of eighths, scaled to the largest of them; zero is a thin base line."""
    shown = list(values)[-width:] if width > 0 else []
    top = max(shown, default=0)
    marks = [EIGHTHS[1 if top <= 0 or value <= 0 else 1 + round(7 * value / top)] for value in shown]
    return "".join(marks).rjust(width)
