"""Reading one version: a window of chunks ahead, each verified by its hash, the next replica on any failure."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from blake3 import blake3

from core.config import Config
from core.errors import Cancelled, ContentLost, StorageNodeError
from core.gateway import Call, Gateway
from core.model import Located, LocatedChunk, NodeRef, Version
from core.transfer.upload import POLL_MS

LOCATE_PAGE_CHUNKS = 512
"""Chunks whose replicas are asked for in one call to the NameNode."""


@dataclass
class ChunkRead:
    """One chunk on its way from whichever replica answers first."""

    located: LocatedChunk
    untried: deque[NodeRef]
    waiting: dict[Call, NodeRef] = field(default_factory=dict)
    asked_ms: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """Why a node did not give it, by the node's name."""
    relocated: bool = False
    data: memoryview | None = None


class Download:
    """Reads the chunks of one version in order, from chunk `first` on."""

    def __init__(
        self,
        gateway: Gateway,
        config: Config,
        name: str,
        version: int | None,
        first: int = 0,
        cancel: threading.Event | None = None,
        expected: Located | None = None,
    ) -> None:
        """Looks the version up.

        expected: what was found at another look-up of the same reading. Raises ArtifactNotFound, VersionNotFound,
        ContentLost, also if the name means another content by now.
        """
        self._gateway = gateway
        self._config = config
        self._cancel = cancel or threading.Event()
        known = None if expected is None else expected.artifact
        self.first = page = gateway.namenode.locate(name, version, first, LOCATE_PAGE_CHUNKS, known)
        """The first window, by which a later look-up of the same reading knows what is meant."""
        self.version: Version = page.version
        if expected is not None:
            self._check_same(expected.version)
        self._located = deque(page.chunks)
        self._next_index = first + len(page.chunks)
        self._reads: deque[ChunkRead] = deque()

    def __iter__(self) -> Iterator[memoryview]:
        """The chunks' bytes, in order. Raises ContentLost, Cancelled."""
        while True:
            self._fill_window()
            if not self._reads:
                return
            read = self._reads[0]
            while read.data is None:
                self._stop_if_cancelled()
                self._wait()
            self._reads.popleft()
            yield read.data

    # --- The window ---------------------------------------------------------------------------------------------

    @property
    def _window(self) -> int:
        return self._config.window_chunks(self.version.chunk_size_bytes)

    def _fill_window(self) -> None:
        while len(self._reads) < self._window:
            if not self._located and not self._locate_more():
                return
            located = self._located.popleft()
            read = ChunkRead(located, deque(located.replicas))
            self._reads.append(read)
            self._ask_next(read)

    def _locate_more(self) -> bool:
        if self._next_index >= self.version.chunks:
            return False
        self._located.extend(self._locate(self._next_index, LOCATE_PAGE_CHUNKS))
        self._next_index += len(self._located)
        return True

    def _locate(self, first: int, count: int) -> tuple[LocatedChunk, ...]:
        page = self._gateway.namenode.locate(self.version.name, self.version.version, first, count, self.first.artifact)
        self._check_same(page.version)
        return page.chunks

    def _check_same(self, found: Version) -> None:
        """A name that was deleted and made anew meanwhile has other content under the same version number."""
        if found != self.version:
            raise ContentLost(
                f"{found.name!r} was deleted and made anew while it was being read; read it again from the start."
            )

    def _ask_next(self, read: ChunkRead) -> None:
        """Ask the best replica that has not been tried. With none left and none waiting, the chunk is lost."""
        if not read.untried and not read.waiting:
            self._relocate(read)
        if read.untried:
            node = read.untried.popleft()
            read.waiting[self._gateway.read(node, read.located.chunk.id)] = node
            read.asked_ms = self._gateway.monotonic_ms()

    def _relocate(self, read: ChunkRead) -> None:
        """Every known replica failed: look once more, for they may have moved meanwhile."""
        if read.relocated:
            why = "; ".join(f"{name}: {reason}" for name, reason in sorted(read.failures.items()))
            raise ContentLost(
                f"Chunk {read.located.index} of {self.version.name!r} version {self.version.version} could not be read "
                f"from any storage node. {why}. Bring a node that holds it back (`nodes`, `info {self.version.name}`)."
            )
        read.relocated = True
        (located,) = self._locate(read.located.index, 1)
        read.untried.extend(located.replicas)

    # --- Answers ------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        calls = {call: read for read in self._reads for call in read.waiting}
        for call in self._gateway.wait(calls, POLL_MS):
            if call in calls[call].waiting:
                self._answered(calls[call], call)
        now_ms = self._gateway.monotonic_ms()
        for read in self._reads:
            if read.data is None and now_ms - read.asked_ms > self._config.straggler_ms:
                self._hurry(read, now_ms)

    def _answered(self, read: ChunkRead, call: Call) -> None:
        node = read.waiting.pop(call)
        try:
            data = memoryview(call.result()).cast("B")
        except StorageNodeError as error:
            read.failures[node.name] = str(error)
            self._ask_next(read)
            return
        if blake3(data).hexdigest() == read.located.chunk.id:
            read.data = data
            read.waiting.clear()
            return
        read.failures[node.name] = "its replica is corrupt"
        self._gateway.verify(node, read.located.chunk.id)
        self._ask_next(read)

    def _hurry(self, read: ChunkRead, now_ms: int) -> None:
        """A slow replica: ask another one beside it; a dead silence: give the waiting ones up."""
        if read.untried:
            self._ask_next(read)
        elif now_ms - read.asked_ms > self._config.store_timeout_ms:
            read.failures.update({node.name: "no answer" for node in read.waiting.values()})
            read.waiting.clear()
            self._ask_next(read)

    def _stop_if_cancelled(self) -> None:
        if self._cancel.is_set():
            raise Cancelled(f"The transfer of {self.version.name!r} was cancelled.")
