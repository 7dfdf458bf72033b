"""Everything that can happen to the catalog, as values.

An edit already holds every choice (numbers, times, names), so that applying the same edits to another catalog gives
the same catalog. Those that answer a client carry the client's operation id.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.model import ChunkKey, Version, Wish
from core.namenode.garbage import Garbage


@dataclass(frozen=True)
class StartEpoch:
    """A NameNode takes the catalog over."""

    epoch: int


@dataclass(frozen=True)
class PublishVersion:
    """A version appears; the first one of an artifact makes the artifact."""

    operation: str
    artifact: int
    version: Version
    chunks: tuple[ChunkKey, ...]
    result: Version
    """What the client was told: the version, with warnings if there were any."""
    keep_versions: int = 0
    """How many of the artifact's newest versions are kept from now on; 0 for all."""


@dataclass(frozen=True)
class DeleteArtifact:
    """An artifact moves to the trash; its name is free."""

    operation: str
    artifact: int
    time_ms: int
    result: Version


@dataclass(frozen=True)
class UndeleteArtifact:
    """An artifact comes back from the trash."""

    operation: str
    artifact: int
    time_ms: int
    result: Version


@dataclass(frozen=True)
class ExpireTrash:
    """An artifact's time in the trash is over, before its end: it can't be undeleted, and is purged next."""

    operation: str
    artifact: int
    time_ms: int
    result: Version


@dataclass(frozen=True)
class SetReplication:
    """All versions of an artifact want another number of replicas of their chunks; later ones take it over."""

    operation: str
    artifact: int
    replication: int
    time_ms: int
    result: Version


@dataclass(frozen=True)
class PruneVersions:
    """The versions of an artifact before `oldest` are gone for good; what is left of them are their chunk lists, to be
    counted down."""

    artifact: int
    oldest: int


@dataclass(frozen=True)
class PurgeArtifact:
    """An artifact leaves the trash for good; its chunk lists are left, as when versions are pruned."""

    artifact: int


@dataclass(frozen=True)
class CountDown:
    """The chunk list of a version that is gone loses all from position `first` on; with 0 nothing is left of it.

    Chunks that nothing counts any more are garbage since `time_ms`.
    """

    artifact: int
    version: int
    first: int
    time_ms: int


@dataclass(frozen=True)
class NoteGarbage:
    """These chunks, which no version counts, are garbage."""

    entries: tuple[Garbage, ...]


@dataclass(frozen=True)
class ForgetGarbage:
    """These chunks are gone, or needed again."""

    chunk_ids: tuple[str, ...]


@dataclass(frozen=True)
class PromiseLeases:
    """No lease given by this NameNode or an earlier one is shown again after this time; 0: none at all."""

    until_ms: int


@dataclass(frozen=True)
class JoinNode:
    """A storage node registers for the first time."""

    node_id: str
    name: str
    host: str
    time_ms: int


@dataclass(frozen=True)
class MoveNode:
    """A storage node's directory was opened on another host."""

    node_id: str
    host: str


@dataclass(frozen=True)
class SetWish:
    """An operator asks something of a node."""

    operation: str
    node_id: str
    wish: Wish
    time_ms: int


@dataclass(frozen=True)
class ForgetNode:
    """A storage node that is gone for good leaves the cluster."""

    operation: str
    node_id: str
    name: str
    time_ms: int


@dataclass(frozen=True)
class NoteCheckpoint:
    """Storage nodes hold a checkpoint of the catalog, with its manifest; versions of its artifact before `oldest` are
    pruned."""

    artifact: int
    version: int
    """The checkpoint's."""
    oldest: int
    edits: int
    """How many are in it."""
    taken_ms: int


@dataclass(frozen=True)
class SpareTrash:
    """What went to the trash before a time counts as if it had gone there then."""

    not_before_ms: int


@dataclass(frozen=True)
class ForgetOperations:
    """Results of old operations are forgotten."""

    before_ms: int


ClientEdit = PublishVersion | DeleteArtifact | UndeleteArtifact | ExpireTrash | SetReplication | SetWish | ForgetNode
Edit = (
    ClientEdit
    | StartEpoch
    | PruneVersions
    | PurgeArtifact
    | CountDown
    | NoteGarbage
    | ForgetGarbage
    | PromiseLeases
    | JoinNode
    | MoveNode
    | NoteCheckpoint
    | SpareTrash
    | ForgetOperations
)

GROWING = (PublishVersion, NoteGarbage, PromiseLeases)
"""Edits that add to the catalog and can wait: on a full disk they are refused, and the others get the last room."""
