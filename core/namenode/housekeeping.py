"""Keeping the catalog tidy: the trash is emptied, old versions and old operations go. One bounded step at a time."""

from __future__ import annotations

from core.errors import ReadOnly
from core.model import ChunkKey
from core.namenode import edits
from core.namenode.state import State

HOUSEKEEPING_MS = 10_000
"""The catalog is looked through this often, and again at the next call while there is something to do."""


class Housekeeping:
    def __init__(self, state: State) -> None:
        self._state = state
        self._next_ms = 0
        self._read_only_told = False

    def step(self) -> None:
        """Do a bounded part of what there is to do, if it is time."""
        state = self._state
        if state.now_ms < self._next_ms:
            return
        self._next_ms = state.now_ms + HOUSEKEEPING_MS
        try:
            more = self._empty_trash() or self._prune()
            self._forget_operations()
            self._read_only_told = False
        except ReadOnly as error:
            # Not the fault of the call that came along just now, which may well be a read: tell of it, try later.
            if not self._read_only_told:
                state.events.record(state.now_ms, "error", str(error))
            self._read_only_told = True
        else:
            if more:
                self._next_ms = state.now_ms

    def _empty_trash(self) -> bool:
        """Purge the artifact that is longest in the trash, if it has been there for long enough."""
        catalog = self._state.catalog
        artifact = catalog.deleted_before(self._state.now_ms - self._state.config.trash_retention_ms)
        if artifact is None:
            return False
        keys = catalog.chunks_of(artifact)
        catalog.apply(edits.PurgeArtifact(artifact))
        self._counted_down(keys)
        return True

    def _prune(self) -> bool:
        """Remove the oldest version of an artifact that has more than it is to keep."""
        catalog = self._state.catalog
        found = catalog.prunable()
        if found is None:
            return False
        artifact, kept = found
        keys = catalog.chunks_of(artifact, before=kept.oldest + 1)
        catalog.apply(edits.PruneVersions(artifact, kept.oldest + 1))
        self._counted_down(keys)
        return True

    def _counted_down(self, keys: list[ChunkKey]) -> None:
        for key in keys:
            self._state.redundancy.need(key, self._state.catalog.wanted(key.id))

    def _forget_operations(self) -> None:
        catalog = self._state.catalog
        before_ms = self._state.now_ms - self._state.config.operation_memory_ms
        if catalog.remembers_before(before_ms):
            catalog.apply(edits.ForgetOperations(before_ms))
