"""What a storage node holds, and what of it the NameNode has not been told yet.

The NameNode follows along by changes and checks itself by a digest. So the digest in a heartbeat is not that of the
inventory as it is, but of the inventory as told: it advances with exactly the changes taken into heartbeats.

A change is not a deed but a chunk whose state may differ from what was told; its state is looked up when it is told.
Whatever happened to a chunk between two heartbeats, and in whatever order, the heartbeat tells how it ended.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from core.model import ChunkKey, inventory_token


@dataclass(frozen=True)
class Changes:
    """The part of a heartbeat that must not be lost or reordered. Field names are those of Heartbeat."""

    sequence: int
    chunks: int
    inventory_digest: int
    received: tuple[ChunkKey, ...]
    removed: tuple[str, ...]
    corrupt: tuple[str, ...]
    failed_copies: tuple[str, ...]


class _Pending(NamedTuple):
    """A chunk to tell of."""

    told: bool
    """Whether the inventory as told holds it."""
    corrupt: bool
    """If it is gone: because it was found corrupt."""


class Inventory:
    """Thread-safe; never waits for anything but its own small lock."""

    def __init__(self, held: dict[str, int], changes_max: int) -> None:
        """`held` maps chunk ids to sizes; it counts as told, since a node sends a full report when it registers."""
        self._lock = threading.Lock()
        self._held = dict(held)
        self._changes_max = changes_max
        self._pending: dict[str, _Pending] = {}
        self._failed_copies: dict[str, None] = {}
        """A set that keeps its order."""
        self._sequence = 0
        self._unconfirmed: Changes | None = None
        self._told_chunks = 0
        self._told_digest = 0
        self._tell_all()

    def __contains__(self, chunk_id: str) -> bool:
        with self._lock:
            return chunk_id in self._held

    @property
    def sequence(self) -> int:
        """Of the newest heartbeat."""
        with self._lock:
            return self._sequence

    def ids(self) -> list[str]:
        """All chunks held, in order."""
        with self._lock:
            held = list(self._held)
        return sorted(held)

    def sizes(self) -> dict[str, int]:
        """The size of each chunk held."""
        with self._lock:
            return dict(self._held)

    def size_bytes(self, chunk_id: str) -> int:
        """0 if it is not held."""
        with self._lock:
            return self._held.get(chunk_id, 0)

    def add(self, chunk_id: str, size_bytes: int) -> None:
        """A replica is durable. One that was held before is told again, since someone thought it was not."""
        with self._lock:
            self._mark(chunk_id, corrupt=False)
            self._held[chunk_id] = size_bytes

    def remove(self, chunk_id: str, *, corrupt: bool = False) -> None:
        """A replica is no longer served. One that was not held is told all the same."""
        with self._lock:
            self._mark(chunk_id, corrupt=corrupt)
            self._held.pop(chunk_id, None)

    def mention(self, chunk_id: str) -> None:
        """Tell of this chunk again, as it is."""
        with self._lock:
            self._mark(chunk_id, corrupt=False)

    def copy_failed(self, chunk_id: str) -> None:
        with self._lock:
            self._failed_copies[chunk_id] = None

    def changes(self) -> Changes:
        """What to tell next: the same again until it is confirmed, then the oldest changes, within the limit."""
        with self._lock:
            if self._unconfirmed is None:
                self._unconfirmed = self._take()
            return self._unconfirmed

    def confirmed(self, sequence: int) -> None:
        """The NameNode has these changes. A late confirmation of others is ignored."""
        with self._lock:
            if self._unconfirmed is not None and self._unconfirmed.sequence == sequence:
                self._unconfirmed = None

    def full_report(self) -> list[ChunkKey]:
        """All that is held, in order; from here on it counts as told, and so do the changes it makes superfluous.

        What it can't say is kept for the next heartbeat: which replicas were corrupt, which copies failed.
        """
        with self._lock:
            self._take_back()
            self._pending = {
                chunk_id: _Pending(told=False, corrupt=True)
                for chunk_id, pending in self._pending.items()
                if pending.corrupt and chunk_id not in self._held
            }
            self._tell_all()
            held = list(self._held.items())
        return [ChunkKey(chunk_id, size_bytes) for chunk_id, size_bytes in sorted(held)]

    def _mark(self, chunk_id: str, *, corrupt: bool) -> None:
        """Called before the change. A corruption is forgotten only when the chunk is held again."""
        held = chunk_id in self._held
        before = self._pending.get(chunk_id, _Pending(told=held, corrupt=False))
        self._pending[chunk_id] = _Pending(before.told, corrupt or (before.corrupt and not held))

    def _take(self) -> Changes:
        """Move pending changes into a new heartbeat; the inventory as told advances by them."""
        failed_copies = tuple(islice(self._failed_copies, self._changes_max))
        received: list[ChunkKey] = []
        removed: list[str] = []
        corrupt: list[str] = []
        for chunk_id in list(islice(self._pending, self._changes_max - len(failed_copies))):
            pending = self._pending.pop(chunk_id)
            size_bytes = self._held.get(chunk_id)
            self._tell(chunk_id, pending.told, size_bytes is not None)
            if size_bytes is not None:
                received.append(ChunkKey(chunk_id, size_bytes))
            else:
                (corrupt if pending.corrupt else removed).append(chunk_id)
        for chunk_id in failed_copies:
            del self._failed_copies[chunk_id]
        self._sequence += 1
        return Changes(
            self._sequence,
            self._told_chunks,
            self._told_digest,
            tuple(received),
            tuple(removed),
            tuple(corrupt),
            failed_copies,
        )

    def _take_back(self) -> None:
        """Give up the heartbeat that was not confirmed, but not the news that only it carries."""
        if self._unconfirmed is not None:
            for chunk_id in self._unconfirmed.corrupt:
                self._mark(chunk_id, corrupt=True)
            self._failed_copies.update(dict.fromkeys(self._unconfirmed.failed_copies))
            self._unconfirmed = None

    def _tell(self, chunk_id: str, before: bool, now: bool) -> None:
        if before != now:
            self._told_digest ^= inventory_token(chunk_id)
            self._told_chunks += 1 if now else -1

    def _tell_all(self) -> None:
        self._told_chunks = len(self._held)
        self._told_digest = 0
        for chunk_id in self._held:
            self._told_digest ^= inventory_token(chunk_id)
