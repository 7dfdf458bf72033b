"""What is uploaded: text, bytes, a file or a stream, read as a sequence of chunks in bounded memory."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, Union

from core.errors import SourceFailure

Content = Union[str, bytes, bytearray, memoryview, "os.PathLike[str]", BinaryIO]
"""What can be uploaded: text (stored as UTF-8), bytes, the path of a file, or a binary file object read to its end."""


class Source(Protocol):
    """Content that is about to be read once, from its beginning."""

    size_bytes: int | None
    """None where only reading will tell (a pipe)."""

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer; fewer bytes only at the end. Raises SourceFailure."""

    def verify_unchanged(self, read_bytes: int) -> None:
        """Raises SourceFailure if what was read can't be one consistent content."""


class MemorySource:
    """Bytes that are in memory already."""

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(content).cast("B")
        self._position = 0
        self.size_bytes: int | None = self._view.nbytes

    def read_into(self, buffer: memoryview) -> int:
        piece = self._view[self._position : self._position + buffer.nbytes]
        buffer[: piece.nbytes] = piece
        self._position += piece.nbytes
        return piece.nbytes

    def verify_unchanged(self, read_bytes: int) -> None:
        assert read_bytes == self.size_bytes


class StreamSource:
    """A binary file object of unknown length."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size_bytes: int | None = None

    def read_into(self, buffer: memoryview) -> int:
        filled = 0
        while filled < buffer.nbytes:
            piece = self._read(buffer.nbytes - filled)
            if not piece:
                break
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def verify_unchanged(self, read_bytes: int) -> None:
        """A stream is whatever it yields."""

    def _read(self, count: int) -> bytes:
        try:
            piece = self._stream.read(count)
        except OSError as error:
            raise SourceFailure(f"The content can't be read: {error.strerror or error}.") from error
        if isinstance(piece, str):
            raise SourceFailure("The content is a text stream; open the file in binary mode.")
        if piece is None:
            raise SourceFailure("The stream has nothing to read yet and does not wait for more; make it blocking.")
        return piece


class FileSource(StreamSource):
    """A file on this machine. Its size and time of change must stay what they were when it was opened."""

    def __init__(self, path: Path, stream: io.FileIO) -> None:
        super().__init__(stream)
        self._path = path
        self._file = stream
        self._before = os.fstat(stream.fileno())
        self.size_bytes = self._before.st_size

    def read_into(self, buffer: memoryview) -> int:
        filled = 0
        while filled < buffer.nbytes:
            try:
                count = self._file.readinto(buffer[filled:])
            except OSError as error:
                raise SourceFailure(f"{self._path} can't be read: {error.strerror or error}.") from error
            if not count:
                break
            filled += count
        return filled

    def verify_unchanged(self, read_bytes: int) -> None:
        after = os.fstat(self._file.fileno())
        same = (after.st_size, after.st_mtime_ns) == (self._before.st_size, self._before.st_mtime_ns)
        if not same or read_bytes != self.size_bytes:
            raise SourceFailure(
                f"{self._path} changed while it was being read; nothing was stored. "
                "Try again when nobody writes to it.",
                path=str(self._path),
            )


@contextmanager
def open_source(content: Content) -> Iterator[Source]:
    """Make a Source of anything that can be uploaded, and close what was opened. Raises SourceFailure, TypeError."""
    if isinstance(content, str):
        yield MemorySource(_encode(content))
    elif isinstance(content, (bytes, bytearray, memoryview)):
        yield MemorySource(content)
    elif isinstance(content, os.PathLike):
        with _open_file(Path(content)) as source:
            yield source
    elif hasattr(content, "read"):
        yield StreamSource(content)
    else:
        raise TypeError(f"content must be text, bytes, a path or a binary file object, not {type(content).__name__}")


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise SourceFailure(
            f"The text can't be stored as UTF-8: character {error.start} is half of a pair. Pass bytes instead."
        ) from error


@contextmanager
def _open_file(path: Path) -> Iterator[Source]:
    try:
        if path.is_dir():
            raise SourceFailure(f"{path} is a directory; name one file, or pack it first (tar).", path=str(path))
        stream = path.open("rb", buffering=0)
    except OSError as error:
        raise SourceFailure(f"{path} can't be read: {error.strerror}.", path=str(path)) from error
    with stream:
        yield FileSource(path, stream) if _has_size(stream) else StreamSource(stream)


def _has_size(stream: io.FileIO) -> bool:
    """Pipes, devices and what lives in /proc report no size worth believing."""
    status = os.fstat(stream.fileno())
    return stat.S_ISREG(status.st_mode) and status.st_size > 0
