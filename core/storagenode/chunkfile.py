"""One chunk file: a header that says what it is, and the payload.

The header has 64 bytes, little-endian:

    offset  bytes
         0      8  magic "DAMECHNK"
         8      4  format version, 1
        12      8  length of the payload
        20     32  BLAKE3 hash of the payload, which is the chunk's id
        52      8  spare, zero
        60      4  CRC32 of the 60 bytes before, which tells a torn header from another file's

These functions raise OSError as it comes, and ChunkCorrupt for a file that is not the chunk it is named for.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

from blake3 import blake3

from core.errors import ChunkCorrupt

Buffer = bytes | bytearray | memoryview

HEADER_BYTES = 64
_HEADER = struct.Struct("<8sIQ32s8x")
_CRC = struct.Struct("<I")
_MAGIC = b"DAMECHNK"
_FORMAT = 1
_HASH_PIECE_BYTES = 1024 * 1024

assert _HEADER.size + _CRC.size == HEADER_BYTES


def _header(size_bytes: int, digest: bytes) -> bytes:
    head = _HEADER.pack(_MAGIC, _FORMAT, size_bytes, digest)
    return head + _CRC.pack(zlib.crc32(head))


def check(descriptor: int, chunk_id: str) -> int:
    """The payload's size, once the header, the name and the length of the file agree. Raises ChunkCorrupt, OSError."""
    block = os.pread(descriptor, HEADER_BYTES, 0)
    file_bytes = os.fstat(descriptor).st_size
    fault = "its header is torn"
    if len(block) == HEADER_BYTES and _CRC.unpack_from(block, _HEADER.size)[0] == zlib.crc32(block[: _HEADER.size]):
        magic, version, size_bytes, digest = _HEADER.unpack_from(block)
        if (magic, version) != (_MAGIC, _FORMAT):
            fault = "it is not a chunk file of this format"
        elif digest.hex() != chunk_id:
            fault = f"it holds chunk {digest.hex()[:12]}"
        elif not 0 < size_bytes == file_bytes - HEADER_BYTES:
            fault = f"its payload should be {size_bytes} bytes and its file is {file_bytes}"
        else:
            return int(size_bytes)
    raise ChunkCorrupt(f"The replica of chunk {chunk_id[:12]} is bad: {fault}.", chunk=chunk_id)


def read(descriptor: int, size_bytes: int) -> bytes:
    """A payload of this size, copied out of the file.

    A mapping would save the copy, but a file that is cut while somebody looks at it would end that process (SIGBUS).
    """
    content = os.pread(descriptor, size_bytes, HEADER_BYTES)
    while len(content) < size_bytes:
        more = os.pread(descriptor, size_bytes - len(content), HEADER_BYTES + len(content))
        if not more:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        content += more
    return content


def hash_payload(descriptor: int) -> str:
    """The hash of the payload as the disk has it, in bounded memory.

    Cached pages are given up first, so that it is the disk that answers, and again after: no client asked for them.
    """
    hasher = blake3()
    piece = memoryview(bytearray(_HASH_PIECE_BYTES))
    offset = HEADER_BYTES
    _forget_cached(descriptor)
    while count := os.preadv(descriptor, [piece], offset):
        hasher.update(piece[:count])
        offset += count
    _forget_cached(descriptor)
    return hasher.hexdigest()


def _forget_cached(descriptor: int) -> None:
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def write(path: Path, digest: bytes, payload: memoryview) -> None:
    """Write a new chunk file and fsync it."""
    buffers = [memoryview(_header(len(payload), digest)), payload]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        while buffers:
            buffers = _rest(buffers, os.writev(descriptor, buffers))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rest(buffers: list[memoryview], written: int) -> list[memoryview]:
    """What a partial write left to be written."""
    left = []
    for buffer in buffers:
        if written < len(buffer):
            left.append(buffer[written:])
        written = max(0, written - len(buffer))
    return left
