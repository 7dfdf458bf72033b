"""A whole cluster in one process: the NameNode and storage nodes that ship, on real directories, without Ray.

Time stands still until a test moves it. Each data call runs when it is waited for; a test may make a node refuse,
hang or corrupt.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from core.checkpoint.manifest import Manifest
from core.config import Config
from core.errors import DameError, NodeNotServing
from core.gateway import Call, NameNodeCalls
from core.model import BeginAnew, CopyChunk, NodeRef, SendFullReport
from core.namenode.catalog import Catalog
from core.namenode.namenode import NameNode
from core.namenode.service import NameNodeService
from core.storagenode.conversation import pull
from core.storagenode.storagenode import StorageNode
from core.store import ArtifactStore

MIB = 1024 * 1024


@dataclass
class Faults:
    """What is wrong with the way to one node."""

    dead: bool = False
    hangs: bool = False
    corrupts_reads: bool = False
    refuses_stores: DameError | None = None
    stores: int = 0
    reads: int = 0


class InProcessCall:
    """A data call; `done` once it ran."""

    def __init__(self, run: Any, faults: Faults) -> None:
        self._run = run
        self._faults = faults
        self._value: Any = None
        self._error: DameError | None = None
        self.done = False

    def step(self) -> None:
        """Run, unless it has or the node hangs."""
        if self.done or self._faults.hangs:
            return
        try:
            self._value = self._run()
        except DameError as error:
            self._error = error
        self.done = True

    def result(self) -> Any:
        assert self.done, "a call that hangs was asked for its result"
        if self._error is not None:
            raise self._error
        return self._value


@dataclass
class Cluster:
    """Drive it with `advance`; reach it through `store`."""

    directory: Path
    config: Config
    count: int = 4
    now_ms: int = 1_700_000_000_000
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    nodes: dict[str, StorageNode] = field(default_factory=dict)
    faults: dict[str, Faults] = field(default_factory=dict)
    ids: int = 0

    def __post_init__(self) -> None:
        self.start_namenode()
        for slot in range(self.count):
            self.start_node(f"slot-{slot}")
        self.advance(2_000)

    # --- Life and death -----------------------------------------------------------------------------------------

    def start_namenode(self) -> None:
        config = replace(self.config, catalog_ballast_bytes=0)  # hundreds of clusters would fill a real disk with it
        self.service = NameNodeService(self.directory / "namenode", config, self.new_id, lambda: self.rng)
        self.service.open(self.now_ms)

    def restart_namenode(self) -> None:
        self.service.close()
        self.start_namenode()

    @property
    def namenode(self) -> NameNode:
        assert self.service.namenode is not None, self.service.refusal
        return self.service.namenode

    @property
    def catalog(self) -> Catalog:
        assert self.service.catalog is not None
        return self.service.catalog

    def start_node(self, endpoint: str) -> StorageNode:
        node = StorageNode.open(self.directory / endpoint, self.config, host=f"host-of-{endpoint}", new_id=self.new_id)
        self.nodes[endpoint] = node
        self.faults[endpoint] = Faults()
        self.register(endpoint)
        return node

    def register(self, endpoint: str) -> None:
        node = self.nodes[endpoint]
        node.registered(self.namenode.register(self.now_ms, node.registration(endpoint, 1)))

    def kill(self, endpoint: str) -> None:
        self.nodes[endpoint].close()
        self.faults[endpoint].dead = True

    def restart_node(self, endpoint: str) -> StorageNode:
        self.nodes[endpoint].close()
        return self.start_node(endpoint)

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()
        self.service.close()

    # --- Time ---------------------------------------------------------------------------------------------------

    def advance(self, duration_ms: int) -> None:
        """Let time pass, a heartbeat of every living node each second."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + 1_000)
            self.beat()

    def scrub(self, endpoint: str) -> None:
        """A second of a node's scrubber."""
        node, faults = self.nodes[endpoint], self.faults[endpoint]
        left_ms = 1_000
        while left_ms > 0 and not (faults.dead or faults.hangs):
            left_ms -= max(1, node.look_after(self.now_ms))

    def beat(self) -> None:
        for endpoint, node in list(self.nodes.items()):
            self.scrub(endpoint)
            faults = self.faults[endpoint]
            if faults.dead or faults.hangs or not node.serving:
                continue
            heartbeat = node.heartbeat()
            reply = self.namenode.heartbeat(self.now_ms, heartbeat)
            if not reply.known:
                self.register(endpoint)
                continue
            node.confirmed(heartbeat.sequence)
            for command in node.obey(reply):
                self.carry_out(node, command)
        self.namenode.tick(self.now_ms)
        self.namenode.check_invariants()

    def carry_out(self, node: StorageNode, command: Any) -> None:
        if isinstance(command, SendFullReport):
            for page in node.full_report():
                self.namenode.full_report(self.now_ms, page)
        elif isinstance(command, BeginAnew):
            node.begin_anew()
            node.registered(self.namenode.register(self.now_ms, node.registration(self._endpoint(node), 1)))
        elif isinstance(command, CopyChunk):
            pull(node, command, self.read_from)

    def _endpoint(self, node: StorageNode) -> str:
        return next(endpoint for endpoint, known in self.nodes.items() if known is node)

    def read_from(self, source: NodeRef, chunk_id: str) -> bytes:
        if self.faults[source.endpoint].dead:
            raise NodeNotServing("its process does not answer")
        return bytes(self.nodes[source.endpoint].read(chunk_id))

    def new_id(self) -> str:
        self.ids += 1
        return f"{self.ids:08d}-0000-4000-8000-{self.rng.getrandbits(48):012x}"

    # --- A client's way in --------------------------------------------------------------------------------------

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(InProcessGateway(self), self.config, "in this process")


class InProcessGateway:
    """`core.gateway.Gateway` over a Cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def namenode(self) -> NameNodeCalls:
        return cast(NameNodeCalls, _NameNode(self._cluster))

    def put(self, data: memoryview) -> bytes:
        return bytes(data)

    def store(self, node: NodeRef, chunk_id: str, payload: bytes) -> Call:
        faults = self._faults(node)
        faults.stores += 1

        def run() -> None:
            if faults.refuses_stores is not None:
                raise faults.refuses_stores
            self._node(node).store(chunk_id, payload)

        return InProcessCall(run, faults)

    def read(self, node: NodeRef, chunk_id: str) -> Call:
        faults = self._faults(node)
        faults.reads += 1

        def run() -> bytes:
            data = bytes(self._node(node).read(chunk_id))
            return bytes([data[0] ^ 1]) + data[1:] if faults.corrupts_reads else data

        return InProcessCall(run, faults)

    def verify(self, node: NodeRef, chunk_id: str) -> Call:
        call = InProcessCall(lambda: self._node(node).verify(chunk_id), self._faults(node))
        call.step()
        return call

    def keep_checkpoint(self, node: NodeRef, manifest: Manifest) -> Call:
        return InProcessCall(lambda: self._node(node).keep_checkpoint(manifest), self._faults(node))

    def walk(self, node: NodeRef) -> Call:
        return InProcessCall(lambda: self._node(node).walk(), self._faults(node))

    def bring_back(self, node: NodeRef, chunk_ids: Sequence[str]) -> Call:
        return InProcessCall(lambda: self._node(node).bring_back(chunk_ids), self._faults(node))

    def fail(self, node: NodeRef) -> Call:
        return InProcessCall(lambda: self._node(node).fail(), self._faults(node))

    def recover(self, node: NodeRef) -> Call:
        return InProcessCall(lambda: self._node(node).recover(), self._faults(node))

    def wait(self, calls: Iterable[Call], timeout_ms: int) -> list[Call]:
        """Run every call whose node does not hang; when all hang, time passes."""
        pending = cast("list[InProcessCall]", list(calls))
        for call in pending:
            call.step()
        done: list[Call] = [call for call in pending if call.done]
        if not done:
            self._cluster.now_ms += timeout_ms
        return done

    def pause(self, duration_ms: int) -> None:
        self._cluster.advance(duration_ms)

    def monotonic_ms(self) -> int:
        return self._cluster.now_ms

    def wall_ms(self) -> int:
        return self._cluster.now_ms

    def unique_id(self) -> str:
        return self._cluster.new_id()

    def reconnect(self) -> None:
        """There is no connection to lose."""

    def close(self) -> None:
        """The cluster belongs to the test."""

    def _node(self, node: NodeRef) -> StorageNode:
        if self._faults(node).dead:
            raise NodeNotServing("its process does not answer")
        return self._cluster.nodes[node.endpoint]

    def _faults(self, node: NodeRef) -> Faults:
        return self._cluster.faults[node.endpoint]


class _NameNode:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments: self._cluster.service.ask(self._cluster.now_ms, method, *arguments)
