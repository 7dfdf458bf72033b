"""Writing one version: read, hash, ask for targets, store on all of them in parallel, commit the list.

One thread and a window of chunks in flight. Each chunk is read into a buffer of a small pool, hashed, put once, and
stored by every target from there. A target that fails or takes too long is left out of the rest of the transfer and
replaced.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from blake3 import blake3

from core.config import Config
from core.errors import (
    Cancelled,
    ChunkCorrupt,
    DameError,
    DiskFull,
    NodeNotServing,
    NotEnoughNodes,
    NotEnoughSpace,
    NotReady,
    StorageNodeError,
)
from core.gateway import Call, Gateway
from core.model import (
    Allocation,
    BeginRequest,
    ChunkKey,
    CommitRequest,
    Lease,
    NodeRef,
    Progress,
    StoredChunk,
    Version,
)
from core.transfer.source import Source

log = logging.getLogger("dame")

POLL_MS = 100
"""The longest the loop sleeps before it looks at cancellation and deadlines again."""

OnProgress = Callable[[Progress], None]


@dataclass
class ChunkWrite:
    """One chunk on its way to its targets."""

    allocation: Allocation
    payload: Any
    started_ms: int
    waiting: dict[Call, NodeRef] = field(default_factory=dict)
    confirmed: list[str] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)
    """Ids of all nodes that were asked."""
    failures: dict[str, StorageNodeError] = field(default_factory=dict)
    """Why a node did not store it, by the node's name."""
    stored: bool = False
    """The NameNode knows of enough replicas, whatever became of our own."""
    quorum_ms: int | None = None
    """When the write quorum had it."""

    @property
    def has_quorum(self) -> bool:
        return len(self.confirmed) >= self.allocation.quorum

    @property
    def wanted(self) -> int:
        """Targets still to be found: each failed one asks for a replacement."""
        return len(self.allocation.targets) - len(self.confirmed) - len(self.waiting)


class Upload:
    """Writes one version. Make one, call `run` once."""

    def __init__(
        self,
        gateway: Gateway,
        config: Config,
        source: Source,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        self._gateway = gateway
        self._config = config
        self._source = source
        self._progress = progress
        self._cancel = cancel or threading.Event()
        self._digest = blake3()
        self._lease: Lease
        self._chunks: list[ChunkKey] = []
        self._holders: dict[str, tuple[str, ...]] = {}
        self._active: dict[str, ChunkWrite] = {}
        self._excluded: list[str] = []
        self._warnings: dict[str, None] = {}
        self._buffers: list[bytearray] = []
        self._exhausted = False
        self._read_bytes = 0
        self._done_bytes = 0
        self._sent_bytes = 0

    def run(self, request: BeginRequest) -> Version:
        """Store the source's content and publish it. On any failure nothing is published and the hold on its chunks
        is let go.

        Raises what `ArtifactStore.upload` raises.
        """
        self._tell("starting")
        self._lease = self._gateway.namenode.begin(request)
        try:
            self._transfer()
            self._source.verify_unchanged(self._read_bytes)
            self._stop_if_cancelled()
            self._tell("committing")
            version = self._commit()
        except BaseException:
            self._abandon()
            raise
        self._tell("done")
        return version

    @property
    def chunks(self) -> tuple[ChunkKey, ...]:
        """Of the version, in order."""
        return tuple(self._chunks)

    # --- The window ---------------------------------------------------------------------------------------------

    @property
    def _window(self) -> int:
        return self._config.window_chunks(self._lease.chunk_size_bytes)

    @property
    def _batch(self) -> int:
        """Chunks read before any of them is sent. A pipe may stall, so what came through it is sent soon."""
        if self._source.size_bytes is not None:
            return self._window
        return max(1, self._config.chunk_size_bytes // self._lease.chunk_size_bytes)

    def _transfer(self) -> None:
        while not self._exhausted or self._active:
            self._stop_if_cancelled()
            if not self._exhausted and len(self._active) <= self._window // 2:
                self._start(self._read_ahead(min(self._batch, self._window - len(self._active))))
            self._wait()

    def _read_ahead(self, count: int) -> list[tuple[ChunkKey, memoryview]]:
        """Read and hash the next chunks; those that this transfer has dealt with already need no second look."""
        pieces: list[tuple[ChunkKey, memoryview]] = []
        fresh: set[str] = set()
        for _ in range(count):
            buffer = self._take_buffer()
            size = self._source.read_into(memoryview(buffer))
            if size < len(buffer):
                self._exhausted = True
            if size == 0:
                break
            view = memoryview(buffer)[:size]
            chunk = self._hash(view)
            if chunk.id in self._holders or chunk.id in self._active or chunk.id in fresh:
                self._count_done(size)
                self._buffers.append(buffer)
            else:
                fresh.add(chunk.id)
                pieces.append((chunk, view))
            if self._exhausted:
                break
        return pieces

    def _take_buffer(self) -> bytearray:
        return self._buffers.pop() if self._buffers else bytearray(self._buffer_size())

    def _buffer_size(self) -> int:
        """Short content gets a short buffer: one byte more than its size, so that its end is seen."""
        size = self._source.size_bytes
        whole = self._lease.chunk_size_bytes
        return whole if size is None else min(whole, size + 1)

    def _hash(self, view: memoryview) -> ChunkKey:
        chunk_id = blake3(view).hexdigest()
        self._digest.update(view)
        self._read_bytes += view.nbytes
        chunk = ChunkKey(chunk_id, view.nbytes)
        self._chunks.append(chunk)
        return chunk

    def _start(self, pieces: list[tuple[ChunkKey, memoryview]]) -> None:
        """Ask where the chunks go, and send them there."""
        if not pieces:
            return
        allocations = self._allocate([chunk for chunk, _ in pieces])
        for allocation, (chunk, view) in zip(allocations, pieces, strict=True):
            assert allocation.chunk == chunk
            if allocation.stored:
                self._holders[chunk.id] = ()
                self._count_done(chunk.size_bytes)
            else:
                assert 0 < allocation.quorum <= len(allocation.targets)
                write = ChunkWrite(allocation, self._gateway.put(view), self._gateway.monotonic_ms())
                self._active[chunk.id] = write
                self._store(write, allocation.targets)
            buffer = view.obj
            assert isinstance(buffer, bytearray)
            view.release()
            self._buffers.append(buffer)

    def _allocate(self, chunks: list[ChunkKey]) -> tuple[Allocation, ...]:
        answer = self._gateway.namenode.allocate(self._lease, chunks, self._excluded)
        self._lease = answer.lease
        self._warnings.update(dict.fromkeys(answer.warnings))
        return answer.chunks

    def _store(self, write: ChunkWrite, targets: Iterable[NodeRef]) -> None:
        for node in targets:
            call = self._gateway.store(node, write.allocation.chunk.id, write.payload)
            write.waiting[call] = node
            write.tried.add(node.id)

    # --- Answers ------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Look at what was answered, and at what is overdue."""
        calls = {call: write for write in self._active.values() for call in write.waiting}
        if calls:
            for call in self._gateway.wait(calls, POLL_MS):
                self._answered(calls[call], call)
        for write in list(self._active.values()):
            self._check_deadlines(write)
            if not write.waiting:
                self._settle(write)

    def _answered(self, write: ChunkWrite, call: Call) -> None:
        node = write.waiting.pop(call)
        try:
            call.result()
        except StorageNodeError as error:
            write.failures[node.name] = error
            if not isinstance(error, ChunkCorrupt):
                self._exclude(node)
            return
        write.confirmed.append(node.id)
        if write.quorum_ms is None and write.has_quorum:
            write.quorum_ms = self._gateway.monotonic_ms()

    def _check_deadlines(self, write: ChunkWrite) -> None:
        """Give up on targets that are too slow: soon once the quorum has the chunk, later while it has not."""
        now_ms = self._gateway.monotonic_ms()
        straggling = write.quorum_ms is not None and now_ms - write.quorum_ms > self._config.straggler_ms
        if straggling or now_ms - write.started_ms > self._config.store_timeout_ms:
            for node in write.waiting.values():
                write.failures[node.name] = NodeNotServing(f"no answer within {now_ms - write.started_ms} ms")
                self._exclude(node)
            write.waiting.clear()

    def _exclude(self, node: NodeRef) -> None:
        if node.id not in self._excluded:
            self._excluded.append(node.id)

    def _settle(self, write: ChunkWrite) -> None:
        """All targets have answered: the chunk is stored, or others must take it."""
        if write.wanted and self._replace_targets(write):
            return
        chunk = write.allocation.chunk
        if not write.has_quorum and not write.stored:
            raise self._refusal(write)
        del self._active[chunk.id]
        self._holders[chunk.id] = tuple(write.confirmed)
        self._sent_bytes += chunk.size_bytes
        self._count_done(chunk.size_bytes)

    def _replace_targets(self, write: ChunkWrite) -> bool:
        """Send the chunk to nodes that have not tried it yet. False if there are none."""
        try:
            (allocation,) = self._allocate([write.allocation.chunk])
        except (NotEnoughNodes, NotEnoughSpace):
            return False
        except NotReady:
            if write.has_quorum:
                return False
            raise
        write.stored = allocation.stored
        fresh = [node for node in allocation.targets if node.id not in write.tried][: write.wanted]
        if not fresh:
            return False
        write.started_ms = self._gateway.monotonic_ms()
        write.quorum_ms = write.started_ms if write.has_quorum else None
        write.allocation = Allocation(
            write.allocation.chunk,
            False,
            tuple(node for node in write.allocation.targets if node.id in write.confirmed) + tuple(fresh),
            write.allocation.quorum,
        )
        self._store(write, fresh)
        return True

    def _refusal(self, write: ChunkWrite) -> DameError:
        full = all(isinstance(error, DiskFull) for error in write.failures.values())
        why = "; ".join(f"{name}: {error}" for name, error in sorted(write.failures.items()))
        told = (
            f"Only {len(write.confirmed)} of the {write.allocation.quorum} storage nodes needed took a chunk of "
            f"{self._lease.name!r}; nothing was published. {why}."
        )
        if full:
            return NotEnoughSpace(f"{told} Delete artifacts or add storage, then try again.")
        return NotEnoughNodes(f"{told} Look at `nodes`, then try again.")

    # --- Its end ------------------------------------------------------------------------------------------------

    def _commit(self) -> Version:
        stored = tuple(StoredChunk(chunk, self._holders[chunk.id]) for chunk in self._chunks)
        request = CommitRequest(self._lease, self._read_bytes, self._digest.hexdigest(), stored)
        version = self._gateway.namenode.commit(request)
        self._warnings.update(dict.fromkeys(version.warnings))
        return replace(version, warnings=tuple(self._warnings))

    def _abandon(self) -> None:
        """Let go of the chunks at once. Should the message not get through, the lease's end does the same later."""
        try:
            self._gateway.namenode.abandon(self._lease)
        except DameError as error:
            log.warning("the hold on the chunks of %r ends later: %s", self._lease.name, error)

    def _stop_if_cancelled(self) -> None:
        if self._cancel.is_set():
            raise Cancelled(f"The transfer of {self._lease.name!r} was cancelled; nothing was published.")

    def _count_done(self, size_bytes: int) -> None:
        self._done_bytes += size_bytes
        self._tell("transferring")

    def _tell(self, stage: Any) -> None:
        if self._progress is not None:
            self._progress(Progress(self._done_bytes, self._source.size_bytes, self._sent_bytes, stage))
