"""What crosses a border: between NameNode, storage nodes and clients, and from the library to its users.

All are frozen dataclasses of plain values, so they pickle, compare and turn into JSON without help.
Bytes and milliseconds are integers; `*_ms` without "age" or "timeout" is wall-clock time since the epoch.
A chunk id is the BLAKE3 hash of the chunk's bytes, 64 hexadecimal digits. An artifact's digest is the BLAKE3 hash of
its whole content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Health = Literal["ok", "under", "at_risk", "lost"]
"""ok: all replicas there; under: some missing; at_risk: one left of several wanted; lost: none on a node that is up."""

NodeState = Literal["up", "suspect", "down", "failed", "draining", "drained"]
"""One word for the screen, from liveness and the operator's wish together; `failed` before `down` before the rest."""

Wish = Literal["none", "failed", "draining"]
"""What an operator asked of a node. Hard state."""

DiskState = Literal["ok", "filling", "no_new_chunks", "read_only"]
"""How much room a storage node has left: enough; so little that a person should know; only for healing; none."""

Severity = Literal["info", "warning", "error"]

Mode = Literal["upload", "update", "checkpoint"]
"""checkpoint: the next version of the hidden artifact CHECKPOINT_NAME, or its first."""

CHECKPOINT_NAME = "\x01catalog"
"""The artifact whose versions are copies of the catalog. No user can give this name: it has a control character."""

DISK_STATES: tuple[DiskState, ...] = ("ok", "filling", "no_new_chunks", "read_only")
NODE_STATES: tuple[NodeState, ...] = ("up", "suspect", "down", "failed", "draining", "drained")


# --- What users of the library see ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """One immutable version of an artifact."""

    name: str
    version: int
    size_bytes: int
    chunks: int
    chunk_size_bytes: int
    replication: int
    digest: str
    created_ms: int
    warnings: tuple[str, ...] = ()
    """Sentences about what was acknowledged with less than was asked for; only in the answer to upload and update."""


@dataclass(frozen=True)
class Artifact:
    """A row of `list`: the newest version of a live artifact."""

    name: str
    version: int
    size_bytes: int
    chunks: int
    replication: int
    health: Health
    digest: str
    modified_ms: int


@dataclass(frozen=True)
class ChunkInfo:
    """One chunk of a version, and where its good replicas are."""

    index: int
    id: str
    size_bytes: int
    replicas: tuple[str, ...]
    """Ids of the storage nodes, up or suspect, that hold a replica."""


@dataclass(frozen=True)
class ArtifactInfo:
    """All about one version of an artifact."""

    name: str
    version: int
    size_bytes: int
    replication: int
    health: Health
    digest: str
    chunk_size_bytes: int
    created_ms: int
    versions: int
    """How many versions the artifact has."""
    chunks: tuple[ChunkInfo, ...]
    newest: int = 0
    """Number of its newest version."""
    keep_versions: int = 0
    """How many of the newest are kept; older ones are removed. 0 for all."""


@dataclass(frozen=True)
class NodeInfo:
    """A row of `nodes`."""

    id: str
    name: str
    state: NodeState
    reason: str
    """Why it is in this state, as a sentence."""
    host: str
    chunks: int
    used_bytes: int
    capacity_bytes: int
    """What the node could hold in chunks: used plus free. Nodes on one disk share the free part."""
    free_bytes: int
    disk: DiskState
    heartbeat_age_ms: int
    pid: int
    directory: str
    copying: int
    """Replica copies this node is pulling."""
    corrupt: int
    """Replicas quarantined here since the NameNode started."""
    read_bytes_per_s: int
    write_bytes_per_s: int
    started_ms: int
    """When this process registered with the NameNode."""
    drain_left: int | None = None
    """Chunks on a draining node that still lack replicas elsewhere; None when it is not draining."""
    drain_total: int | None = None
    """How many of them there were when the drain began."""
    drain_eta_ms: int | None = None
    """When it will be drained at the speed of late, in milliseconds from now; None while that is not known."""
    drain_warning: str = ""
    """What can't be copied off a draining node and why, as a sentence; empty when everything can."""
    quarantined: int = 0
    """Replicas in its quarantine: found bad, and kept for a while."""
    quarantined_bytes: int = 0
    """Part of used_bytes."""
    scrub_done: int = 0
    """Replicas re-read in the present round of its scrubber, or in the last one while it rests."""
    scrub_total: int = 0
    scrub_bytes_per_s: int = 0
    last_scrub_ms: int = 0
    """When it had last re-read all its replicas; 0: never yet."""


@dataclass(frozen=True)
class NodeArtifact:
    """An artifact that has chunks on a node."""

    name: str
    version: int
    chunks: int
    """How many of its chunks are on the node."""


@dataclass(frozen=True)
class NodeDetail:
    """All about one storage node: the row, and what is on it."""

    node: NodeInfo
    artifacts: tuple[NodeArtifact, ...]
    """The first thousand by name."""
    artifacts_total: int


@dataclass(frozen=True)
class ClusterStatus:
    """The cluster at one moment."""

    cluster_id: str
    nodes: dict[str, int]
    """Count by state; every state of NODE_STATES is a key."""
    artifacts: int
    versions: int
    chunks: int
    logical_bytes: int
    """What users stored: the sum of the sizes of all live versions."""
    stored_bytes: int
    """What the disks hold: the sum over all replicas on nodes that are not down."""
    capacity_bytes: int
    under_replicated: int
    """Chunks with fewer replicas than wanted, the at-risk ones included."""
    at_risk: int
    """Chunks with one replica left of several wanted."""
    missing: int
    """Chunks without a replica on any node that is up."""
    healing: int
    """Replica copies ordered and not yet confirmed."""
    rebalancing: int
    """Replica copies under way that even out how full the storage nodes are."""
    healing_waits: str
    """Why healing waits, as a sentence; empty when it does not."""
    healing_bytes: int
    """Bytes of replicas still to be copied, those under way included."""
    healing_bytes_per_s: int
    """Bytes of replicas copied per second, lately."""
    healing_eta_ms: int | None
    """When healing will be done at that speed, in milliseconds from now; None while that is not known."""
    corrupt: int
    """Replicas quarantined since the NameNode started."""
    garbage_bytes: int
    """Bytes of chunks that nothing counts any more and that are yet to be removed."""
    trash: int
    """Deleted artifacts that can be undeleted."""
    safe_mode: bool
    epoch: int
    read_bytes_per_s: int
    write_bytes_per_s: int
    started_ms: int
    now_ms: int
    quarantined: int = 0
    """Replicas in quarantine on nodes that are not down."""
    quarantined_bytes: int = 0
    """Part of stored_bytes."""
    scrub_done: int = 0
    """Replicas re-read in the present rounds of all nodes that are not down."""
    scrub_total: int = 0
    scrub_bytes_per_s: int = 0
    last_scrub_ms: int = 0
    """Every replica on these nodes was re-read since a round that ended then; 0: not all yet."""
    garbage_due_ms: int | None = None
    """When the first of the garbage is to be removed, in the past if something holds that up; None without garbage."""
    garbage_chunks: int = 0
    unknown_bytes: int = 0
    """Part of garbage_bytes: chunks found on storage nodes that this cluster knows nothing of. They are kept longer."""
    trash_bytes: int = 0
    """Sizes of all versions of the artifacts in the trash."""
    checkpoint_age_ms: int | None = None
    """How old the newest copy of the catalog on the storage nodes is; None if there is none."""
    checkpoint_edits_behind: int | None = None
    """Edits of the catalog that are not in it."""
    read_only: str = ""
    """Why nothing can be stored or changed, as a sentence; empty when it can."""


@dataclass(frozen=True)
class TrashedArtifact:
    """A row of `trash`: an artifact that was deleted and can be undeleted."""

    name: str
    version: int
    """Its newest."""
    versions: int
    size_bytes: int
    """Of all its versions together."""
    deleted_ms: int
    purge_ms: int
    """When it is removed for good."""


@dataclass(frozen=True)
class Event:
    """Something worth telling an operator."""

    seq: int
    """Grows with every event, also across restarts of the NameNode."""
    time_ms: int
    severity: Severity
    text: str
    node: str = ""
    """Id of the node it is about, if any."""
    artifact: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a transfer is."""

    done_bytes: int
    total_bytes: int | None
    """None while the source's size is unknown (a pipe)."""
    sent_bytes: int
    """Part of done_bytes that had to be moved; the rest was stored already."""
    stage: Literal["starting", "transferring", "committing", "done"]


ChunkProblem = Literal["missing", "under", "surplus", "orphaned"]
"""missing: no good replica on a node that is up; under: fewer than wanted; surplus: more; orphaned: held, and counted
by no version."""


@dataclass(frozen=True)
class ChunkFinding:
    """A chunk that is not as it should be."""

    chunk: str
    size_bytes: int
    problem: ChunkProblem
    wanted: int
    replicas: int
    """Good ones that can be read."""
    nodes: tuple[str, ...]
    """Names of the nodes that hold a replica, or of a missing chunk held one last."""
    note: str
    """What else is to be said, such as when garbage goes; may be empty."""
    artifacts: tuple[str, ...] = ()
    """The first few artifacts that have it, in any version, those in the trash included."""
    artifacts_total: int = 0


@dataclass(frozen=True)
class QuarantinedReplica:
    """A replica found bad, and kept for a while."""

    node: str
    """Name of the storage node."""
    chunk: str
    size_bytes: int
    since_ms: int


@dataclass(frozen=True)
class NodeCheck:
    """What `fsck` found on one storage node's disk."""

    node: str
    state: NodeState
    walked: bool
    """Its directory was compared with what it believes to hold."""
    trouble: str
    """Why not, if it was not."""
    replicas: int = 0
    removed: int = 0
    """Replicas whose file was gone."""
    added: int = 0
    """Good replicas that it did not know of."""
    corrupt: int = 0
    """Files that were not what they should be; they are in quarantine now."""
    quarantined: int = 0
    quarantined_bytes: int = 0


@dataclass(frozen=True)
class Repairs:
    """What `fsck --repair` did."""

    wait_ended: str
    """Why healing waited until then; empty if it did not."""
    retried: int
    """Chunks short of replicas that were given another try."""
    brought_back: int
    """Replicas that were good after all and left quarantine."""
    deleted: int
    """Surplus and orphaned replicas that were ordered to be deleted at once."""
    healed: int
    """Chunks that were missing or short of replicas and are well now."""


@dataclass(frozen=True)
class FsckReport:
    """All that `fsck` found. With repair: what is left after it. Totals are exact, lists bounded."""

    clean: bool
    """Nothing is missing, short of replicas or contradictory, and no disk was different from what was believed of it;
    after a repair: is so now. Surplus and garbage are normal for a while, as are bad replicas that were replaced."""
    deep: bool
    """Every replica was re-read."""
    bad: int
    """Replicas that the re-reading found bad."""
    chunks: int
    """That versions count."""
    missing: int
    under: int
    surplus: int
    orphaned: int
    orphaned_bytes: int
    corrupt: int
    """Replicas in quarantine."""
    findings: tuple[ChunkFinding, ...]
    quarantined: tuple[QuarantinedReplica, ...]
    nodes: tuple[NodeCheck, ...]
    catalog: tuple[str, ...]
    """Sentences about what contradicts itself in the catalog."""
    repairs: Repairs | None = None


@dataclass(frozen=True)
class ScrubProgress:
    """How far the nodes are with a scrub that was asked for."""

    nodes: int
    """How many were asked."""
    finished: int
    """How many of them are through."""
    away: tuple[str, ...]
    """Names of those that are neither through nor up: nobody waits for them."""
    done: int
    """Replicas re-read by all of them, of `total`."""
    total: int
    bad: int
    """Replicas found bad."""
    bytes_per_s: int


@dataclass(frozen=True)
class Steps:
    """How far something is that takes long and moves no content."""

    doing: str
    """What is being done, in a few words."""
    done: int
    total: int
    """0 while it is not known."""


# --- Between clients and the NameNode ---------------------------------------------------------------------------


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


# --- Between storage nodes and the NameNode ---------------------------------------------------------------------


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
    """Replicas that the round found bad."""
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


Command = CopyChunk | DeleteChunk | SendFullReport | ScrubAll | StopServing | GiveUp


@dataclass(frozen=True)
class HeartbeatReply:
    epoch: int
    known: bool
    """False: register again, then repeat."""
    commands: tuple[Command, ...] = ()


def inventory_token(chunk_id: str) -> int:
    """A chunk's contribution to the digest of an inventory: the first 64 bits of its hash."""
    return int(chunk_id[:16], 16)
