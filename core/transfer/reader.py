"""A version as a seekable stream."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from core.model import Version
from core.transfer.download import Download

BUFFER_BYTES = 64 * 1024


class ArtifactReader(io.RawIOBase):
    """Read-only random access to one version, chunk by chunk; the chunk under the cursor stays in memory.

    `download(first)` answers with a Download that begins at that chunk. Sequential reading goes on with the Download
    it has, which reads ahead; a jump starts another one.
    """

    def __init__(self, version: Version, download: Callable[[int], Download]) -> None:
        super().__init__()
        self._version = version
        self._download = download
        self._position = 0
        self._index = -1
        self._chunk = memoryview(b"")
        self._ahead: Iterator[memoryview] = iter(())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._version.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the chunk under the cursor; as raw streams do, perhaps not to its end."""
        target = memoryview(buffer).cast("B")
        if self._position >= self._version.size_bytes or not target.nbytes:
            return 0
        index, offset = divmod(self._position, self._version.chunk_size_bytes)
        self._load(index)
        piece = self._chunk[offset : offset + target.nbytes]
        target[: piece.nbytes] = piece
        self._position += piece.nbytes
        return piece.nbytes

    def _load(self, index: int) -> None:
        if index == self._index:
            return
        if index != self._index + 1:
            self._ahead = iter(())
        chunk = next(self._ahead, None)
        if chunk is None:
            self._ahead = iter(self._download(index))
            chunk = next(self._ahead)
        self._chunk, self._index = chunk, index


def open_reader(version: Version, download: Callable[[int], Download]) -> io.BufferedReader:
    return io.BufferedReader(ArtifactReader(version, download), BUFFER_BYTES)
