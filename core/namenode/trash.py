"""The trash: deleting, taking back, emptying. What is in it still counts its chunks."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import ArtifactExists, ArtifactNotFound
from core.model import TrashedArtifact, Version
from core.namenode import edits
from core.namenode.lookup import live_artifact, trashed
from core.namenode.operations import once
from core.namenode.state import State
from core.namenode.words import quoted


class Trash:
    def __init__(self, state: State) -> None:
        self._state = state

    def delete(self, operation: str, name: str) -> Version:
        return self._once(operation, edits.DeleteArtifact, name, lambda: live_artifact(self._state, name), "deleted")

    def undelete(self, operation: str, name: str) -> Version:
        return self._once(operation, edits.UndeleteArtifact, name, lambda: self._to_undelete(name), "undeleted")

    def purge(self, operation: str, name: str) -> Version:
        """End an artifact's time in the trash now; housekeeping removes it, a version at a time."""
        what = "purged from the trash"
        return self._once(operation, edits.ExpireTrash, name, lambda: self._trashed(name, "purged"), what)

    def list(self) -> list[TrashedArtifact]:
        """What can be undeleted, the one deleted last first."""
        return self._state.catalog.trash(self._state.now_ms, self._state.config.trash_retention_ms)

    def _once(
        self,
        operation: str,
        kind: type[edits.DeleteArtifact | edits.UndeleteArtifact | edits.ExpireTrash],
        name: str,
        find: Callable[[], int],
        what: str,
    ) -> Version:
        """Apply an edit of this kind to the artifact that is found, unless that was done already."""
        state = self._state

        def mutate() -> Version:
            artifact = find()
            newest = state.catalog.newest(artifact)
            state.catalog.apply(kind(operation, artifact, state.now_ms, newest))
            state.events.record(state.now_ms, "info", f"{quoted(name)} {what}", artifact=name)
            return newest

        return once(state, operation, kind, mutate)

    def _to_undelete(self, name: str) -> int:
        if self._state.catalog.live(name) is not None:
            raise ArtifactExists(
                f"An artifact named {quoted(name)} exists now, so the deleted one can't come back under that name;"
                " delete it first.",
                name=name,
            )
        return self._trashed(name, "undeleted")

    def _trashed(self, name: str, what: str) -> int:
        artifact = trashed(self._state, name)
        if artifact is None:
            raise ArtifactNotFound(
                f"There is no artifact named {quoted(name)} in the trash; it can't be {what}. `trash` shows those there"
                " are.",
                name=name,
            )
        return artifact
