"""The disk of one storage node: whole chunks, or none.

Layout under the node's directory (`identity.json` and `lock` lie beside it):

    chunks/ab/<64 hex>   one replica; `ab` are the first two digits of its id
    incoming/            replicas being written, under temporary names; emptied when the directory is opened
    quarantine/          replicas found bad, as <64 hex>.<n>; kept for a while for a person to look at, never served

A file becomes visible by a rename after its bytes are fsynced, and counts once its directory is fsynced too.

Preconditions, both kept by StorageNode: the directory is locked, and changes to one chunk exclude each other.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from core.config import Config
from core.directory import directory_failure, sync_directory, sync_file
from core.errors import ChunkCorrupt, ChunkMissing, DiskFailure, DiskFull, InvalidRequest, StorageNodeError
from core.model import DiskUsage
from core.storagenode import chunkfile
from core.storagenode.chunkfile import Buffer
from core.storagenode.quarantine import Quarantine

log = logging.getLogger("dame")

_CHUNK_ID = re.compile(r"[0-9a-f]{64}")
_FAN_OUT = re.compile(r"[0-9a-f]{2}")

_PROCESS_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""Errors that tell of this process, not of the replica it was reading."""


class ChunkStore:
    """Replicas on one disk. Safe to call from several threads at once, but for changes to the same chunk."""

    def __init__(self, directory: Path, config: Config, host: str) -> None:
        self._directory = directory
        self._chunks = directory / "chunks"
        self._incoming = directory / "incoming"
        self.quarantined = Quarantine(directory / "quarantine", config)
        self._reserve_bytes = config.disk_reserve_bytes
        self._capacity_bytes = config.storage_capacity_bytes
        self._host = host
        self._disk = ""
        self._serial = itertools.count()
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        """Payload bytes counted for each replica; what the file system says of a damaged file is not to be trusted."""
        self._used_bytes = 0
        """Their sum."""
        self._promised_bytes = 0
        """Room taken by writes that are under way, so that several at once can't all take the last of it."""
        self._fan_outs: set[Path] = set()
        """Directories under chunks/ whose own names are known to be durable."""

    def open(self) -> dict[str, int]:
        """Make the layout, drop what was half-written and take stock: the size of each chunk held.

        Called once, before anything else. Raises DirectoryFailure.
        """
        try:
            for name in ("chunks", "incoming", "quarantine"):
                (self._directory / name).mkdir(exist_ok=True)
            sync_directory(self._directory)
            for leftover in self._incoming.iterdir():
                leftover.unlink()
            self._disk = f"{self._host}:{self._directory.stat().st_dev}"
            self.quarantined.open()
            self._sizes = dict(self._scan())
        except OSError as error:
            raise directory_failure(self._directory, error) from error
        self._used_bytes = sum(self._sizes.values())
        return dict(self._sizes)

    # --- Replicas -----------------------------------------------------------------------------------------------

    def write(self, chunk_id: str, data: Buffer, *, overwrite: bool = False) -> bool:
        """Make the chunk durable. True if it was written, False if a good replica was there, which is read to tell.

        overwrite: do not look at a file that is there. Raises ChunkCorrupt if the bytes are not those the id names,
        DiskFull, DiskFailure; then nothing of it is left behind.
        """
        path = self._path(chunk_id)
        payload = memoryview(data).cast("B")
        if not payload:
            raise InvalidRequest("A chunk has at least one byte; this one is empty.", chunk=chunk_id)
        digest = blake3(payload).digest()
        if digest.hex() != chunk_id:
            raise ChunkCorrupt(
                f"The bytes sent as chunk {chunk_id[:12]} do not have the hash that names it; send them again.",
                chunk=chunk_id,
            )
        try:
            if not overwrite and _payload_bytes(path) == len(payload) and self._is_there_and_good(path, chunk_id):
                # Its writer may have died before this, or have been somebody else.
                sync_file(path)
                sync_directory(path.parent)
                return False
            with self._room_for(len(payload)):
                self._write_new(path, digest, payload)
        except OSError as error:
            raise self._failure(error, f"write chunk {chunk_id[:12]}") from error
        return True

    def read(self, chunk_id: str) -> bytes:
        """The chunk's bytes; their hash is not checked here.

        Raises ChunkMissing, ChunkCorrupt if the header does not fit, DiskFailure.
        """
        path = self._path(chunk_id)
        with self._opened(path, chunk_id) as (descriptor, size_bytes):
            return chunkfile.read(descriptor, size_bytes)

    def verify(self, chunk_id: str) -> bool:
        """Hash the replica anew from the disk, in bounded memory. A file that can't be read is a bad replica.

        Raises ChunkMissing; DiskFailure if this process lacks the means to read just now.
        """
        try:
            return self._is_good(self._path(chunk_id), chunk_id)
        except ChunkMissing:
            self._count(chunk_id, 0)
            raise

    def _is_there_and_good(self, path: Path, chunk_id: str) -> bool:
        try:
            return self._is_good(path, chunk_id)
        except ChunkMissing:
            return False

    def _is_good(self, path: Path, chunk_id: str) -> bool:
        try:
            with self._opened(path, chunk_id) as (descriptor, _):
                return chunkfile.hash_payload(descriptor) == chunk_id
        except ChunkCorrupt:
            return False
        except DiskFailure as failure:
            if failure.details["errno"] in _PROCESS_LIMITS:
                raise
            return False

    def quarantine(self, chunk_id: str) -> None:
        """Put a bad replica where nothing reads it. Raises ChunkMissing, DiskFailure."""
        path = self._path(chunk_id)
        try:
            self.quarantined.put(path)
            sync_directory(path.parent)
        except FileNotFoundError as error:
            raise self._missing(chunk_id) from error
        except OSError as error:
            raise self._failure(error, f"quarantine chunk {chunk_id[:12]}") from error
        finally:
            if not os.path.lexists(path):
                self._count(chunk_id, 0)

    def bring_back(self, chunk_id: str) -> int:
        """Take a good replica out of quarantine, if there is one; its size, else 0. Raises DiskFailure."""
        path = self._path(chunk_id)
        for kept in self.quarantined.files_of(chunk_id):
            try:
                good = self._is_good(kept, chunk_id)
            except ChunkMissing:
                self.quarantined.taken(kept)
                continue
            if good:
                self._publish_again(kept, path)
                return self._sizes[chunk_id]
        return 0

    def _publish_again(self, kept: Path, path: Path) -> None:
        try:
            self._make_fan_out(path.parent)
            kept.rename(path)
            self.quarantined.taken(kept)
            self._count(path.name, _payload_bytes(path))
            sync_directory(path.parent)
        except OSError as error:
            raise self._failure(error, f"bring chunk {path.name[:12]} back from quarantine") from error

    def is_surely_bad(self, kept: Path, chunk_id: str) -> bool:
        """Whether a file in quarantine can be read and is not the chunk.

        Raises ChunkMissing if somebody took it away, DiskFailure if it can't be read.
        """
        try:
            with self._opened(kept, chunk_id) as (descriptor, _):
                return chunkfile.hash_payload(descriptor) != chunk_id
        except ChunkCorrupt:
            return True

    def delete(self, chunk_id: str) -> None:
        """Remove a replica; one that is not there is no error. Raises DiskFailure.

        Not synced: if a crash brings the file back, it is whole, and the next full report tells of it.
        """
        path = self._path(chunk_id)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(error, f"delete chunk {chunk_id[:12]}") from error
        self._count(chunk_id, 0)

    # --- Files that somebody else may have touched --------------------------------------------------------------

    def listing(self) -> dict[str, int]:
        """Size of the payload of every file that has a replica's name; 0 for what can't be one. Raises DiskFailure."""
        try:
            return {path.name: size_bytes for folder in self._folders() for path, size_bytes in _entries(folder)}
        except OSError as error:
            raise self._failure(error, "list its chunks") from error

    def size_on_disk(self, chunk_id: str) -> int | None:
        """As in `listing`, of one file; None if there is none. Raises DiskFailure."""
        try:
            return _size_of(self._path(chunk_id).lstat())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure(error, f"look at chunk {chunk_id[:12]}") from error

    def recount_quarantine(self) -> None:
        """Count no longer what somebody took out of quarantine. Raises DiskFailure."""
        try:
            self.quarantined.recount()
        except OSError as error:
            raise self._failure(error, "list its quarantine") from error

    def take_in(self, chunk_id: str) -> bool:
        """Count a file that is there, whoever wrote it, once its hash is verified and it is durable. Raises
        DiskFailure."""
        path = self._path(chunk_id)
        if not self.verify(chunk_id):
            return False
        try:
            sync_file(path)
            sync_directory(path.parent)
            self._count(chunk_id, _payload_bytes(path))
        except OSError as error:
            raise self._failure(error, f"take chunk {chunk_id[:12]} in") from error
        return True

    def forget(self, chunk_id: str) -> None:
        """The file of a replica is gone."""
        self._count(chunk_id, 0)

    # --- Room ---------------------------------------------------------------------------------------------------

    def usage(self) -> DiskUsage:
        """How full the disk is. Raises DiskFailure."""
        try:
            disk_free_bytes = self._disk_free_bytes()
        except OSError as error:
            raise self._failure(error, "ask for its free space") from error
        with self._lock:
            used_bytes = self._used_bytes + self.quarantined.usage().bytes
            return DiskUsage(used_bytes, max(0, self._room_bytes(disk_free_bytes)), self._disk)

    # --- Writing ------------------------------------------------------------------------------------------------

    def _write_new(self, path: Path, digest: bytes, payload: memoryview) -> None:
        temporary = self._incoming / f"{path.name}.{next(self._serial)}"
        try:
            chunkfile.write(temporary, digest, payload)
            self._make_fan_out(path.parent)
            self._publish(temporary, path, len(payload))
        except OSError:
            # What can't be removed now is removed when the directory is opened next.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def _publish(self, temporary: Path, path: Path, size_bytes: int) -> None:
        try:
            temporary.rename(path)
        except FileNotFoundError:
            # Somebody removed the directory since it was made: without this, its chunks could never be stored again.
            with self._lock:
                self._fan_outs.discard(path.parent)
            self._make_fan_out(path.parent)
            temporary.rename(path)
        self._count(path.name, size_bytes)
        try:
            sync_directory(path.parent)
        except OSError:
            # The name may not outlive a crash, so it must not count; if it stays after all, the file is whole.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                self._count(path.name, 0)
            raise

    def _make_fan_out(self, folder: Path) -> None:
        """Two writers may both make it; neither goes on before its name is durable."""
        with self._lock:
            if folder in self._fan_outs:
                return
        folder.mkdir(exist_ok=True)
        sync_directory(self._chunks)
        with self._lock:
            self._fan_outs.add(folder)

    @contextlib.contextmanager
    def _room_for(self, size_bytes: int) -> Iterator[None]:
        disk_free_bytes = self._disk_free_bytes()
        with self._lock:
            room_bytes = self._room_bytes(disk_free_bytes)
            if size_bytes > room_bytes:
                raise self._full(size_bytes, disk_free_bytes)
            self._promised_bytes += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._promised_bytes -= size_bytes

    def _room_bytes(self, disk_free_bytes: int) -> int:
        """Precondition: the lock is held."""
        room_bytes = disk_free_bytes - self._reserve_bytes
        if self._capacity_bytes:
            room_bytes = min(room_bytes, self._capacity_bytes - self._used_bytes - self.quarantined.usage().bytes)
        return room_bytes - self._promised_bytes

    def _disk_free_bytes(self) -> int:
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize

    def _count(self, chunk_id: str, size_bytes: int) -> None:
        """The replica has this size now; 0 if it is gone."""
        with self._lock:
            self._used_bytes += size_bytes - self._sizes.pop(chunk_id, 0)
            if size_bytes:
                self._sizes[chunk_id] = size_bytes

    # --- Reading ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, path: Path, chunk_id: str) -> Iterator[tuple[int, int]]:
        """The open file of a replica whose header fits, and its payload's size; errors inside are translated."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield descriptor, chunkfile.check(descriptor, chunk_id)
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise self._missing(chunk_id) from error
        except OSError as error:
            raise self._failure(error, f"read chunk {chunk_id[:12]}") from error

    def _scan(self) -> Iterator[tuple[str, int]]:
        """All replicas whose header fits their name and size; other files are quarantined, foreign names ignored.

        So a file that was cut while no process watched it never counts as a copy; its payload is for the scrubber.
        A directory is synced before what it holds counts: the last process may have died between rename and fsync.
        """
        sync_directory(self._chunks)
        for folder in self._folders():
            sync_directory(folder)
            self._fan_outs.add(folder)
            for path, size_bytes in _entries(folder):
                if size_bytes and self._has_good_header(path):
                    yield path.name, size_bytes
                else:
                    self._put_aside(path)

    def _put_aside(self, path: Path) -> None:
        """Quarantine what is no replica. Where not even that can be done to it, it stays, and counts for nothing: one
        file that the disk can't reach must not keep all others from being served."""
        try:
            self.quarantined.put(path)
        except OSError as error:
            log.warning("%s is no good replica, and stays where it is: %s", path, error)

    def _has_good_header(self, path: Path) -> bool:
        """Raises OSError if this process lacks the means to read; a file that can't be read is a bad replica."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                chunkfile.check(descriptor, path.name)
            finally:
                os.close(descriptor)
        except ChunkCorrupt:
            return False
        except OSError as error:
            if error.errno in _PROCESS_LIMITS:
                raise
            return False
        return True

    def _folders(self) -> list[Path]:
        return [folder for folder in sorted(self._chunks.iterdir()) if _FAN_OUT.fullmatch(folder.name)]

    # --- Names and refusals -------------------------------------------------------------------------------------

    def _path(self, chunk_id: str) -> Path:
        if not _CHUNK_ID.fullmatch(chunk_id):
            raise InvalidRequest(f"{chunk_id[:80]!r} is not a chunk id: 64 hexadecimal digits in lower case.")
        return self._chunks / chunk_id[:2] / chunk_id

    def _missing(self, chunk_id: str) -> ChunkMissing:
        return ChunkMissing(f"There is no chunk {chunk_id[:12]} in {self._directory}.", chunk=chunk_id)

    def _failure(self, error: OSError, doing: str) -> StorageNodeError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(
                f"The disk of {self._directory} could not {doing}: {error.strerror}. Free space on it or add a storage "
                f"node ({self._reserve_bytes} bytes are kept in reserve).",
                directory=str(self._directory),
                errno=error.errno,
            )
        return DiskFailure(
            f"The disk of {self._directory} could not {doing}: {error.strerror or error}.",
            directory=str(self._directory),
            errno=error.errno,
        )

    def _full(self, size_bytes: int, disk_free_bytes: int) -> DiskFull:
        limit = f", and at most {self._capacity_bytes} bytes may be used" if self._capacity_bytes else ""
        return DiskFull(
            f"The disk of {self._directory} has no room for a chunk of {size_bytes} bytes: {disk_free_bytes} bytes are "
            f"free, {self._reserve_bytes} of them kept in reserve{limit}. Free space on it or add a storage node.",
            directory=str(self._directory),
            free_bytes=disk_free_bytes,
            reserve_bytes=self._reserve_bytes,
        )


def _entries(folder: Path) -> list[tuple[Path, int]]:
    """What has a replica's name in one directory under chunks/, with the size of its payload."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _CHUNK_ID.fullmatch(entry.name) and entry.name.startswith(folder.name):
                try:
                    size_bytes = _size_of(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue  # deleted in this moment
                except OSError as error:
                    if error.errno in _PROCESS_LIMITS:
                        raise
                    size_bytes = 0
                found.append((folder / entry.name, size_bytes))
    return found


def _size_of(facts: os.stat_result) -> int:
    """The size of the payload that a file may hold; 0 for what can't be a replica."""
    return max(0, facts.st_size - chunkfile.HEADER_BYTES) if stat.S_ISREG(facts.st_mode) else 0


def holds_replicas(directory: Path) -> bool:
    """Whether anything in a node's directory would be orphaned by a new identity. Raises OSError."""
    return any(next((directory / place).glob(files), None) for place, files in (("chunks", "*/*"), ("quarantine", "*")))


def read_replica(directory: Path, chunk_id: str) -> bytes | None:
    """A replica's bytes straight from the directory of a storage node on this machine, past its process.

    For clients, who check the hash of what they get from anywhere. None if it can't be read so, for whatever reason:
    the node itself is to be asked then, and finds out what is wrong.
    """
    try:
        descriptor = os.open(directory / "chunks" / chunk_id[:2] / chunk_id, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return chunkfile.read(descriptor, chunkfile.check(descriptor, chunk_id))
    except (OSError, ChunkCorrupt):
        return None
    finally:
        os.close(descriptor)


def _payload_bytes(path: Path) -> int:
    """The size of the payload the file may hold, 0 if there is no file."""
    try:
        return max(0, path.stat().st_size - chunkfile.HEADER_BYTES)
    except FileNotFoundError:
        return 0
