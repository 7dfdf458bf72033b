"""A table whose cursor belongs to a row's key, not to a position: rows may come, go and move under it.

Textual's own DataTable keeps its cursor by index, needs fixed column widths and is slow to fill; this one draws only
the lines in view, gives its flexible column what the others leave, and drops columns by weight when it gets narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.lines import Align, Line, Run, Tone, fit, line, wrap
from tui.widgets.toned import Toned


@dataclass(frozen=True)
class Column:
    """One column. Width 0 takes what is left; a table narrower than `from_width` leaves the column out."""

    key: str
    title: str
    width: int = 0
    align: Align = "left"
    from_width: int = 0


@dataclass(frozen=True)
class Sort:
    """Which column orders the rows, and how."""

    column: str
    reverse: bool = False


class Row:
    """A row: its key, and one run for each column, made when the row comes into view. Most never do."""

    __slots__ = ("_make", "key")

    def __init__(self, key: str, make: Callable[[], tuple[Run, ...]]) -> None:
        self.key = key
        self._make = make

    @property
    def cells(self) -> tuple[Run, ...]:
        return self._make()


class LiveTable(ScrollView, Toned, can_focus=True):
    """Rows under a fixed header line, with one cursor row."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*Toned.COMPONENT_CLASSES, "live-table--header", "live-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("home,g", "first", "First row", show=False, id="table.first"),
        Binding("end,G", "last", "Last row", show=False, id="table.last"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("enter", "open", "Open", id="table.open", tooltip="Open the row under the cursor", key_display="↵"),
    ]

    class Moved(Message):
        """The cursor is on another key than before."""

        def __init__(self, table: LiveTable, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

    class Opened(Message):
        """A row was chosen with enter or a second click."""

        def __init__(self, table: LiveTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

    class SortAsked(Message):
        """A column's title was clicked."""

        def __init__(self, table: LiveTable, column: str) -> None:
            super().__init__()
            self.table = table
            self.column = column

    def __init__(self, columns: Sequence[Column], *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.rows: tuple[Row, ...] = ()
        self.sort: Sort | None = None
        self.empty = empty
        self._positions: Mapping[str, int] = {}
        self._cursor = 0
        self._key: str | None = None

    # --- rows and cursor ---

    @property
    def cursor_key(self) -> str | None:
        return self._key

    @property
    def cursor_row(self) -> int:
        return self._cursor

    def apply(self, rows: Sequence[Row]) -> None:
        """Show these rows. The cursor stays on its key, and that row on its place of the screen."""
        place = self._cursor - self.scroll_offset.y
        self.rows = tuple(rows)
        self._positions = {row.key: position for position, row in enumerate(self.rows)}
        followed = self._key is not None and self._key in self._positions
        self._cursor = self._positions[self._key] if followed and self._key is not None else self._nearest(self._cursor)
        self._resize_content()
        if followed and place >= 0:
            self.scroll_to(y=self._cursor - place, animate=False, force=True, immediate=True)
        self._settle()

    def select(self, key: str) -> bool:
        """Put the cursor on a key; False if no row has it."""
        if key not in self._positions:
            return False
        self._go(self._positions[key])
        return True

    def _nearest(self, position: int) -> int:
        return max(0, min(position, len(self.rows) - 1))

    def _go(self, position: int) -> None:
        self._cursor = self._nearest(position)
        self._settle()

    def _settle(self) -> None:
        """Keep the cursor in view, and tell when its key has changed."""
        body = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        if self._cursor < top or self._cursor >= top + body:
            wanted = self._cursor if self._cursor < top else self._cursor - body + 1
            self.scroll_to(y=wanted, animate=False, force=True, immediate=True)
        key = self.rows[self._cursor].key if self.rows else None
        if key != self._key:
            self._key = key
            self.post_message(self.Moved(self, key))
        self.refresh()

    def _resize_content(self) -> None:
        self.virtual_size = Size(self.inner_width, len(self.rows) + 1)

    def on_resize(self) -> None:
        self._resize_content()
        self._settle()

    # --- actions ---

    def action_move(self, steps: int) -> None:
        self._go(self._cursor + steps)

    def action_page(self, pages: int) -> None:
        self._go(self._cursor + pages * max(1, self.size.height - 2))

    def action_first(self) -> None:
        self._go(0)

    def action_last(self) -> None:
        self._go(len(self.rows) - 1)

    def action_open(self) -> None:
        if self._key is not None:
            self.post_message(self.Opened(self, self._key))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        event.stop()
        if offset.y == 0:
            self._click_header(offset.x)
            return
        position = offset.y - 1 + self.scroll_offset.y
        if position < len(self.rows):
            self._go(position)
            if event.chain == 2:
                self.action_open()

    def _click_header(self, x: int) -> None:
        start = 1
        for column, width in self.shown_columns(self.inner_width):
            if start <= x < start + width:
                self.post_message(self.SortAsked(self, column.key))
            start += width + 2

    # --- drawing ---

    def shown_columns(self, width: int) -> list[tuple[Column, int]]:
        """The columns that have room, each with its width; one cell for the cursor mark, two between columns."""
        shown = [column for column in self.columns if column.from_width <= width]
        fixed = sum(column.width for column in shown) + 2 * (len(shown) - 1) + 2
        return [(column, column.width or max(4, width - fixed)) for column in shown]

    def render_line(self, y: int) -> Strip:
        width = self.inner_width
        if y == 0:
            return self.paint(self._header(width), width, self.get_component_rich_style("live-table--header"))
        position = y - 1 + self.scroll_offset.y
        if not self.rows:
            return self.paint(self._empty_line(y - 1, width), width)
        if position >= len(self.rows):
            return self.paint((), width)
        at_cursor = position == self._cursor
        base = self.get_component_rich_style("live-table--cursor") if at_cursor else None
        return self.paint(self._row(self.rows[position], width, at_cursor), width, self._ground(base))

    def _ground(self, base: Style | None) -> Style | None:
        return base if base is None or self.has_focus else base + Style(bold=False)

    def _header(self, width: int) -> Line:
        runs = [Run(" ")]
        for column, room in self.shown_columns(width):
            runs += [Run(fit(self._title(column), room, column.align)), Run("  ")]
        return tuple(runs)

    def _title(self, column: Column) -> str:
        if self.sort is None or self.sort.column != column.key:
            return column.title
        return f"{column.title} {'▼' if self.sort.reverse else '▲'}"

    def _row(self, row: Row, width: int, at_cursor: bool) -> Line:
        by_key = dict(zip((column.key for column in self.columns), row.cells, strict=True))
        mark: Tone = "accent" if self.has_focus else "dim"
        runs = [Run("▌", mark) if at_cursor else Run(" ")]
        for column, room in self.shown_columns(width):
            cell = by_key[column.key]
            flexible = column.width == 0
            runs += [Run(fit(cell.text, room, column.align, middle=flexible), cell.tone), Run("  ")]
        return tuple(runs)

    def _empty_line(self, y: int, width: int) -> Line:
        pieces = wrap(self.empty, max(10, width - 4))
        return line(Run("  " + pieces[y - 1], "dim")) if 1 <= y <= len(pieces) and self.empty else ()
