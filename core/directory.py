"""Owning a data directory: one process at a time, and small files in it that survive a power cut.

The NameNode's and the storage nodes' directories are both held this way. A lock is an flock on the file `lock`, so the
kernel frees it when its owner dies, however it dies; the process id in it is only there to be named in the refusal.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from core.errors import DirectoryFailure, DirectoryInUse

LOCK_NAME = "lock"

_PID_WIDTH_BYTES = 12
"""The process id overwrites the last one at a fixed width, so that locking again needs no room on a full disk."""


class DirectoryLock:
    """The right to change a directory, until `release` or the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the directory up. Releasing twice is harmless."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def lock_directory(path: Path) -> DirectoryLock:
    """Become the one process that uses an existing directory. Raises DirectoryFailure, at once if it is taken."""
    try:
        # Not inherited by programs this process starts, so that none of them keeps the lock after it is gone.
        descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise directory_failure(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(descriptor, str(os.getpid()).encode().ljust(_PID_WIDTH_BYTES), 0)
    except BlockingIOError as error:
        owner = _owner(descriptor)
        os.close(descriptor)
        raise DirectoryInUse(
            f"{path} is in use by {owner}; use that one, end it, or give another directory.", directory=str(path)
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise directory_failure(path, error) from error
    return DirectoryLock(path, descriptor)


def is_in_use(path: Path) -> bool:
    """Whether a process holds the directory now. Raises OSError if that can't be told.

    Whoever opens the directory in this very moment may be refused, and tries again.
    """
    try:
        descriptor = os.open(path / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create a directory with its parents, durably. Raises DirectoryFailure; one that exists is left as it is."""
    try:
        missing = [parent for parent in (path, *path.parents) if not parent.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync_directory(made.parent)
    except OSError as error:
        raise directory_failure(path, error) from error


def numbered(root: Path, prefix: str) -> list[int]:
    """The numbers of the directories `prefix-0`, `prefix-1`, ... in another one, in order."""
    found = ((path, path.name.removeprefix(f"{prefix}-")) for path in root.glob(f"{prefix}-*"))
    return sorted(int(number) for path, number in found if number.isdecimal() and path.is_dir())


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a small file: after a crash at any moment it holds the old content or the new. Raises OSError.

    Precondition: nobody else writes this file, which holding the directory's lock ensures between processes.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    _sync(path, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make a file durable that somebody else may have written. Raises OSError."""
    _sync(path, 0)


def _sync(path: Path, kind: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | kind)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def directory_failure(path: Path, error: OSError) -> DirectoryFailure:
    """The refusal for a directory that can't be used because the system said so."""
    reason = error.strerror or str(error)
    return DirectoryFailure(
        f"The data directory {path} can't be used: {reason}. Mend that or give another directory.", directory=str(path)
    )


def _owner(descriptor: int) -> str:
    """Who holds the lock, as far as its file tells: it is written just after the lock is taken."""
    text = os.pread(descriptor, _PID_WIDTH_BYTES, 0).decode("ascii", "replace").strip()
    return f"another process (pid {text})" if text.isdigit() else "another process"
