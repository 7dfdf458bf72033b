"""What must be true, kept beside the cluster: from the edits in the order in which they took effect, and from what
clients asked for and were told.

The order of the edits is the order of the world. An answer is right if it was true at some moment between its question
and its arrival.
"""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from core.errors import ArtifactExists, ArtifactNotFound, DameError, VersionNotFound
from core.model import CHECKPOINT_NAME, Artifact, Version
from core.namenode import edits
from core.namenode.catalog import Catalog
from core.namenode.writing import _counts
from tests.simulation.trace import Trace


class Violation(BaseException):
    """A promise was broken. Not an Exception: nothing may catch it on its way."""


@dataclass(frozen=True)
class Intent:
    """What a client asked for under an operation id."""

    kind: str
    name: str
    content: bytes = b""


@dataclass
class ArtifactModel:
    name: str
    versions: list[Version] = field(default_factory=list)
    keep_versions: int = 0
    """So many of the newest are kept; 0 for all."""
    deleted_ms: int | None = None
    """When it went to the trash; 0 if its time there was ended."""


class Oracle:
    def __init__(self, directory: Path, trace: Trace) -> None:
        self._directory = directory
        self.replay = Catalog.open(directory / "replay", "the replayed copy")
        """The same edits, applied to another catalog."""
        self.edits: list[edits.Edit] = []
        self.checkpointed = 0
        """How many edits the newest checkpoint holds that the NameNode was told of."""
        self.removed: set[str] = set()
        """Chunks that were garbage, and perhaps gone, when an older catalog that counts them was restored."""
        self.contents: dict[str, bytes] = {}
        """Everything that was ever to be stored, by digest."""
        self.moment = 0
        """Edits so far."""
        self.applied_operations: dict[str, edits.Edit] = {}
        self.pruned: dict[str, set[int]] = {}
        """By name, versions that were removed because newer ones came."""
        self._trace = trace
        self._intents: dict[str, Intent] = {}
        self._artifacts: dict[int, ArtifactModel] = {}
        self._moments: dict[str, list[int]] = {}
        self._states: dict[str, list[Version | None]] = {}
        """By name: from which moment on, and the newest version or None."""

    def close(self) -> None:
        self.replay.close()

    # --- Questions of clients -----------------------------------------------------------------------------------------

    def intends(self, operation: str, intent: Intent) -> None:
        self._intents[operation] = intent
        if intent.kind in ("upload", "update"):
            self.contents[blake3(intent.content).hexdigest()] = intent.content

    # --- Edits --------------------------------------------------------------------------------------------------------

    def applied(self, edit: edits.Edit) -> None:
        """An edit took effect in the catalog."""
        self.moment += 1
        self.edits.append(edit)
        self._trace.note(f"EDIT {type(edit).__name__} {getattr(edit, 'operation', '')[:8]}")
        self.replay.apply(edit)
        operation = getattr(edit, "operation", None)
        if operation is not None:
            self._check_once(operation, edit)
        if isinstance(edit, edits.PublishVersion):
            self._published(edit)
        elif isinstance(edit, edits.DeleteArtifact):
            self._artifacts[edit.artifact].deleted_ms = edit.time_ms
            self._set(self._artifacts[edit.artifact].name, None)
        elif isinstance(edit, edits.UndeleteArtifact):
            model = self._artifacts[edit.artifact]
            require(self._now(model.name) is None, f"{model.name} came back although it is there")
            model.deleted_ms = None
            self._set(model.name, model.versions[-1])
        elif isinstance(edit, edits.ExpireTrash):
            self._artifacts[edit.artifact].deleted_ms = 0
        elif isinstance(edit, edits.NoteCheckpoint):
            self.checkpointed = edit.edits
        elif isinstance(edit, edits.PruneVersions) and edit.artifact in self._artifacts:
            model = self._artifacts[edit.artifact]
            gone = {version.version for version in model.versions if version.version < edit.oldest}
            self.pruned.setdefault(model.name, set()).update(gone)
            model.versions = [version for version in model.versions if version.version >= edit.oldest]
            require(bool(model.versions), f"{model.name} was pruned of its newest version")
        elif isinstance(edit, edits.PurgeArtifact):
            self._artifacts.pop(edit.artifact, None)

    def _check_once(self, operation: str, edit: edits.Edit) -> None:
        require(operation not in self.applied_operations, f"operation {operation} was applied twice")
        require(operation in self._intents, f"operation {operation} was asked for by nobody")
        self.applied_operations[operation] = edit

    def _published(self, edit: edits.PublishVersion) -> None:
        version, intent = edit.version, self._intents[edit.operation]
        if version.name == CHECKPOINT_NAME:
            self._check_checkpoint(intent)
            return
        model = self._artifacts.setdefault(edit.artifact, ArtifactModel(version.name))
        require(version.name == intent.name == model.name, f"{version.name} was published for {intent.name}")
        require(version.digest == blake3(intent.content).hexdigest(), f"{version.name} has another content")
        newest = model.versions[-1].version if model.versions else 0
        require(version.version == newest + 1, f"{version.name} skips to version {version.version}")
        ids = pieces(intent.content, version.chunk_size_bytes)
        require(ids == [key.id for key in edit.chunks], f"{version.name} has another list of chunks")
        model.versions.append(version)
        model.keep_versions = edit.keep_versions
        self._set(version.name, version)

    def _check_checkpoint(self, intent: Intent) -> None:
        """A copy of the catalog is published as an artifact that no client sees."""
        require(intent.kind == "checkpoint", f"{intent.kind} of {intent.name} was published as a checkpoint")

    def _set(self, name: str, state: Version | None) -> None:
        self._moments.setdefault(name, [0]).append(self.moment)
        self._states.setdefault(name, [None]).append(state)

    def _now(self, name: str) -> Version | None:
        return self._states.get(name, [None])[-1]

    # --- What was true when -------------------------------------------------------------------------------------------

    def states(self, name: str, since: int) -> list[Version | None]:
        """All states of a name from a moment until now."""
        moments = self._moments.get(name, [0])
        first = max(0, bisect_right(moments, since) - 1)
        return self._states.get(name, [None])[first:]

    @property
    def live(self) -> dict[str, Version]:
        return {name: states[-1] for name, states in self._states.items() if states[-1] is not None}

    def deleted(self) -> list[str]:
        """Names that had an artifact, and have none."""
        return [name for name, states in self._states.items() if states[-1] is None]

    def trash(self, since_ms: int) -> dict[str, Version]:
        """What can come back of what went to the trash since a time: by name, the newest version of what was deleted
        last."""
        last: dict[str, tuple[int, int, Version]] = {}
        for artifact, model in self._artifacts.items():
            if model.deleted_ms is not None and model.deleted_ms >= since_ms and self._now(model.name) is None:
                entry = (model.deleted_ms, artifact, model.versions[-1])
                last[model.name] = max(last.get(model.name, entry), entry, key=lambda known: known[:2])
        return {name: newest for name, (_, _, newest) in last.items()}

    def overdue(self, since_ms: int) -> list[str]:
        """Names of artifacts that went to the trash before a time, and of those with more versions than are kept."""
        return [
            model.name
            for model in self._artifacts.values()
            if (model.deleted_ms is not None and model.deleted_ms < since_ms)
            or 0 < model.keep_versions < len(model.versions)
        ]

    def may_remove(self, edit: edits.PurgeArtifact | edits.PruneVersions, since_ms: int) -> bool:
        """Whether versions may go: of what went to the trash before this time, or those beyond the number to keep."""
        model = self._artifacts.get(edit.artifact)
        if model is None or (model.deleted_ms is not None and model.deleted_ms < since_ms):
            return True  # none of a client's, or expired
        if isinstance(edit, edits.PurgeArtifact):
            return False
        left = sum(version.version >= edit.oldest for version in model.versions)
        return 0 < model.keep_versions <= left

    def versions(self) -> list[Version]:
        """All versions that are kept, of artifacts in the trash too."""
        return [version for model in self._artifacts.values() for version in model.versions]

    def versions_of(self, name: str, newest: Version) -> list[int]:
        """The versions of a live artifact that are kept, and whole."""
        model = next(model for model in self._artifacts.values() if model.name == name and newest in model.versions)
        return [version.version for version in model.versions if self.is_whole(version)]

    def is_whole(self, version: Version) -> bool:
        return not self.removed or self.removed.isdisjoint(
            pieces(self.contents[version.digest], version.chunk_size_bytes)
        )

    # --- Answers to clients -------------------------------------------------------------------------------------------

    def acknowledged(self, operation: str, answer: Version) -> None:
        """A client was told that its mutation is durable."""
        edit = self.applied_operations.get(operation)
        intent = self._intents[operation]
        require(edit is not None, f"{intent.kind} of {intent.name} was acknowledged and never committed")
        result = getattr(edit, "result", None)
        same = isinstance(result, Version) and (result.name, result.version, result.digest) == (
            answer.name,
            answer.version,
            answer.digest,
        )
        require(same, f"{intent.kind} of {intent.name} was answered with {answer}, committed as {result}")

    def refused(self, intent: Intent, error: DameError, since: int) -> None:
        """A client was told that its request does not fit what is stored."""
        states = self.states(intent.name, since)
        if isinstance(error, ArtifactExists):
            require(any(state is not None for state in states), f"{intent.kind} {intent.name}: told that it exists")
        elif isinstance(error, ArtifactNotFound) and intent.kind not in ("undelete", "purge"):
            require(None in states, f"{intent.kind} of {intent.name}: told that it does not exist")

    def was_read(self, name: str, content: bytes, since: int) -> None:
        """A client read the newest version."""
        digest = blake3(content).hexdigest()
        require(
            any(state is not None and state.digest == digest for state in self.states(name, since)),
            f"{name} was read as something it never was in that time",
        )

    def piece_was_read(self, name: str, first: int, piece: bytes, since: int) -> None:
        """A client read from a place in the newest version."""
        whole = [self.contents[state.digest] for state in self.states(name, since) if state is not None]
        require(
            any(content[first : first + len(piece)] == piece for content in whole),
            f"{name} was read from {first} as something it never was in that time",
        )

    def was_listed(self, rows: Sequence[Artifact], since: int) -> None:
        """A client listed all artifacts: each as it was at some moment, and none is missing that was there always."""
        listed = {row.name: (row.version, row.digest) for row in rows}
        for name, row in listed.items():
            known = [(state.version, state.digest) for state in self.states(name, since) if state is not None]
            require(row in known, f"{name} is listed as {row}, which it was not in that time")
        for name in self._states:
            require(name in listed or None in self.states(name, since), f"{name} is missing in a list")

    def version_was_read(self, name: str, version: int, content: bytes, before: list[Version]) -> None:
        """A client read one version. before: all there were when it asked."""
        known = {kept.digest for kept in (*before, *self.versions()) if (kept.name, kept.version) == (name, version)}
        require(blake3(content).hexdigest() in known, f"{name} version {version} was read as another content")

    def version_was_refused(self, name: str, version: int, error: DameError, since: int) -> None:
        if isinstance(error, VersionNotFound):
            states = self.states(name, since)
            require(
                any(state is None or state.version < version for state in states)
                or version in self.pruned.get(name, ()),
                f"{name} version {version}: told that there is none",
            )

    def check_replay(self, catalog: Catalog) -> None:
        """The catalog holds what the edits say, and nothing else."""
        live, replayed = catalog.dump(), self.replay.dump()
        for table, rows in live.items():
            if table == "facts":
                rows = [row for row in rows if row[0] != "cluster_id"]
                replayed[table] = [row for row in replayed[table] if row[0] != "cluster_id"]
            require(rows == replayed[table], f"the catalog's table {table} is not what its edits say")

    # --- A catalog that was restored ----------------------------------------------------------------------------------

    def restored(self, path: Path, known: int) -> None:
        """The catalog in this file was restored from a checkpoint of so many edits; what came after them is lost."""
        needed = {need.chunk.id for need in self.replay.needs()}
        require(known >= self.checkpointed, f"restored edit {known}, and a checkpoint held {self.checkpointed}")
        self.replay.close()
        earlier = Oracle(self._directory / "earlier", self._trace)
        earlier._intents, earlier.contents = self._intents, self.contents
        for edit in self.edits:
            if earlier.replay.edits == known and _counts(edit):
                break
            earlier.applied(edit)
        target = self._directory / "restored"
        target.mkdir()
        shutil.copy(path, target / path.name)
        restored = Catalog.open(target, "the restored copy")
        for table in ("artifacts", "versions", "chunk_lists", "nodes"):
            rows, expected = (_visible(catalog, table) for catalog in (restored, earlier.replay))
            require(rows == expected, f"the restored catalog's table {table} is not what it was at edit {known}")
        earlier.replay.close()
        earlier.replay, earlier.checkpointed = restored, 0
        earlier.removed = {need.chunk.id for need in restored.needs()} - needed
        self.__dict__.update(earlier.__dict__)


def _visible(catalog: Catalog, table: str) -> list[tuple[Any, ...]]:
    """A table's rows, without what belongs to checkpoints or is left of versions that are gone: a restored catalog has
    none of these."""
    dump, hidden = catalog.dump(), catalog.live(CHECKPOINT_NAME)
    left = {row[:2] for row in dump["leftovers"]}
    return [row for row in dump[table] if table == "nodes" or not (row[0] == hidden or row[:2] in left)]


def pieces(content: bytes, size_bytes: int) -> list[str]:
    """The ids of the chunks of a content."""
    return [blake3(content[at : at + size_bytes]).hexdigest() for at in range(0, len(content), size_bytes)]


def require(true: bool, otherwise: str) -> None:
    if not true:
        raise Violation(otherwise)
