"""Checkpoints of the catalog, as the NameNode sees them: versions of a hidden artifact, and word of the newest one.

The NameNode makes none itself: it calls nobody. Whoever does (core/checkpoint) tells of each.
"""

from __future__ import annotations

from core.checkpoint.manifest import Manifest
from core.model import CHECKPOINT_NAME
from core.namenode import edits
from core.namenode.housekeeping import counted_down
from core.namenode.state import State
from core.namenode.words import counted

VERSIONS_KEPT = 2
"""The newest checkpoint, and the one before in case that one can't be read."""


class Checkpoints:
    def __init__(self, state: State) -> None:
        self._state = state
        self._failure_told = False
        """Soft: a NameNode that starts tells of the failure anew."""

    def stored(self, manifest: Manifest, version: int, nodes: int) -> None:
        """Storage nodes hold the manifest of this version of the hidden artifact: older versions may go now.

        Ignored if it is of another NameNode's catalog, or older than what is known. Raises ReadOnly.
        """
        state = self._state
        before = state.catalog.checkpoint
        artifact = state.catalog.live(CHECKPOINT_NAME)
        if manifest.epoch != state.epoch or artifact is None or (before and before.edits > manifest.edits):
            return
        kept = state.catalog.kept(artifact)
        oldest = max(kept.oldest, min(version, kept.newest) - VERSIONS_KEPT + 1)
        dropped = state.catalog.chunks_of(artifact, oldest)
        state.catalog.apply(
            edits.NoteCheckpoint(artifact, oldest, manifest.edits, taken_ms=manifest.time_ms, time_ms=state.now_ms)
        )
        counted_down(state, dropped)
        if before is None or self._failure_told:
            text = f"the catalog is checkpointed to {counted(nodes, 'storage node')}"
            state.events.record(state.now_ms, "info", f"{text} again" if self._failure_told else text)
        self._failure_told = False

    def failed(self, reason: str) -> None:
        """A checkpoint could not be made. Told once until one is made."""
        if not self._failure_told:
            text = f"the catalog could not be checkpointed, which is tried again: {reason}"
            self._state.events.record(self._state.now_ms, "warning", text)
        self._failure_told = True

    def age_ms(self) -> int | None:
        newest = self._state.catalog.checkpoint
        return None if newest is None else max(0, self._state.now_ms - newest.time_ms)

    def edits_behind(self) -> int | None:
        newest = self._state.catalog.checkpoint
        return None if newest is None else self._state.catalog.edits - newest.edits
