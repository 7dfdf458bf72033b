"""The last door before the terminal: whatever a widget draws, no control character leaves the screen."""

from __future__ import annotations

import unicodedata

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

HARMLESS = "\N{REPLACEMENT CHARACTER}"
DIRECTIONS = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))


def _replaced(char: str) -> str:
    """Control, surrogate and bidirectional characters become one visible cell; joiners of emoji pass."""
    category = unicodedata.category(char)
    if category in ("Cc", "Cs", "Zl", "Zp"):
        return HARMLESS
    turns_around = unicodedata.bidirectional(char) in DIRECTIONS
    return HARMLESS if turns_around else char


class ControlFilter(LineFilter):
    """Panels show names through `safe`; this stands behind inputs, which show what was typed or pasted."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [segment if segment.text.isprintable() else _cleaned(segment) for segment in segments]


def _cleaned(segment: Segment) -> Segment:
    return Segment("".join(map(_replaced, segment.text)), segment.style, segment.control)
