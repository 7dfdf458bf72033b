"""Keeping the catalog tidy: the trash is emptied, old versions and old operations go. One bounded step at a time."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import ReadOnly
from core.namenode import edits
from core.namenode.catalog import Kept
from core.namenode.state import State

GARBAGE_BATCH = 5_000
"""Chunks of garbage that one edit notes or forgets."""
COUNTED_DOWN_MAX = 2_000
"""Entries of a chunk list that are counted down in one call: some 20 ms, in which nothing else is answered."""
LEASES_IDLE_MS = 30_000
"""Without an open lease for this long, the catalog is told that none is left."""
HOUSEKEEPING_MS = 10_000
"""The catalog is looked through this often, and again at the next call while there is something to do."""


class Housekeeping:
    def __init__(self, state: State) -> None:
        self._state = state
        self._next_ms = 0
        self._read_only_told = False

    def hurry(self) -> None:
        """There is something to do."""
        self._next_ms = 0

    def step(self) -> None:
        """Do a bounded part of what there is to do, if it is time."""
        state, catalog = self._state, self._state.catalog
        if state.now_ms < self._next_ms or catalog.writer.stopped:
            return
        self._next_ms = state.now_ms + HOUSEKEEPING_MS
        try:
            gone = catalog.leftover() is None and (self._empty_trash() or self._prune())
            more = self._count_down() or gone
            self._forget_operations()
            catalog.writer.look_for_room()
            if not catalog.writer.read_only:
                more = self._write_garbage() or more
                self._end_promise()
            self._tell(catalog.writer.read_only)
        except ReadOnly as error:
            # Not the fault of the call that came along just now, which may well be a read: tell of it, try later.
            self._tell(str(error))
        else:
            if more:
                self._next_ms = state.now_ms

    def _tell(self, trouble: str) -> None:
        """Say once that the catalog can't be written, and once that it can again."""
        state = self._state
        if trouble and not self._read_only_told:
            state.events.record(state.now_ms, "error", trouble)
        elif self._read_only_told and not trouble:
            state.events.record(state.now_ms, "info", "the catalog can be written again")
        self._read_only_told = bool(trouble)

    def _empty_trash(self) -> bool:
        """Remove one version of the artifact that is longest in the trash, if it has been there for long enough, and
        with its last version the artifact."""
        catalog, now_ms = self._state.catalog, self._state.now_ms
        found = self._unread(catalog.deleted_before(now_ms - self._state.config.trash_retention_ms))
        if found is None:
            return False
        artifact, kept = found
        if kept.count > 1:
            catalog.apply(edits.PruneVersions(artifact, kept.oldest + 1))
        else:
            catalog.apply(edits.PurgeArtifact(artifact))
        return True

    def _prune(self) -> bool:
        """Remove the oldest version of an artifact that has more than it is to keep."""
        catalog = self._state.catalog
        found = self._unread(catalog.prunable())
        if found is None:
            return False
        artifact, kept = found
        catalog.apply(edits.PruneVersions(artifact, kept.oldest + 1))
        return True

    def _unread(self, artifacts: Iterator[tuple[int, Kept]]) -> tuple[int, Kept] | None:
        """The first artifact of which nobody is reading the oldest version. Readings are few, so that no more than
        these are passed over."""
        readings, now_ms = self._state.readings, self._state.now_ms
        for artifact, kept in artifacts:
            if not readings.under_way(artifact, kept.oldest, now_ms):
                return artifact, kept
        return None

    def _count_down(self) -> bool:
        """Let a part of the chunk list of a version that is gone count no more, and the soft state follow."""
        state = self._state
        left = state.catalog.leftover()
        if left is None:
            return False
        first = max(0, left.entries - COUNTED_DOWN_MAX)
        keys = {key.id: key for key in state.catalog.chunk_list(left.artifact, left.version, first)}
        state.catalog.apply(edits.CountDown(left.artifact, left.version, first, state.now_ms))
        wanted = state.catalog.wanted_of(keys)
        for key in keys.values():
            state.redundancy.need(key, wanted.get(key.id, 0))
        state.redundancy.garbage.counted_down(chunk_id for chunk_id in keys if chunk_id not in wanted)
        return True

    def _write_garbage(self) -> bool:
        """Let the catalog know what has become garbage, and what is none any more."""
        catalog, garbage = self._state.catalog, self._state.redundancy.garbage
        notes, forgotten = garbage.unwritten(GARBAGE_BATCH)
        if notes:
            catalog.apply(edits.NoteGarbage(notes))
            garbage.written(entry.chunk.id for entry in notes)
        if forgotten:
            catalog.apply(edits.ForgetGarbage(forgotten))
            garbage.written(forgotten)
        return len(notes) + len(forgotten) == GARBAGE_BATCH

    def _end_promise(self) -> None:
        """When all uploads have ended, a NameNode that starts after this one need not wait for any."""
        leases, now_ms = self._state.leases, self._state.now_ms
        idle = not len(leases) and now_ms - leases.used_ms >= LEASES_IDLE_MS
        if idle and leases.promised_until_ms > now_ms and not leases.holds_unseen_chunks(now_ms):
            self._state.catalog.apply(edits.PromiseLeases(0))
            leases.promised_until_ms = 0

    def _forget_operations(self) -> None:
        catalog, config = self._state.catalog, self._state.config
        oldest_ms = self._state.now_ms - config.operation_memory_ms
        before_ms = catalog.operations_to_forget(oldest_ms, config.operations_max)
        if before_ms is not None:
            catalog.apply(edits.ForgetOperations(before_ms))
