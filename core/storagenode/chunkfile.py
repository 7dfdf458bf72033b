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
import mmap
import os
import struct
import zlib
from pathlib import Path

from blake3 import blake3

from core.errors import ChunkCorrupt

Buffer = bytes | bytearray | memoryview | mmap.mmap

HEADER_BYTES = 64
_HEADER = struct.Struct("<8sIQ32s8x")
_CRC = struct.Struct("<I")
_MAGIC = b"DAMECHNK"
_FORMAT = 1
_HASH_PIECE_BYTES = 1024 * 1024

_MADV_POPULATE_READ = 22
"""Linux 5.14: read a mapping in now, and say so if the disk can't; the module mmap does not name it yet."""
_CANNOT_BE_ASKED = frozenset({errno.EINVAL, errno.ENODEV})
"""An older kernel, another system, or a filesystem that maps no files."""

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


def view(descriptor: int, size_bytes: int) -> memoryview:
    """A payload of this size as memory that outlives the descriptor and the file's name.

    A page that can't be read later would end the process with SIGBUS. Asking the kernel to read all pages now turns
    that into an error; where it can't be asked, a plain read costs one copy.
    """
    try:
        mapping = mmap.mmap(descriptor, HEADER_BYTES + size_bytes, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        mapping.madvise(_MADV_POPULATE_READ)
    except OSError as error:
        if error.errno in _CANNOT_BE_ASKED:
            return _read_payload(descriptor, size_bytes)
        raise _as_read_error(error) from error
    return memoryview(mapping)[HEADER_BYTES:]


def _as_read_error(error: OSError) -> OSError:
    """The kernel says "bad address" of a page that the disk did not give."""
    return OSError(errno.EIO, os.strerror(errno.EIO)) if error.errno == errno.EFAULT else error


def _read_payload(descriptor: int, size_bytes: int) -> memoryview:
    content = memoryview(bytearray(size_bytes))
    done = 0
    while done < size_bytes:
        count = os.preadv(descriptor, [content[done:]], HEADER_BYTES + done)
        if not count:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        done += count
    return content.toreadonly()


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
