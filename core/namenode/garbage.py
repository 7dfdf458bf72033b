"""Garbage: chunks that nothing needs, since when, and of which kind. A copy in memory of the catalog's table.

The catalog is told in housekeeping, in batches; until then a crash makes a chunk's time of grace start anew, and never
end early.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from core.config import Config
from core.model import ChunkKey

GarbageKind = Literal["counted_down", "unknown"]
"""counted_down: a version counted it once, or an upload that was given up had asked for it. unknown: a storage node
reports it, and nobody knows of it: after a catalog was put back from an older copy, such chunks may be the newest
data."""


@dataclass(frozen=True)
class Garbage:
    """A chunk that nothing needs."""

    chunk: ChunkKey
    since_ms: int
    kind: GarbageKind


class GarbageBook:
    def __init__(self, config: Config) -> None:
        self._grace_ms: dict[GarbageKind, int] = {
            "counted_down": config.garbage_grace_ms,
            "unknown": config.unknown_grace_ms,
        }
        self._waiting: dict[GarbageKind, dict[str, Garbage]] = {"counted_down": {}, "unknown": {}}
        """In their time of grace, oldest first."""
        self.condemned: dict[str, Garbage] = {}
        """To be deleted wherever they are."""
        self._unwritten: dict[str, None] = {}
        """Chunks of which the catalog may say something else than this book."""

    def __len__(self) -> int:
        return len(self.condemned) + sum(map(len, self._waiting.values()))

    def get(self, chunk_id: str) -> Garbage | None:
        for entries in (*self._waiting.values(), self.condemned):
            if chunk_id in entries:
                return entries[chunk_id]
        return None

    def ids(self) -> Iterator[str]:
        return chain(*self._waiting.values(), self.condemned)

    def goes_ms(self, entry: Garbage) -> int:
        """When its time of grace is over."""
        return entry.since_ms + self._grace_ms[entry.kind]

    def is_due(self, chunk_id: str, now_ms: int) -> bool:
        """Whether replicas of the chunk may have been deleted already, also by an earlier NameNode."""
        entry = self.get(chunk_id)
        return entry is not None and (chunk_id in self.condemned or now_ms >= self.goes_ms(entry))

    # --- What becomes garbage, and what is no longer ------------------------------------------------------------

    def load(self, rows: Iterable[Garbage], now_ms: int, needed: Container[str]) -> None:
        """What the catalog says, oldest first. needed: chunks that it counts; a note of one of these is to go."""
        for row in rows:
            if row.chunk.id in needed:
                self._unwritten[row.chunk.id] = None
            elif row.since_ms > now_ms:  # the clock has stepped back since
                self.add(row.chunk, now_ms, row.kind)
            else:
                self._waiting[row.kind][row.chunk.id] = row

    def add(self, chunk: ChunkKey, now_ms: int, kind: GarbageKind) -> Garbage:
        """Nothing needs the chunk. One that is in the book already keeps its time and kind."""
        entry = self.get(chunk.id)
        if entry is None:
            entry = self._waiting[kind][chunk.id] = Garbage(chunk, now_ms, kind)
            self._unwritten[chunk.id] = None
        return entry

    def discard(self, chunk_id: str) -> None:
        """The chunk is needed, or gone."""
        for entries in (*self._waiting.values(), self.condemned):
            if entries.pop(chunk_id, None) is not None:
                self._unwritten[chunk_id] = None

    # --- What is due --------------------------------------------------------------------------------------------

    def condemn(self, now_ms: int, count_max: int) -> None:
        """Move what has had its time of grace to `condemned`."""
        for kind, entries in self._waiting.items():
            for chunk_id, entry in list(islice(entries.items(), count_max)):
                if now_ms - entry.since_ms < self._grace_ms[kind]:
                    break
                self.condemned[chunk_id] = entries.pop(chunk_id)

    def due_ms(self) -> int | None:
        """When the next of it is to go; None if there is none."""
        firsts = [next(iter(entries.values())) for entries in (*self._waiting.values(), self.condemned) if entries]
        return min(map(self.goes_ms, firsts), default=None)

    # --- What the catalog is yet to be told ---------------------------------------------------------------------

    def unwritten(self, count_max: int) -> tuple[tuple[Garbage, ...], tuple[str, ...]]:
        """Entries that the catalog is to note, and chunks it is to forget."""
        notes, forgotten = [], []
        for chunk_id in islice(self._unwritten, count_max):
            entry = self.get(chunk_id)
            if entry is None:
                forgotten.append(chunk_id)
            else:
                notes.append(entry)
        return tuple(notes), tuple(forgotten)

    def written(self, chunk_ids: Iterable[str]) -> None:
        """The catalog says of these chunks what this book says."""
        for chunk_id in chunk_ids:
            self._unwritten.pop(chunk_id, None)

    def counted_down(self, chunk_ids: Iterable[str]) -> None:
        """An edit noted these chunks as garbage by itself; those that a lease holds are none."""
        for chunk_id in chunk_ids:
            if self.get(chunk_id) is None:
                self._unwritten[chunk_id] = None
            else:
                self._unwritten.pop(chunk_id, None)

    def check(self, rows: Iterable[Garbage]) -> None:
        """Assert that the catalog says the same, but for what it is yet to be told."""
        noted = {row.chunk.id: row for row in rows}
        book = {**self._waiting["counted_down"], **self._waiting["unknown"], **self.condemned}
        assert len(book) == len(self), "a chunk is in the book twice"
        for chunk_id in {*noted, *book}.difference(self._unwritten):
            assert noted.get(chunk_id) == book.get(chunk_id)
