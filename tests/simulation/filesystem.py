"""The calls of one simulated file system: each does its work on real files and tells the journal of it.

Precondition of each call that changes files: this file system is their only user. Only what C code does to a file by
itself, such as SQLite, is not seen; it is taken for safe.
"""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.simulation.journal import Directory, File, Make, Node, Parts, cut_power

REAL = SimpleNamespace(**{name: value for name, value in vars(os).items() if callable(value)})
"""The functions of `os` before any of them was patched."""

UNLIMITED_BYTES = 1 << 40
"""The size of a disk that was given none."""


@dataclass(eq=False, slots=True)
class Handle:
    """An open file or directory."""

    node: Any
    """File or Directory, as the call needs it."""
    appends: bool
    dead: bool = False
    """Its process is gone. The descriptor is kept until its owner closes it: its number must not be another's then."""


class FileSystem:
    """A directory whose unsynced part can be lost. Paths are tuples of names below it."""

    def __init__(self, directory: Path, device: int) -> None:
        self.directory = directory
        self.capacity_bytes: int | None = None
        """How much content it holds; writes beyond it end in ENOSPC."""
        self.handles: dict[int, Handle] = {}
        """By descriptor, what the living process has open."""
        self._prefix = str(directory)
        self._device = device
        self._root = Directory()
        self._used_bytes: int | None = None
        """None: to be counted anew."""

    def before(self, kind: str) -> None:
        """Told the kind of each call; may raise in its place."""

    # --- Files ----------------------------------------------------------------------------------------------------

    def open(self, parts: Parts, flags: int, mode: int = 0o777) -> int:
        self.before("open")
        path, node = self.path(parts), self._find(parts)
        truncates = isinstance(node, File) and bool(flags & os.O_TRUNC)
        if truncates:
            self._remember(node, path)
        descriptor = REAL.open(path, flags, mode)
        if node is None:
            node = File(b"", 0)
            self._parent(parts).change(parts[-1], node)
        elif truncates and node.size_bytes:
            self._truncated(node, 0)
        self.handles[descriptor] = Handle(node, bool(flags & os.O_APPEND))
        return int(descriptor)

    def write(
        self, descriptor: int, handle: Handle, data: bytes | bytearray | memoryview, offset: int | None = None
    ) -> int:
        """At the descriptor's position, or at this offset."""
        self.before("write")
        file, position = handle.node, offset
        if position is None:
            position = file.size_bytes if handle.appends else REAL.lseek(descriptor, 0, os.SEEK_CUR)
        data = self._what_fits(file, position, bytes(data))
        self._remember(file, f"/dev/fd/{descriptor}")
        done = REAL.write(descriptor, data) if offset is None else REAL.pwrite(descriptor, data, offset)
        before_bytes = file.size_bytes
        file.write(position, data[:done])
        self._use(file.size_bytes - before_bytes)
        return int(done)

    def _what_fits(self, file: File, position: int, data: bytes) -> bytes:
        """As a full disk does it: first part of a write, then none."""
        end = file.size_bytes + self.free_bytes
        if data and position + len(data) > end:
            data = data[: max(0, end - position)]
            if not data:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return data

    def ftruncate(self, descriptor: int, handle: Handle, size_bytes: int) -> None:
        self.before("write")
        self._remember(handle.node, f"/dev/fd/{descriptor}")
        REAL.ftruncate(descriptor, size_bytes)
        self._truncated(handle.node, size_bytes)

    def truncate(self, parts: Parts, size_bytes: int) -> None:
        self.before("write")
        path, file = self.path(parts), self._find(parts)
        if isinstance(file, File):
            self._remember(file, path)
        REAL.truncate(path, size_bytes)
        self._truncated(file, size_bytes)

    def _truncated(self, file: File, size_bytes: int) -> None:
        self._use(size_bytes - file.size_bytes)
        file.truncate(size_bytes)

    def fsync(self, descriptor: int, handle: Handle) -> None:
        node = handle.node
        try:
            self.before("fsync")
        except OSError:
            if isinstance(node, File) and node.unsynced:
                node.poisoned = True
            raise
        node.sync()

    def stat(self, real: Callable[[], os.stat_result]) -> os.stat_result:
        """What the real call says, but of this device."""
        self.before("stat")
        parts: Any = real().__reduce__()[1]
        (mode, inode, _, *rest), named = parts
        return os.stat_result((mode, inode, self._device, *rest), named)

    def statvfs(self) -> os.statvfs_result:
        self.before("stat")
        total, free = self._size_bytes, self.free_bytes
        return os.statvfs_result((4096, 1, total, free, free, 1 << 20, 1 << 20, 1 << 20, 0, 255))

    # --- Names ----------------------------------------------------------------------------------------------------

    def unlink(self, parts: Parts) -> None:
        self.before("unlink")
        path, node = self.path(parts), self._find(parts)
        if isinstance(node, File):
            self._remember(node, path)
        REAL.unlink(path)
        self._use(-node.size_bytes)
        self._parent(parts).change(parts[-1], None)

    def rename(self, old: Parts, new: Parts) -> None:
        self.before("rename")
        old_path, new_path = self.path(old), self.path(new)
        moved, replaced = self._find(old), self._find(new)
        if isinstance(moved, Directory):
            raise NotImplementedError(f"{old_path}: directories are not renamed on simulated disks")
        if isinstance(replaced, File):
            self._remember(replaced, new_path)
        REAL.rename(old_path, new_path)
        if moved is replaced:
            return
        if replaced is not None:
            self._use(-replaced.size_bytes)
        made = self._parent(new).change(new[-1], moved)
        self._parent(old).change(old[-1], None, made)

    def mkdir(self, parts: Parts, mode: int = 0o777) -> None:
        self.before("mkdir")
        REAL.mkdir(self.path(parts), mode)
        self._parent(parts).change(parts[-1], Directory())

    def rmdir(self, parts: Parts) -> None:
        self.before("unlink")
        self._find(parts)
        REAL.rmdir(self.path(parts))
        self._parent(parts).change(parts[-1], None)

    # --- What becomes of it ---------------------------------------------------------------------------------------

    def cut_power(self, rng: random.Random) -> None:
        """Change the real files to what is left of them."""
        for deed in cut_power(self._root, lambda parts: content_of(self.path(parts)), rng):
            if isinstance(deed, Make):
                _make(self.path(deed.path), deed.content)
            else:
                _remove(self.path(deed.path))
        self._used_bytes = None

    def replace(self, parts: Parts, content: bytes | None) -> None:
        """Change a file behind everybody's back, safely; None: delete it."""
        directory, file, path = self._parent(parts), self._find(parts), self.path(parts)
        directory.sync_name(parts[-1])
        self._used_bytes = None
        if content is None:
            self._remember(file, path)
            del directory.entries[parts[-1]]
            REAL.unlink(path)
        else:
            _make(path, content)
            file.replace(len(content))

    def is_synced(self, parts: Parts) -> bool:
        """Whether it would be there, as it is, after any power cut now."""
        for depth in range(len(parts)):
            directory = self._find(parts[:depth])
            if not isinstance(directory, Directory) or not directory.is_synced(parts[depth]):
                return False
        node = self._find(parts)
        return node is not None and not (isinstance(node, File) and node.unsynced)

    # --- The tree -------------------------------------------------------------------------------------------------

    def path(self, parts: Parts) -> str:
        return "/".join((self._prefix, *parts))

    def _find(self, parts: Parts) -> Any:
        """The node of a path, or None."""
        node: Node | None = self._root
        for depth, name in enumerate(parts):
            if not isinstance(node, Directory):
                return None
            node = node.entries.get(name) or self._discover(node, parts[: depth + 1])
        return node

    def _parent(self, parts: Parts) -> Directory:
        parent = self._find(parts[:-1])
        assert isinstance(parent, Directory)
        return parent

    def _discover(self, directory: Directory, parts: Parts) -> Node | None:
        """What is there, though nobody made it by way of this class."""
        try:
            found = REAL.lstat(self.path(parts))
        except OSError:
            return None
        node = Directory() if stat.S_ISDIR(found.st_mode) else File(None, found.st_size)
        directory.entries[parts[-1]] = node
        return node

    def _remember(self, file: File, path: str) -> None:
        """Keep what is safe of a file that is about to change or to go."""
        if file.safe is None:
            file.safe = content_of(path)

    # --- Space ----------------------------------------------------------------------------------------------------

    @property
    def used_bytes(self) -> int:
        if self._used_bytes is None:
            self._used_bytes = sum(REAL.lstat(path).st_size for path in files_below(self._prefix))
        return self._used_bytes

    @property
    def free_bytes(self) -> int:
        return max(0, self._size_bytes - self.used_bytes)

    @property
    def _size_bytes(self) -> int:
        return UNLIMITED_BYTES if self.capacity_bytes is None else self.capacity_bytes

    def _use(self, more_bytes: int) -> None:
        if self._used_bytes is not None:
            self._used_bytes += more_bytes


def content_of(path: str) -> bytes:
    descriptor = REAL.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bytes(REAL.pread(descriptor, REAL.fstat(descriptor).st_size, 0))
    finally:
        REAL.close(descriptor)


def files_below(directory: str) -> Iterator[str]:
    """All real files, in order of their names."""
    try:
        with REAL.scandir(directory) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(entry.path)
        else:
            yield entry.path


def _make(path: str, content: bytes | None) -> None:
    """Never into a file that is there: somebody may have mapped it, or hold a lock on it."""
    if content is None:
        REAL.mkdir(path)
        return
    temporary = f"{path}.made"
    descriptor = REAL.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        assert REAL.write(descriptor, content) == len(content)
    finally:
        REAL.close(descriptor)
    REAL.rename(temporary, path)


def _remove(path: str) -> None:
    if not stat.S_ISDIR(REAL.lstat(path).st_mode):
        REAL.unlink(path)
        return
    with REAL.scandir(path) as entries:
        found = list(entries)
    for entry in found:
        _remove(entry.path)
    REAL.rmdir(path)
