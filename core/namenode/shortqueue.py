"""The chunks that lack replicas, most endangered first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice

Urgency = tuple[bool, int, int]
"""Not at risk, good replicas left, and minus the number lacking: the smallest goes first, and among equals the smallest
chunk id. Chunks at risk come before one that has as many replicas and wants no more, as on a draining node: only they
get all that may be copied, so none of the others may stand before them."""


class ShortQueue:
    """A priority queue whose entries can change. A chunk that can't be helped now is set aside until `retry`."""

    def __init__(self) -> None:
        self._urgency: dict[str, Urgency] = {}
        self._heap: list[tuple[Urgency, str]] = []
        """May hold outdated entries; one is valid if it agrees with `_urgency` and is not set aside."""
        self._aside: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._urgency)

    def __contains__(self, chunk_id: str) -> bool:
        return chunk_id in self._urgency

    @property
    def waiting(self) -> int:
        """Chunks that are not set aside."""
        return len(self._urgency) - len(self._aside)

    def put(self, chunk_id: str, urgency: Urgency | None) -> None:
        """Set how urgent a chunk is; None takes it off."""
        if self._urgency.get(chunk_id) == urgency:
            return
        self._aside.pop(chunk_id, None)
        if urgency is None:
            del self._urgency[chunk_id]
            return
        self._urgency[chunk_id] = urgency
        self._push(chunk_id)

    def first(self) -> str | None:
        """The most urgent chunk that is not set aside. It stays first until its urgency changes or it is set aside."""
        while self._heap:
            urgency, chunk_id = self._heap[0]
            if self._urgency.get(chunk_id) == urgency and chunk_id not in self._aside:
                return chunk_id
            heapq.heappop(self._heap)
        return None

    def set_aside(self, chunk_id: str) -> None:
        assert chunk_id in self._urgency
        self._aside[chunk_id] = None

    def retry(self, count_max: int | None = None) -> None:
        """Take up again what was set aside longest."""
        self.take_up(list(islice(self._aside, count_max)))

    def take_up(self, chunk_ids: Iterable[str]) -> None:
        """Take up again some that were set aside."""
        for chunk_id in chunk_ids:
            del self._aside[chunk_id]
            self._push(chunk_id)

    def _push(self, chunk_id: str) -> None:
        heapq.heappush(self._heap, (self._urgency[chunk_id], chunk_id))
        if len(self._heap) > 2 * len(self._urgency) + 1_000:
            self._heap = [(urgency, chunk_id) for chunk_id, urgency in self._urgency.items()]
            heapq.heapify(self._heap)
