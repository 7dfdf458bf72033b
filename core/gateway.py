"""The seam between the client library and whatever carries its calls: Ray in production, one process in tests.

Client code is one thread that starts calls, waits for any of them, and looks at what came back. A failed call is a
value with an error, raised by `result()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from core.checkpoint.manifest import Manifest
from core.model import (
    Allocations,
    Artifact,
    ArtifactInfo,
    BeginRequest,
    ChunkKey,
    ClusterStatus,
    CommitRequest,
    Event,
    FsckPage,
    FsckStarted,
    Lease,
    Located,
    NodeDetail,
    NodeInfo,
    NodeRef,
    ScrubOrder,
    ScrubProgress,
    TrashedArtifact,
    Version,
    Wish,
)


class NameNodeCalls(Protocol):
    """What clients ask of the NameNode. `operation` is a unique id made by the caller, kept when the call is repeated.

    Every method may raise any DameError; ClusterUnreachable when no answer came within the retry time.
    """

    def begin(self, request: BeginRequest) -> Lease: ...
    def allocate(self, lease: Lease, chunks: Sequence[ChunkKey], excluded: Sequence[str]) -> Allocations: ...
    def commit(self, request: CommitRequest) -> Version: ...
    def abandon(self, lease: Lease) -> None: ...
    def locate(self, name: str, version: int | None, first: int, count: int, artifact: int | None = None) -> Located:
        """artifact: the number that an earlier window of the same reading came with."""

    def set_replication(self, operation: str, name: str, replication: int) -> Version: ...
    def delete(self, operation: str, name: str) -> Version: ...
    def undelete(self, operation: str, name: str) -> Version: ...
    def purge(self, operation: str, name: str) -> Version: ...
    def trash(self) -> list[TrashedArtifact]: ...
    def artifacts(self, pattern: str) -> list[Artifact]: ...
    def history(self, name: str) -> list[Version]: ...
    def info(self, name: str, version: int | None) -> ArtifactInfo: ...
    def status(self) -> ClusterStatus: ...
    def nodes(self) -> list[NodeInfo]: ...
    def node(self, node: str) -> NodeDetail: ...
    def node_ref(self, node: str) -> NodeRef: ...
    def events(self, since: int) -> list[Event]: ...
    def set_wish(self, operation: str, node: str, wish: Wish, instead_of: Wish | None) -> NodeInfo:
        """instead_of: change nothing unless this is what is wanted of the node now; None for whatever it is."""

    def forget(self, operation: str, node: str) -> str: ...
    def resume(self) -> bool: ...
    def scrub(self) -> ScrubOrder: ...
    def fsck(self, cursor: str, count: int) -> FsckPage: ...
    def fsck_repair(self) -> FsckStarted: ...
    def scrub_progress(self, order: ScrubOrder) -> ScrubProgress: ...
    def checkpoint_stored(self, manifest: Manifest, version: int, nodes: int) -> None: ...
    def checkpoint_failed(self, reason: str) -> None: ...


class Call(Protocol):
    """A call under way."""

    def result(self) -> Any:
        """The answer; blocks until it is there. Raises what the other side raised, or StorageNodeError if it is
        gone."""


class Gateway(Protocol):
    """How a client reaches the cluster."""

    @property
    def namenode(self) -> NameNodeCalls: ...

    def put(self, data: memoryview) -> Any:
        """Make bytes ready to be sent to several storage nodes at the cost of one copy. The answer is opaque."""

    def store(self, node: NodeRef, chunk_id: str, payload: Any) -> Call:
        """Ask a node to store what `put` returned. The result is None: the bytes are fsynced."""

    def read(self, node: NodeRef, chunk_id: str) -> Call:
        """The result is the chunk's bytes, as a buffer; not yet verified."""

    def verify(self, node: NodeRef, chunk_id: str) -> Call:
        """Ask a node to re-read a replica and to quarantine it if it is bad. The result is True for a good one."""

    def keep_checkpoint(self, node: NodeRef, manifest: Manifest) -> Call:
        """Ask a node to keep the manifest of a checkpoint. The result is None: it is on the disk."""

    def walk(self, node: NodeRef) -> Call:
        """Ask a node to compare its directory with what it believes to hold. The result is a WalkReport."""

    def bring_back(self, node: NodeRef, chunk_ids: Sequence[str]) -> Call:
        """Ask a node to look at its quarantined replicas of these chunks once more. The result is the number of good
        ones, which count again."""

    def fail(self, node: NodeRef) -> Call:
        """Tell a node to stop serving and beating."""

    def recover(self, node: NodeRef) -> Call:
        """Tell a failed node to serve and beat again."""

    def wait(self, calls: Iterable[Call], timeout_ms: int) -> list[Call]:
        """Those that are done: at least one, or none if the time ran out."""

    def pause(self, duration_ms: int) -> None:
        """Let time pass, when there is no call to wait for."""

    def monotonic_ms(self) -> int: ...

    def wall_ms(self) -> int: ...

    def unique_id(self) -> str: ...

    def reconnect(self) -> None:
        """Drop the connection and make it anew. Raises ClusterUnreachable."""

    def close(self) -> None: ...
