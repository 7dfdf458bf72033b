"""Scrubber: re-reads every replica in turn, so that rot is found while good copies are still there to heal it from."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import ChunkMissing
from core.storagenode.storagenode import StorageNode


@dataclass(frozen=True)
class ScrubProgress:
    done: int
    total: int
    """Replicas held when the round began."""
    corrupt: int
    running: bool


class _Round:
    def __init__(self, chunk_ids: list[str]) -> None:
        self.chunk_ids = chunk_ids
        self.done = 0
        self.corrupt = 0


class Scrubber:
    """One round at a time, one replica a step; the shell sets the pace.

    `step` belongs to one thread; a round may be started and watched from another.
    """

    def __init__(self, node: StorageNode) -> None:
        self._node = node
        self._round = _Round([])

    def start_round(self) -> None:
        """Begin with the first replica, also if a round is under way."""
        self._round = _Round(self._node.chunk_ids())

    def step(self) -> bool:
        """Verify the next replica; True while there are more.

        Raises NodeNotServing and DiskFailure (it can't be told just now); the same replica is next then.
        """
        current = self._round
        if current.done == len(current.chunk_ids):
            return False
        try:
            good = self._node.verify(current.chunk_ids[current.done])
        except ChunkMissing:
            # Deleted since the round began, or found missing, which the node has reported.
            good = True
        current.corrupt += not good
        current.done += 1
        return current.done < len(current.chunk_ids)

    @property
    def progress(self) -> ScrubProgress:
        current = self._round
        total = len(current.chunk_ids)
        return ScrubProgress(current.done, total, current.corrupt, current.done < total)
