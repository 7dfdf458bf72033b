"""Compares a storage node's directory with its inventory, and puts the inventory right.

Somebody else may have touched the files: removed one, cut one, put one back. Differences are looked for in a listing
taken at one moment and judged one by one, each while nobody changes that chunk, so that work goes on meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

from core.errors import ChunkMissing, StorageNodeError
from core.model import WalkReport
from core.storagenode.chunkstore import ChunkStore
from core.storagenode.inventory import Inventory
from core.storagenode.locks import ChunkLocks

Outcome = Literal["fine", "removed", "added", "corrupt"]

QUARANTINED_MAX = 1_000
"""Quarantined replicas that a report lists."""


class Walker:
    def __init__(
        self, chunks: ChunkStore, inventory: Inventory, changing: ChunkLocks, give_up: Callable[[str], None]
    ) -> None:
        """give_up: quarantine a replica and report it corrupt."""
        self._chunks = chunks
        self._inventory = inventory
        self._changing = changing
        self._give_up = give_up

    def walk(self) -> WalkReport:
        """Look at the whole directory. Raises DiskFailure."""
        on_disk = self._chunks.listing()
        held = self._inventory.sizes()
        differing = [chunk_id for chunk_id in sorted({*on_disk, *held}) if on_disk.get(chunk_id) != held.get(chunk_id)]
        found = Counter(self._judge(chunk_id) for chunk_id in differing)
        self._chunks.recount_quarantine()
        return WalkReport(
            replicas=len(self._inventory.sizes()),
            removed=found["removed"],
            added=found["added"],
            corrupt=found["corrupt"],
            quarantine=self._chunks.quarantined.usage(),
            quarantined=tuple(self._chunks.quarantined.kept()[-QUARANTINED_MAX:]),
        )

    def _judge(self, chunk_id: str) -> Outcome:
        with self._changing.hold(chunk_id):
            on_disk, held = self._chunks.size_on_disk(chunk_id), self._inventory.size_bytes(chunk_id)
            if on_disk is None:
                if not held:
                    return "fine"
                self._chunks.forget(chunk_id)
                self._inventory.remove(chunk_id)
                return "removed"
            if held:
                if on_disk == held:
                    return "fine"
            elif self._chunks.take_in(chunk_id):
                self._inventory.add(chunk_id, on_disk)
                return "added"
            self._give_up(chunk_id)
            return "corrupt"

    def bring_back(self, chunk_ids: Iterable[str]) -> int:
        """Quarantined replicas of these chunks that are good count again; answer how many. Raises DiskFailure."""
        kept = {kept.chunk for kept in self._chunks.quarantined.kept()}
        return sum(self._bring_back(chunk_id) for chunk_id in chunk_ids if chunk_id in kept)

    def trim_quarantine(self, now_ms: int) -> None:
        """Drop one file that is beyond the quarantine's bounds, if there is one.

        A disk that could not be read for a while may have made good replicas look bad, and these may be the last. So
        nothing is dropped that was not read once more; what is good comes back instead.
        """
        kept = self._chunks.quarantined.next_to_drop(now_ms)
        if kept is None:
            return
        chunk_id = kept.name.partition(".")[0]
        try:
            with self._changing.hold(chunk_id):
                dispensable = chunk_id in self._inventory or self._chunks.is_surely_bad(kept, chunk_id)
                if dispensable:
                    self._chunks.quarantined.drop(kept)
            if not dispensable:
                self._bring_back(chunk_id)
        except ChunkMissing:
            self._chunks.quarantined.taken(kept)
        except (OSError, StorageNodeError):
            self._chunks.quarantined.put_off(kept, now_ms)

    def _bring_back(self, chunk_id: str) -> bool:
        with self._changing.hold(chunk_id):
            if chunk_id in self._inventory:
                return False
            size_bytes = self._chunks.bring_back(chunk_id)
            if size_bytes:
                self._inventory.add(chunk_id, size_bytes)
            return size_bytes > 0
