"""What lies in the trash, a row for each artifact."""

from __future__ import annotations

from collections.abc import Sequence

from core.model import TrashedArtifact
from tui.lines import Align, Line, Run, fit, line
from tui.text import age, safe, size, wall_time

SEPARATOR = "  "
NAME_WIDTH_MIN = 12
COLUMNS: tuple[tuple[str, int, Align], ...] = (
    ("VERSION", 7, "right"),
    ("SIZE", 8, "right"),
    ("GOES IN", 7, "right"),
    ("DELETED", 19, "left"),
)
"""After the name: heading, cells, side. Where there is no room for all, the last ones are left out."""


def lines(rows: Sequence[TrashedArtifact], now_ms: int, width: int) -> list[Line]:
    """The heading and the rows, as the store lists them: what was deleted last comes first."""
    columns = _that_fit(width)
    room = max(NAME_WIDTH_MIN, width - 2 - sum(len(SEPARATOR) + cells for _, cells, _ in columns))
    heading = [fit("NAME", room), *(fit(title, cells, align) for title, cells, align in columns)]
    shown = [line(Run(f" {SEPARATOR.join(heading)}", "dim"))]
    for row in rows:
        values = (str(row.version), size(row.size_bytes), age(row.purge_ms - now_ms), wall_time(row.deleted_ms))
        facts = [fit(text, cells, align) for text, (_, cells, align) in zip(values, columns, strict=False)]
        shown.append(line(f" {SEPARATOR.join([fit(safe(row.name), room, middle=True), *facts])}"))
    return shown


def _that_fit(width: int) -> Sequence[tuple[str, int, Align]]:
    columns = COLUMNS
    while columns and NAME_WIDTH_MIN + 2 + sum(len(SEPARATOR) + cells for _, cells, _ in columns) > width:
        columns = columns[:-1]
    return columns
