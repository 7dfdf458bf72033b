"""What the doctor knows before it judges: plain values, gathered elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.model import ClusterStatus, NodeInfo


@dataclass(frozen=True)
class Space:
    """A file system, or the part of memory that looks like one."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class ProcessFacts:
    """A process of DAME: this one, the NameNode's or a storage node's."""

    host: str
    python: str
    ray: str
    release: str
    protocol: int
    clock_ms: int
    """Wall-clock time at the moment of the answer."""
    shared_memory: Space | None
    """Of /dev/shm; None where there is none."""
    disk: Space | None
    """The file system of its data directory; None for a process without one, or if it can't be looked at."""
    directory: str = ""
    ray_node_id: str = ""


@dataclass(frozen=True)
class Heard:
    """A process of the cluster and what it answered."""

    name: str
    """`the NameNode`, or the storage node's name."""
    facts: ProcessFacts
    asked_ms: int
    """This machine's wall-clock time when it was asked, and when the answer was there."""
    answered_ms: int


TokenState = Literal["there", "missing", "empty", "unreadable"]


@dataclass(frozen=True)
class Token:
    """How this process would show Ray's token."""

    mode: str
    """RAY_AUTH_MODE: `token`, or `disabled`."""
    source: str
    """`RAY_AUTH_TOKEN`, or the path of the file."""
    state: TokenState
    named: bool
    """The environment names it: Ray ends the process if it is not there."""
    permissions: int | None = None
    """Of the file, the nine bits."""


@dataclass(frozen=True)
class Port:
    """A port of the head, knocked at from here."""

    what: str
    host: str
    port: int
    needed: bool
    """The address that was given is this one."""
    trouble: str = ""
    """Why nothing answers; empty if something does."""

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Directory:
    """A data directory on this machine."""

    path: str
    kind: Literal["namenode", "storage"]
    cluster_id: str
    """Empty if it is not known."""
    node_id: str
    in_use: bool
    """A process holds it."""
    disk: Space | None
    trouble: str = ""
    """Why it can't be understood, as a sentence."""
    epoch: int = 0
    """Of the last NameNode that was started on this catalog, or of the newest that this storage node has met; 0: not
    known."""


LinkState = Literal["stopped", "starting", "refused", "reached"]
"""stopped: an embedded cluster that no process runs. starting: one that a process is starting or ending. refused: it
can't be reached, or won't let us in. reached: Ray has let us in."""

Cause = Literal["token", "versions", "other", ""]


@dataclass(frozen=True)
class Link:
    """How far one gets into the cluster from here."""

    place: str
    """Which cluster: `embedded in DIR`, or the address."""
    embedded: bool
    state: LinkState
    refusal: str = ""
    """Why it is refused, as sentences."""
    cause: Cause = ""
    """What kind of refusal it is."""


@dataclass(frozen=True)
class ClusterFacts:
    """What the cluster answered, as far as it did."""

    refusal: str = ""
    """Why the NameNode does not serve, as sentences; empty if it does."""
    other_release: bool = False
    """That is why: its release and this one do not understand each other."""
    status: ClusterStatus | None = None
    nodes: tuple[NodeInfo, ...] = ()
    heard: tuple[Heard, ...] = ()
    """The NameNode's process and those of storage nodes."""
    silent: tuple[str, ...] = ()
    """Names of storage nodes that are up for the NameNode and did not answer us."""
    object_stores: tuple[tuple[str, int], ...] = ()
    """Ray's node ids, and the bytes of shared memory that Ray takes on each."""


@dataclass(frozen=True)
class Facts:
    here: ProcessFacts
    token: Token
    ports: tuple[Port, ...]
    directories: tuple[Directory, ...]
    link: Link
    cluster: ClusterFacts
    object_store_bytes: int = 0
    """Shared memory that Ray is going to take on this machine; 0 if that is not known."""
