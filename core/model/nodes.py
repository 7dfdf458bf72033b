"""The cluster and its storage nodes, as users of the library see them."""

from __future__ import annotations

from dataclasses import dataclass

from core.model.words import DiskState, NodeState, Severity


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
    leases: int = 0
    """Uploads under way."""


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
