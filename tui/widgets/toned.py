"""Painting toned lines into strips, and a widget that is nothing but such lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui.lines import TONES, Line, width_of


class Toned(Widget):
    """A widget that paints lines; the stylesheet gives each tone its colour by the class `tone--NAME`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in TONES if tone}

    @property
    def inner_width(self) -> int:
        """Cells a line has beside a scroll bar."""
        return self.scrollable_content_region.width

    def paint(self, line: Line, width: int, base: Style | None = None) -> Strip:
        """One line as exactly `width` cells; `base` lies under the tones."""
        ground = self.rich_style if base is None else base
        segments = [Segment(run.text, ground + self._tone(run.tone)) for run in line]
        return Strip(segments, width_of(line)).adjust_cell_length(width, ground)

    def _tone(self, tone: str) -> Style:
        return self.get_component_rich_style(f"tone--{tone}", partial=True) if tone else Style.null()


class Canvas(Toned):
    """A widget whose whole content is drawn anew from its size: `draw` is all a subclass writes."""

    _drawn: Sequence[Line] | None = None
    _drawn_for: tuple[int, int] = (0, 0)

    def draw(self, width: int, height: int) -> Sequence[Line]:
        raise NotImplementedError

    def redraw(self) -> None:
        """What is drawn depends on has changed."""
        self._drawn = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        size = (self.size.width, self.size.height)
        if self._drawn is None or self._drawn_for != size:
            self._drawn, self._drawn_for = self.draw(*size), size
        return self.paint(self._drawn[y] if y < len(self._drawn) else (), size[0])
