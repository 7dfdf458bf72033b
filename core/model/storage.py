"""Between storage nodes and the NameNode."""

from __future__ import annotations

from dataclasses import dataclass

from core.model.client import ChunkKey, NodeRef
from core.model.words import Wish
from core.protocol import PROTOCOL_VERSION, RELEASE


@dataclass(frozen=True)
class DiskUsage:
    used_bytes: int
    """Bytes of chunk files of this node, those in quarantine included."""
    free_bytes: int
    """Bytes this node may still take: free on the filesystem less the reserve, within the node's own limit. Never
    negative."""
    disk: str
    """Names the filesystem, so that nodes which share one are not counted twice."""


@dataclass(frozen=True)
class Registration:
    """A storage node presents itself: at its start, and whenever the NameNode does not know it."""

    node_id: str
    cluster_id: str
    """Empty on a directory that has never joined a cluster."""
    incarnation: str
    """Made anew by each process that opens the directory."""
    endpoint: str
    host: str
    pid: int
    directory: str
    usage: DiskUsage
    protocol: int = PROTOCOL_VERSION
    """Looked at before all else; it stays where it is in every release."""
    release: str = RELEASE
    epoch: int = 0
    """Of the newest NameNode of its cluster that it has met; 0 before the first."""


@dataclass(frozen=True)
class RegistrationReply:
    cluster_id: str
    name: str
    """The node's short name, given once and kept in the catalog."""
    epoch: int
    wish: Wish


@dataclass(frozen=True)
class QuarantineUsage:
    """What a node's quarantine holds."""

    replicas: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Quarantined:
    """A file that was a replica and was found bad."""

    chunk: str
    size_bytes: int
    """Of the file, its header included."""
    since_ms: int


@dataclass(frozen=True)
class WalkReport:
    """What a storage node found when it compared its directory with what it believed to hold."""

    replicas: int
    """Held after it."""
    removed: int
    added: int
    corrupt: int
    quarantine: QuarantineUsage
    quarantined: tuple[Quarantined, ...]
    """The last thousand that came there."""


@dataclass(frozen=True)
class ScrubState:
    """How far a node is with re-reading its replicas."""

    order: int = 0
    """Number of the newest order to scrub that it heard of; 0: none."""
    ordered: bool = False
    """It is still busy with that order."""
    done: int = 0
    """Replicas re-read in this round, of `total`; in the last one while it rests."""
    total: int = 0
    bad: int = 0
    """Replicas that the round found corrupt, or missing when it began."""
    bytes_per_s: int = 0
    finished_ms: int = 0
    """When the last whole round ended; 0: none yet."""


@dataclass(frozen=True)
class Heartbeat:
    """What a storage node tells each second. Repeating one is harmless: changes carry the sequence number."""

    node_id: str
    incarnation: str
    sequence: int
    """Grows by one with each new heartbeat; the same while it is being repeated."""
    usage: DiskUsage
    chunks: int
    inventory_digest: int
    """XOR of `inventory_token(id)` over all chunks held, after the changes below."""
    received: tuple[ChunkKey, ...] = ()
    removed: tuple[str, ...] = ()
    """Deleted on command, or found missing."""
    corrupt: tuple[str, ...] = ()
    """Found corrupt and quarantined."""
    failed_copies: tuple[str, ...] = ()
    """Copies that were ordered and could not be made."""
    copying: int = 0
    read_bytes: int = 0
    """Read from this node since its process started."""
    written_bytes: int = 0
    copied_bytes: int = 0
    """The part of written_bytes that was pulled from other nodes."""
    quarantine: QuarantineUsage = QuarantineUsage()
    scrub: ScrubState = ScrubState()
    epoch: int | None = None
    """Of the NameNode that it obeys. None: not told."""


@dataclass(frozen=True)
class FullReport:
    """One page of a node's whole inventory. The last page replaces what the NameNode believed."""

    node_id: str
    incarnation: str
    report: int
    """Number of this report; pages of one report share it."""
    page: int
    pages: int
    chunks: tuple[ChunkKey, ...]
    sequence: int | None = None
    """Of the newest heartbeat that was made before it. None: not told."""
    epoch: int | None = None
    """Of the NameNode that it is for. None: not told."""


@dataclass(frozen=True)
class CopyChunk:
    """Pull a replica of this chunk from one of the sources, tried in order."""

    chunk: ChunkKey
    sources: tuple[NodeRef, ...]


@dataclass(frozen=True)
class DeleteChunk:
    chunk_id: str


@dataclass(frozen=True)
class SendFullReport:
    pass


@dataclass(frozen=True)
class ScrubAll:
    """Re-read every replica once, now, unless this order was heard of before."""

    order: int


@dataclass(frozen=True)
class StopServing:
    """An operator failed this node."""


@dataclass(frozen=True)
class GiveUp:
    """Another process owns this node's identity now; end yourself."""


@dataclass(frozen=True)
class BeginAnew:
    """You were given up for a while: be a new process to the NameNode, so that the deletes it had ordered are off."""


Command = CopyChunk | DeleteChunk | SendFullReport | ScrubAll | StopServing | GiveUp | BeginAnew


@dataclass(frozen=True)
class HeartbeatReply:
    epoch: int
    known: bool
    """False: register again, then repeat."""
    commands: tuple[Command, ...] = ()


def inventory_token(chunk_id: str) -> int:
    """A chunk's contribution to the digest of an inventory: the first 64 bits of its hash."""
    return int(chunk_id[:16], 16)
