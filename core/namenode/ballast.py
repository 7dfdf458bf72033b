"""A file that keeps room on the catalog's disk: given up when the disk is full, so that what frees room can still be
written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from core.directory import sync_directory

FILE_NAME = "ballast"
FULL_BYTES = 1024 * 1024
"""A disk with less than this free is full: SQLite needs some pages beside those of an edit."""
OPENING_BYTES = 256 * 1024
"""The last part, for a start on a full disk: SQLite can't open a file without room for its index of the log."""


class Ballast:
    def __init__(self, directory: Path, size_bytes: int) -> None:
        """size_bytes: 0 for none at all."""
        self.size_bytes = size_bytes
        self._directory = directory
        self._path = directory / FILE_NAME

    @property
    def held(self) -> bool:
        try:
            return self._path.stat().st_size >= self.size_bytes
        except OSError:
            return False

    def free_bytes(self) -> int:
        """What is free on the disk beside it. Raises OSError."""
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize

    def disk_is_full(self) -> bool:
        try:
            return self.free_bytes() < FULL_BYTES
        except OSError:
            return False

    def release(self) -> bool:
        """Give the room up, but for what it takes to open a catalog. False if there was none to give."""
        try:
            if self._path.stat().st_size <= OPENING_BYTES:
                return False
            os.truncate(self._path, OPENING_BYTES)
        except OSError:
            return False
        return True

    def release_all(self) -> bool:
        try:
            self._path.unlink()
            sync_directory(self._directory)
        except OSError:
            return False
        return True

    def make(self) -> bool:
        """Have it there, with as much room again beside it. False if the disk is too full for that."""
        temporary = self._directory / f".{FILE_NAME}.tmp"
        try:
            if self.held:
                return self.free_bytes() >= self.size_bytes
            if self.free_bytes() < 2 * self.size_bytes:
                return False
            self._reserve(temporary)
            temporary.rename(self._path)
            sync_directory(self._directory)
        except OSError:
            with suppress(OSError):  # a disk that was made read-only refuses that, too
                temporary.unlink(missing_ok=True)
            return False
        return True

    def _reserve(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, max(1, self.size_bytes))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
