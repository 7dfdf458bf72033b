"""One change at a time to each chunk, any number to different ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ChunkLocks:
    """Mutual exclusion by chunk id. Not reentrant.

    It is held while the disk works, so that a chunk's file and what the inventory says of it change together.
    """

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._released = threading.Condition()

    @contextmanager
    def hold(self, chunk_id: str) -> Iterator[None]:
        """Keep all others from changing this chunk; waits for the one who does."""
        with self._released:
            self._released.wait_for(lambda: chunk_id not in self._held)
            self._held.add(chunk_id)
        try:
            yield
        finally:
            with self._released:
                self._held.remove(chunk_id)
                self._released.notify_all()
