"""What `fsck` finds and repairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.model.words import NodeState

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
