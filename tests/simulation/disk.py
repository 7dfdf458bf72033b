"""Simulated disks under the code that ships: real files whose unsynced part a power cut may take away.

`Disks` patches the functions of `os` that touch files, and what pathlib calls in their place, for the paths below one
root; nothing in the product knows. Each directory directly below the root is one disk. The files are real (the root
belongs on a tmpfs), so that flock and mmap work as they are. A call that is not modelled is refused, so that nothing
changes a file unseen.

One thread at a time. The same seed gives the same faults: listings are sorted and free space is the simulated disk's.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import fcntl
import io
import os
import pathlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.storagenode.chunkfile import HEADER_BYTES
from tests.simulation.filesystem import REAL, FileSystem, Handle, content_of, files_below
from tests.simulation.journal import Parts

Call = Callable[..., Any]

_REAL_OPEN = io.open


class SimulatedCrash(BaseException):
    """The process ends here. Its disk answers nothing more until `crash` or `process_killed`."""


@dataclass
class Failure:
    """An error in which a kind of call ends at times."""

    errno: int
    probability: float = 1.0
    count: int | None = None
    """So many times more; None: without end."""


@dataclass(frozen=True)
class Rot:
    """What `Disk.rot` did to a replica."""

    kind: str
    """flipped, cut or deleted."""
    chunk_id: str


class Disk(FileSystem):
    """One disk, and the process that uses it. Made by `Disks.disk`."""

    def __init__(self, directory: Path, device: int, rng: random.Random) -> None:
        super().__init__(directory, device)
        self.crash_after: int | None = None
        """SimulatedCrash in place of the n-th call from now; 1: of the next."""
        self.fails: dict[str, int | Failure] = {}
        """By kind of call (open, read, write, fsync, rename, unlink, mkdir, stat, list), the error it ends in.

        After an fsync that failed, no later one makes what was written before it durable.
        """
        self.calls = 0
        """Calls so far; closing is none."""
        self.slow_ms = 0
        """Each call takes up to so many milliseconds, in which others run."""
        self.take_time: Callable[[int], None] = lambda slow_ms: None
        """Called before each call takes effect, with `slow_ms`; may raise what ends the caller."""
        self._rng = rng
        self._down = False

    def crash(self) -> None:
        """The power fails: what was not synced is kept, dropped, cut or garbled, and the process is gone."""
        self.process_killed()
        self.cut_power(self._rng)

    def process_killed(self) -> None:
        """The process is gone, and its locks with it; what it wrote is all there, but no more durable than before."""
        for descriptor, handle in self.handles.items():
            handle.dead = True
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        self.handles.clear()
        self._down = False
        self.crash_after = None

    def stored_chunks(self) -> list[str]:
        """The names of the chunk files, good or not; looking at them is no call."""
        return [path.rpartition("/")[2] for path in files_below(f"{self.directory}/chunks")]

    def rot(self, rng: random.Random, chunk_id: str | None = None) -> Rot | None:
        """Flip a bit of a chunk's file, cut it short or delete it; if none is named, of any. None if there is none."""
        if chunk_id is None:
            stored = self.stored_chunks()
            if not stored:
                return None
            chunk_id = rng.choice(stored)
        parts = "chunks", chunk_id[:2], chunk_id
        content = bytearray(content_of(self.path(parts)))
        kind = rng.choice(("flipped", "cut", "deleted")) if content else "deleted"
        if kind == "flipped":
            # Evenly in what the storage node looks at with each read and in what only the hash tells of.
            first = min(HEADER_BYTES, len(content) - 1) * rng.randrange(2)
            content[rng.randrange(first, len(content))] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del content[rng.randrange(len(content)) :]
        self.replace(parts, None if kind == "deleted" else bytes(content))
        return Rot(kind, chunk_id)

    def is_durable(self, path: Path) -> bool:
        """Whether this file is there, with its present content, after any power cut that may come now."""
        return self.is_synced(path.relative_to(self.directory).parts)

    def before(self, kind: str) -> None:
        self.take_time(self.slow_ms)
        if self._down:
            raise SimulatedCrash
        self.calls += 1
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after <= 0:
                self._down = True
                raise SimulatedCrash(f"{self.directory.name} at {kind}")
        if kind in self.fails:
            self._fail(kind)

    def _fail(self, kind: str) -> None:
        failure = self.fails[kind]
        if isinstance(failure, int):
            raise OSError(failure, os.strerror(failure))
        if failure.count == 0 or self._rng.random() >= failure.probability:
            return
        if failure.count is not None:
            failure.count -= 1
        raise OSError(failure.errno, os.strerror(failure.errno))


class _Listing:
    """What os.scandir gives, in order of the names."""

    def __init__(self, real: Any) -> None:
        with real as entries:
            self._entries = iter(sorted(entries, key=lambda entry: str(entry.name)))

    def __iter__(self) -> Iterator[Any]:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


class Disks:
    """Disks below one directory, as long as it is entered. At the end every process is gone: close nothing after."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.absolute()
        """A link in it stays: paths are compared as they are written."""
        self._prefix = f"{self.root}/"
        self._rng = rng
        self._disks: dict[str, Disk] = {}
        self._open: dict[int, tuple[Disk, Handle]] = {}
        """By descriptor, those of dead processes too."""
        self._saved: list[tuple[Any, str, Any]] = []

    def disk(self, name: str) -> Disk:
        """The disk of this name, empty or as it was left; made at first use."""
        disk = self._disks.get(name)
        if disk is None:
            with contextlib.suppress(FileExistsError):
                REAL.mkdir(f"{self._prefix}{name}")
            disk = self._disks[name] = Disk(self.root / name, 1 + len(self._disks), self._rng)
        return disk

    def __enter__(self) -> Disks:
        assert os.open is REAL.open, "the calls to the system are patched already"
        for owner, name, replacement in self._replacements():
            self._saved.append((owner, name, vars(owner).get(name)))
            setattr(owner, name, replacement)
        return self

    def __exit__(self, *_: object) -> None:
        while self._saved:
            owner, name, before = self._saved.pop()
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        for descriptor in self._open:
            REAL.close(descriptor)
        self._open.clear()

    # --- What takes the place of the system's calls ----------------------------------------------------------------

    def _replacements(self) -> Iterator[tuple[object, str, Call]]:
        replaced: dict[str, Call] = {"open": self._open_file, "close": self._close, "scandir": self._scandir}
        for name, act in _BY_PATH.items():
            replaced[name] = self._by_path(getattr(REAL, name), act)
        for name, act in _BY_DESCRIPTOR.items():
            replaced[name] = self._by_descriptor(getattr(REAL, name), act)
        for name in _RENAMES:
            replaced[name] = self._rename(getattr(REAL, name))
        for name in filter(partial(hasattr, os), _REFUSED):
            replaced[name] = self._refused(name, getattr(REAL, name))
        for name, replacement in replaced.items():
            yield os, name, replacement
        yield io, "open", self._open_stream
        yield builtins, "open", self._open_stream
        # Python 3.10's pathlib holds the functions themselves; later ones look them up in os and io.
        accessor = getattr(pathlib, "_normal_accessor", None)
        if accessor is not None:
            for name in _OF_THE_ACCESSOR:
                yield accessor, name, replaced[name]
            yield accessor, "open", self._open_stream

    def _place(self, path: Any, dir_fd: int | None = None) -> tuple[Disk, Parts] | None:
        """The disk that a path is on, and the names below it; None if it is on none."""
        if isinstance(path, int):
            if path in self._open:
                raise NotImplementedError("a descriptor of a simulated disk in place of a path")
            return None
        text = os.fsdecode(path) if path is not None else "."
        if not text.startswith(self._prefix):
            if dir_fd in self._open:
                raise NotImplementedError("a path below a descriptor of a simulated disk")
            return None
        name, *parts = filter(None, text[len(self._prefix) :].split("/"))
        assert ".." not in parts, text
        return self.disk(name), tuple(parts)

    def _by_path(self, real: Call, act: Call) -> Call:
        def call(path: Any, *arguments: Any, dir_fd: int | None = None, **named: Any) -> Any:
            place = self._place(path, dir_fd)
            if place is None:
                return real(path, *arguments, **({} if dir_fd is None else {"dir_fd": dir_fd}), **named)
            return act(*place, *arguments, **named)

        return call

    def _by_descriptor(self, real: Call, act: Call) -> Call:
        def call(descriptor: int, *arguments: Any) -> Any:
            opened = self._open.get(descriptor)
            if opened is None:
                return real(descriptor, *arguments)
            disk, handle = opened
            if handle.dead:
                raise SimulatedCrash
            return act(disk, descriptor, handle, *arguments)

        return call

    def _rename(self, real: Call) -> Call:
        def call(old: Any, new: Any, **named: Any) -> None:
            source, target = self._place(old, named.get("src_dir_fd")), self._place(new, named.get("dst_dir_fd"))
            if source is None and target is None:
                real(old, new, **named)
            elif source is None or target is None or source[0] is not target[0]:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            else:
                source[0].rename(source[1], target[1])

        return call

    def _refused(self, name: str, real: Call) -> Call:
        def call(*arguments: Any, **named: Any) -> Any:
            for subject in arguments[:2]:
                if subject in self._open if isinstance(subject, int) else self._place(subject) is not None:
                    raise NotImplementedError(f"os.{name} on a simulated disk")
            return real(*arguments, **named)

        return call

    def _open_file(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = self._place(path, dir_fd)
        if place is None:
            return int(REAL.open(path, flags, mode, dir_fd=dir_fd))
        disk, parts = place
        descriptor = disk.open(parts, flags, mode)
        self._open[descriptor] = disk, disk.handles[descriptor]
        return descriptor

    def _close(self, descriptor: int) -> None:
        """Also what a dead process had open: its objects may be cleaned up late."""
        disk, handle = self._open.pop(descriptor, (None, None))
        if disk is not None and handle is not None and not handle.dead:
            del disk.handles[descriptor]
        REAL.close(descriptor)

    def _scandir(self, path: Any = ".") -> Any:
        place = self._place(path)
        if place is None:
            return REAL.scandir(path)
        place[0].before("list")
        return _Listing(REAL.scandir(path))

    def _open_stream(self, file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        """Reading only: what a stream writes would pass unseen."""
        place = self._place(file)
        if place is not None:
            if set(mode) & set("wax+"):
                raise NotImplementedError(f"open({file!r}, {mode!r}): write with os.write on a simulated disk")
            place[0].before("open")
            place[0].before("read")
        return _REAL_OPEN(file, mode, *arguments, **named)


def _stat(disk: Disk, parts: Parts, **named: Any) -> os.stat_result:
    return disk.stat(lambda: REAL.stat(disk.path(parts), **named))


def _listdir(disk: Disk, parts: Parts) -> list[str]:
    disk.before("list")
    return sorted(REAL.listdir(disk.path(parts)))


def _reading(name: str) -> Call:
    def read(disk: Disk, descriptor: int, handle: Handle, *arguments: Any) -> Any:
        disk.before("read")
        return getattr(REAL, name)(descriptor, *arguments)

    return read


_BY_PATH: dict[str, Call] = {
    "unlink": Disk.unlink,
    "remove": Disk.unlink,
    "mkdir": Disk.mkdir,
    "rmdir": Disk.rmdir,
    "truncate": Disk.truncate,
    "stat": _stat,
    "lstat": lambda disk, parts: _stat(disk, parts, follow_symlinks=False),
    "statvfs": lambda disk, parts: disk.statvfs(),
    "listdir": _listdir,
}
_BY_DESCRIPTOR: dict[str, Call] = {
    "write": Disk.write,
    "pwrite": Disk.write,
    "writev": lambda disk, descriptor, handle, buffers: disk.write(descriptor, handle, b"".join(buffers)),
    "ftruncate": Disk.ftruncate,
    "fsync": Disk.fsync,
    "fdatasync": Disk.fsync,
    "fstat": lambda disk, descriptor, handle: disk.stat(lambda: REAL.fstat(descriptor)),
    "fstatvfs": lambda disk, descriptor, handle: disk.statvfs(),
    **{name: _reading(name) for name in ("read", "readv", "pread", "preadv") if hasattr(os, name)},
}
_RENAMES = ("rename", "replace")
_REFUSED = ("link", "symlink", "mknod", "mkfifo", "pwritev", "posix_fallocate", "sendfile", "copy_file_range", "splice")
_OF_THE_ACCESSOR = ("stat", "listdir", "scandir", "mkdir", "unlink", "rmdir", "rename", "replace", "link", "symlink")
