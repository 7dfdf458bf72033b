"""A cluster in one thread with virtual time: fake storage nodes around a real NameNode.

The fake nodes hold chunk ids instead of bytes. After each step the NameNode's invariants are checked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from core.config import Config
from core.model import (
    BeginAnew,
    BeginRequest,
    ChunkKey,
    CommitRequest,
    CopyChunk,
    DeleteChunk,
    DiskUsage,
    FullReport,
    GiveUp,
    Heartbeat,
    HeartbeatReply,
    Lease,
    QuarantineUsage,
    Registration,
    ScrubAll,
    ScrubState,
    SendFullReport,
    StopServing,
    StoredChunk,
    Version,
    inventory_token,
)
from core.namenode import Catalog, NameNode

MIB = 1024 * 1024
Told = TypeVar("Told")
CLUSTER_ID = "c1a5ce11-0000-4000-8000-000000000000"


def key_of(content: bytes) -> ChunkKey:
    return ChunkKey(blake3(content).hexdigest(), len(content))


def split(content: bytes, size_bytes: int) -> list[ChunkKey]:
    return [key_of(content[start : start + size_bytes]) for start in range(0, len(content), size_bytes)]


@dataclass
class FakeNode:
    """A storage node's side of the protocol, without a disk."""

    id: str
    host: str
    capacity_bytes: int = 1000 * MIB
    chunks: dict[str, int] = field(default_factory=dict)
    cluster_id: str = ""
    directory: str = ""
    disk: str = ""
    alive: bool = True
    serving: bool = True
    incarnation: str = ""
    starts: int = 0
    sequence: int = 0
    reports: int = 0
    page_chunks: int = 1000
    registered: bool = False
    received: list[ChunkKey] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    failed_copies: list[str] = field(default_factory=list)
    scrubs: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    copied_bytes: int = 0
    scrub: ScrubState = field(default_factory=ScrubState)
    quarantine: QuarantineUsage = field(default_factory=QuarantineUsage)
    gave_up: bool = False
    told: list[object] = field(default_factory=list)
    """Every command that arrived."""

    def __post_init__(self) -> None:
        self.directory = self.directory or f"/data/{self.id}"
        self.start()

    def start(self) -> None:
        """A new process opens the directory."""
        self.starts += 1
        self.incarnation = f"{self.id}#{self.starts}"
        self.alive, self.serving, self.registered, self.sequence = True, True, False, 0
        self.read_bytes = self.written_bytes = self.copied_bytes = 0
        self.received, self.removed, self.corrupt, self.failed_copies = [], [], [], []

    def kill(self) -> None:
        self.alive = False

    def begin_anew(self) -> None:
        """The same process under another name."""
        self.starts += 1
        self.incarnation = f"{self.id}#{self.starts}"

    @property
    def works(self) -> bool:
        return self.alive and self.serving

    def store(self, key: ChunkKey) -> None:
        if key.id not in self.chunks:
            self.chunks[key.id] = key.size_bytes
            self.received.append(key)
        elif key not in self.received:
            self.received.append(key)
        if key.id in self.removed:
            self.removed.remove(key.id)

    def drop(self, chunk_id: str) -> None:
        if self.chunks.pop(chunk_id, None) is None:
            return
        self.received = [key for key in self.received if key.id != chunk_id]
        self.removed.append(chunk_id)

    def spoil(self, chunk_id: str) -> None:
        """A replica is found corrupt and put into quarantine."""
        del self.chunks[chunk_id]
        self.received = [key for key in self.received if key.id != chunk_id]
        self.corrupt.append(chunk_id)

    def usage(self) -> DiskUsage:
        used = sum(self.chunks.values())
        return DiskUsage(used, max(0, self.capacity_bytes - used), self.disk or f"disk-of-{self.id}")

    def registration(self) -> Registration:
        return Registration(
            self.id, self.cluster_id, self.incarnation, f"actor:{self.incarnation}", self.host, 4711, self.directory,
            self.usage(),
        )  # fmt: skip

    def heartbeat(self) -> Heartbeat:
        self.sequence += 1
        digest = 0
        for chunk_id in self.chunks:
            digest ^= inventory_token(chunk_id)
        heartbeat = Heartbeat(
            self.id,
            self.incarnation,
            self.sequence,
            self.usage(),
            len(self.chunks),
            digest,
            tuple(self.received),
            tuple(self.removed),
            tuple(self.corrupt),
            tuple(self.failed_copies),
            read_bytes=self.read_bytes,
            written_bytes=self.written_bytes,
            copied_bytes=self.copied_bytes,
            quarantine=self.quarantine,
            scrub=self.scrub,
        )
        self.received, self.removed, self.corrupt, self.failed_copies = [], [], [], []
        return heartbeat

    def pages(self) -> list[FullReport]:
        self.reports += 1
        keys = [ChunkKey(chunk_id, size) for chunk_id, size in self.chunks.items()]
        pages = [keys[start : start + self.page_chunks] for start in range(0, len(keys), self.page_chunks)] or [[]]
        return [
            FullReport(self.id, self.incarnation, self.reports, index, len(pages), tuple(page), self.sequence)
            for index, page in enumerate(pages)
        ]


class Driver:
    """Runs a NameNode and its fake nodes; `run(ms)` lets everybody beat once a second."""

    def __init__(self, directory: Path, nodes: int = 4, config: Config | None = None, seed: int = 0) -> None:
        self.directory = directory
        self.config = config or Config(chunk_size_bytes=4)
        self.rng = random.Random(seed)
        self.now_ms = 1_700_000_000_000
        self.catalog = Catalog.open(directory, CLUSTER_ID)
        self.namenode = NameNode(self.catalog, self.config, random.Random(seed), self.now_ms)
        self.nodes: dict[str, FakeNode] = {}
        self.ignored: tuple[type, ...] = ()
        """Commands that storage nodes hear and do not obey."""
        self.disks_full = False
        """While set, storage nodes fail all copies that are ordered."""
        self._ids = count(1)
        for _ in range(nodes):
            self.add_node()
        if nodes:
            self.run(3000)

    # --- The cluster --------------------------------------------------------------------------------------------

    def add_node(self, host: str = "", **changes: object) -> FakeNode:
        number = len(self.nodes) + 1
        node = FakeNode(f"node-{number:04d}", host or f"host-{number}", **changes)  # type: ignore[arg-type]
        self.nodes[node.id] = node
        return node

    def __getitem__(self, number: int) -> FakeNode:
        """The first node is number 1, as in sn-01."""
        return self.nodes[f"node-{number:04d}"]

    def restart_namenode(self) -> None:
        self.catalog.close()
        self.catalog = Catalog.open(self.directory, "never used")
        self.namenode = NameNode(self.catalog, self.config, random.Random(self.now_ms), self.now_ms)

    def close(self) -> None:
        self.catalog.close()

    def told(self, *kinds: type[Told]) -> list[tuple[str, Told]]:
        """Commands of these kinds that arrived, with the node they arrived at."""
        return [
            (node.id, command) for node in self.nodes.values() for command in node.told if isinstance(command, kinds)
        ]

    def run(self, duration_ms: int, step_ms: int = 1000) -> None:
        for _ in range(duration_ms // step_ms):
            self.now_ms += step_ms
            for node in self.nodes.values():
                if node.works:
                    self.beat(node)
            self.namenode.tick(self.now_ms)
            self.namenode.check_invariants()

    def beat(self, node: FakeNode, lose_reply: bool = False, double: bool = False) -> HeartbeatReply | None:
        """One heartbeat and what follows from its reply."""
        if not node.registered:
            reply = self.namenode.register(self.now_ms, node.registration())
            node.cluster_id, node.registered = reply.cluster_id, True
            if reply.wish == "failed":
                node.serving = False
                return None
        heartbeat = node.heartbeat()
        answer = self.namenode.heartbeat(self.now_ms, heartbeat)
        if lose_reply or double:
            answer = self.namenode.heartbeat(self.now_ms, heartbeat)
        if not answer.known:
            # As a storage node does it: register, then repeat.
            reply = self.namenode.register(self.now_ms, node.registration())
            answer = self.namenode.heartbeat(self.now_ms, heartbeat)
        for command in answer.commands:
            self.obey(node, command)
        return answer

    def obey(self, node: FakeNode, command: object) -> None:
        node.told.append(command)
        if isinstance(command, self.ignored):
            return
        if isinstance(command, SendFullReport):
            for page in node.pages():
                self.namenode.full_report(self.now_ms, page)
        elif isinstance(command, DeleteChunk):
            node.drop(command.chunk_id)
        elif isinstance(command, CopyChunk):
            sources = [self.nodes[ref.id] for ref in command.sources]
            good = any(source.works and command.chunk.id in source.chunks for source in sources)
            if good and not self.disks_full:
                node.store(command.chunk)
                node.written_bytes += command.chunk.size_bytes
                node.copied_bytes += command.chunk.size_bytes
            else:
                node.failed_copies.append(command.chunk.id)
        elif isinstance(command, ScrubAll):
            node.scrubs += 1
            node.scrub = ScrubState(command.order, ordered=True, total=len(node.chunks))
        elif isinstance(command, StopServing):
            node.serving = False
        elif isinstance(command, BeginAnew):
            node.begin_anew()
            self.namenode.register(self.now_ms, node.registration())
        else:
            assert isinstance(command, GiveUp)
            node.gave_up, node.alive = True, False

    # --- A client -----------------------------------------------------------------------------------------------

    def operation(self) -> str:
        return f"operation-{next(self._ids)}"

    def begin(self, name: str, content: bytes, mode: str = "upload", **changes: object) -> Lease:
        values: dict[str, object] = {"replication": None, "chunk_size_bytes": None, "size_bytes": len(content)}
        values.update(changes)
        request = BeginRequest(id=self.operation(), name=name, mode=mode, **values)  # type: ignore[arg-type]
        return self.namenode.begin(self.now_ms, request)

    def send(self, lease: Lease, content: bytes, excluded: Iterable[str] = ()) -> CommitRequest:
        """Store the content on the nodes that the NameNode names; nodes that do not work confirm nothing."""
        keys = split(content, lease.chunk_size_bytes)
        allocations = self.namenode.allocate(self.now_ms, lease, keys, list(excluded))
        stored = []
        for allocation in allocations.chunks:
            confirmed = [ref.id for ref in allocation.targets if self.nodes[ref.id].works]
            for node_id in confirmed:
                self.nodes[node_id].store(allocation.chunk)
            stored.append(StoredChunk(allocation.chunk, tuple(confirmed)))
        return CommitRequest(allocations.lease, len(content), blake3(content).hexdigest(), tuple(stored))

    def put(self, name: str, content: bytes, mode: str = "upload", **changes: object) -> Version:
        lease = self.begin(name, content, mode, **changes)
        version = self.namenode.commit(self.now_ms, self.send(lease, content))
        self.namenode.check_invariants()
        return version

    def holders(self, chunk_id: str) -> list[str]:
        """The working nodes that really hold a chunk."""
        return [node.id for node in self.nodes.values() if node.works and chunk_id in node.chunks]

    def chunk_ids(self, name: str) -> list[str]:
        return [chunk.id for chunk in self.namenode.info(self.now_ms, name, None).chunks]

    def replicas(self, name: str) -> list[int]:
        """How many working nodes really hold each chunk."""
        return [len(self.holders(chunk_id)) for chunk_id in self.chunk_ids(name)]

    def texts(self) -> list[str]:
        return [event.text for event in self.namenode.events(self.now_ms, 0)]


def older(lease: Lease, by_ms: int) -> Lease:
    return replace(lease, renewed_ms=lease.renewed_ms - by_ms)
