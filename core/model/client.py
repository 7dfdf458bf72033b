"""Between clients and the NameNode."""

from __future__ import annotations

from dataclasses import dataclass

from core.model.artifacts import Version
from core.model.fsck import ChunkFinding
from core.model.words import Mode


@dataclass(frozen=True)
class NodeRef:
    """Where to reach a storage node. `endpoint` is opaque to everything but the room that makes calls."""

    id: str
    name: str
    host: str
    endpoint: str
    directory: str
    """Where its chunks are on its host."""


@dataclass(frozen=True)
class ChunkKey:
    """A chunk by name and length."""

    id: str
    size_bytes: int


@dataclass(frozen=True)
class BeginRequest:
    """Ask to write a version. `id` is made by the client; repeating a request with the same id is harmless."""

    id: str
    name: str
    mode: Mode
    size_bytes: int | None
    replication: int | None
    chunk_size_bytes: int | None
    keep_versions: int | None = None
    """How many of the artifact's newest versions to keep from now on, 0 for all; None for as many as before."""
    cluster_id: str | None = None
    """The only cluster that it is meant for; None for any."""


@dataclass(frozen=True)
class Lease:
    """The right to write one version, and the hold on its chunks until it is committed.

    The client shows it with each call, so that a NameNode that restarted meanwhile can take it up again.
    """

    id: str
    name: str
    mode: Mode
    replication: int
    chunk_size_bytes: int
    renewed_ms: int
    keep_versions: int = 0
    epoch: int = 0
    """Of the NameNode that gave it."""
    cluster_id: str = ""
    """Of the same NameNode's cluster: no other takes the lease up."""


@dataclass(frozen=True)
class Allocation:
    """Where a chunk goes."""

    chunk: ChunkKey
    stored: bool
    """True: the cluster has it with enough replicas; nothing need be sent."""
    targets: tuple[NodeRef, ...]
    """Nodes that should each store it; empty when `stored`."""
    quorum: int
    """How many of them must confirm; never 0 unless `stored`."""


@dataclass(frozen=True)
class Allocations:
    lease: Lease
    """The lease, renewed."""
    chunks: tuple[Allocation, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredChunk:
    """One entry of a version's chunk list, with the nodes that confirmed it to the client (none if it was stored
    before)."""

    chunk: ChunkKey
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class CommitRequest:
    lease: Lease
    size_bytes: int
    digest: str
    chunks: tuple[StoredChunk, ...]


@dataclass(frozen=True)
class LocatedChunk:
    index: int
    chunk: ChunkKey
    replicas: tuple[NodeRef, ...]
    """Best first; never empty."""


@dataclass(frozen=True)
class Located:
    """A window of a version's chunks and where to read them."""

    version: Version
    chunks: tuple[LocatedChunk, ...]
    artifact: int
    """The artifact's number, which no other ever has: with it, the next window is found after a delete, too."""


@dataclass(frozen=True)
class FsckPage:
    """What the NameNode finds in one part of all chunks; lists are bounded, totals exact."""

    next: str
    """Where the next part begins; empty after the last one."""
    chunks: int = 0
    missing: int = 0
    under: int = 0
    surplus: int = 0
    orphaned: int = 0
    orphaned_bytes: int = 0
    short: tuple[str, ...] = ()
    """Ids of all chunks of the part that are missing or under."""
    findings: tuple[ChunkFinding, ...] = ()
    catalog: tuple[str, ...] = ()


@dataclass(frozen=True)
class FsckStarted:
    """What the NameNode began at once to repair. The fields are those of Repairs."""

    wait_ended: str
    retried: int
    deleted: int


@dataclass(frozen=True)
class ScrubOrder:
    """A scrub that was asked for, and the ids of the nodes that were told to make it."""

    number: int
    nodes: tuple[str, ...]
