"""The trash: deleting, taking back, emptying. What is in it still counts its chunks."""

from __future__ import annotations

from core.errors import ArtifactExists, ArtifactNotFound
from core.model import TrashedArtifact, Version
from core.namenode import edits
from core.namenode.lookup import done, live_artifact, trashed
from core.namenode.state import State
from core.namenode.words import quoted


class Trash:
    def __init__(self, state: State) -> None:
        self._state = state

    def delete(self, operation: str, name: str) -> Version:
        state = self._state
        result = done(state, operation, Version)
        if result is not None:
            return result
        artifact = live_artifact(state, name)
        newest = state.catalog.newest(artifact)
        state.catalog.apply(edits.DeleteArtifact(operation, artifact, state.now_ms, newest))
        self._tell(f"{quoted(name)} deleted", name)
        return newest

    def undelete(self, operation: str, name: str) -> Version:
        state = self._state
        result = done(state, operation, Version)
        if result is not None:
            return result
        if state.catalog.live(name) is not None:
            raise ArtifactExists(
                f"An artifact named {quoted(name)} exists now, so the deleted one can't come back under that name;"
                " delete it first.",
                name=name,
            )
        artifact = self._trashed(name, "undeleted")
        newest = state.catalog.newest(artifact)
        state.catalog.apply(edits.UndeleteArtifact(operation, artifact, state.now_ms, newest))
        self._tell(f"{quoted(name)} undeleted", name)
        return newest

    def purge(self, operation: str, name: str) -> Version:
        """End an artifact's time in the trash now; housekeeping removes it, a version at a time."""
        state = self._state
        result = done(state, operation, Version)
        if result is not None:
            return result
        artifact = self._trashed(name, "purged")
        newest = state.catalog.newest(artifact)
        state.catalog.apply(edits.ExpireTrash(operation, artifact, state.now_ms, newest))
        self._tell(f"{quoted(name)} purged from the trash", name)
        return newest

    def list(self) -> list[TrashedArtifact]:
        """What can be undeleted, the one deleted last first."""
        return self._state.catalog.trash(self._state.now_ms, self._state.config.trash_retention_ms)

    def _trashed(self, name: str, what: str) -> int:
        artifact = trashed(self._state, name)
        if artifact is None:
            raise ArtifactNotFound(
                f"There is no artifact named {quoted(name)} in the trash; it can't be {what}. `trash` shows those there"
                " are.",
                name=name,
            )
        return artifact

    def _tell(self, text: str, name: str) -> None:
        self._state.events.record(self._state.now_ms, "info", text, artifact=name)
