"""Checkpoints of the catalog, as the NameNode sees them: versions of a hidden artifact, and word of the newest one.

The NameNode makes none itself: it calls nobody. Whoever does (core/checkpoint) tells of each.
"""

from __future__ import annotations

from core.checkpoint.manifest import Manifest
from core.model import CHECKPOINT_NAME
from core.namenode import edits
from core.namenode.catalog import Checkpoint
from core.namenode.state import State
from core.namenode.words import counted


class Checkpoints:
    def __init__(self, state: State) -> None:
        self._state = state
        self._failure_told = False
        """Soft: a NameNode that starts tells of the failure anew."""

    def stored(self, manifest: Manifest, version: int, nodes: int) -> None:
        """Storage nodes hold the manifest of this version of the hidden artifact: older versions may go now.

        Ignored if it is of another NameNode's catalog, gone or noted already, or older than what is known. Raises
        ReadOnly.
        """
        state = self._state
        artifact = state.catalog.live(CHECKPOINT_NAME)
        own = manifest.cluster_id == state.catalog.cluster_id and manifest.epoch == state.epoch
        if not own or artifact is None or not state.catalog.kept(artifact).has(version):
            return
        before = self._noted()
        if before and (before.version == version or before.edits > manifest.edits):
            return
        oldest = self._oldest_to_keep(version, before)
        state.catalog.apply(edits.NoteCheckpoint(artifact, version, oldest, manifest.edits, manifest.time_ms))
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

    def _noted(self) -> Checkpoint | None:
        """What the catalog knows, unless it is of the time before a restore: then its artifact is gone.

        It need not be the artifact's newest version: a NameNode may have ended before the manifests of a later one were
        stored, and without its manifest no checkpoint is found.
        """
        noted = self._state.catalog.checkpoint
        return noted if noted and noted.artifact == self._state.catalog.live(CHECKPOINT_NAME) else None

    def _newest(self) -> Checkpoint | None:
        """None if there is none that could be restored."""
        noted = self._noted()
        return None if noted is None or self._is_lost(noted) else noted

    def _oldest_to_keep(self, version: int, before: Checkpoint | None) -> int:
        """The checkpoint noted before is kept, in case that this one can't be read; but not one that is of no use."""
        return version if before is None or self._is_lost(before) else min(version, before.version)

    def _is_lost(self, checkpoint: Checkpoint) -> bool:
        redundancy = self._state.redundancy
        if self._state.safe_mode or not redundancy.counts["lost"]:
            return False
        keys = self._state.catalog.chunk_list(checkpoint.artifact, checkpoint.version)
        return any(redundancy.unhealthy.get(key.id) == "lost" for key in keys)

    def age_ms(self) -> int | None:
        newest = self._newest()
        return None if newest is None else max(0, self._state.now_ms - newest.time_ms)

    def edits_behind(self) -> int | None:
        newest = self._newest()
        return None if newest is None else self._state.catalog.edits - newest.edits
