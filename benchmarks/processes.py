"""What a cluster's processes hold, read from /proc: memory, open files, children, shared memory. Linux only."""

from __future__ import annotations

import ctypes
import os
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024
SAMPLE_EVERY_S = 2.0
WARM_UP_S = 120.0
"""Of a process's life that says nothing of leaks: caches fill and threads start."""
SLOPE_AFTER_S = 900.0
"""A slope is told from samples over at least this long; over less it is noise."""


@dataclass(frozen=True)
class Census:
    """The cluster's processes at one moment."""

    processes: dict[str, int]
    """How many, by what they are."""
    descriptors: dict[str, int]
    """Open files of the largest holder of each kind."""
    shared_bytes: int
    """Of shared memory that these processes hold: Ray's object store."""
    shared_names: tuple[str, ...]
    """Its entries in /dev/shm, which could outlive the processes; Ray's usually has none."""


def take_census() -> Census:
    """Of this process and all it started."""
    kinds = {pid: kind_of(pid) for pid in family(os.getpid())}
    descriptors: dict[str, int] = {}
    for pid, kind in kinds.items():
        descriptors[kind] = max(descriptors.get(kind, 0), open_files(pid))
    shared_bytes, shared_names = _shared_memory(kinds)
    return Census(
        dict(sorted(Counter(kinds.values()).items())), dict(sorted(descriptors.items())), shared_bytes, shared_names
    )


def _shared_memory(pids: Iterable[int]) -> tuple[int, tuple[str, ...]]:
    """Bytes and names of what these processes have open under /dev/shm; a name that was removed is none."""
    sizes: dict[tuple[int, int], int] = {}
    names = set()
    for pid in pids:
        for link in _links(pid):
            try:
                path, found = str(link.readlink()), link.stat()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if path.startswith("/dev/shm/"):
                sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
                if not path.endswith(" (deleted)"):
                    names.add(path)
    return sum(sizes.values()), tuple(sorted(names))


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                after_name = (process / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if after_name[0] != "Z":
                yield int(process.name), int(after_name[1])


def kind_of(pid: int) -> str:
    """`NameNodeActor`, `StorageNodeActor`, `raylet`; `this` for the process that asks."""
    if pid == os.getpid():
        return "this"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    named = re.match(r"ray::(?:storage-\S+:)?(\w+)", words[0])
    if named:
        return named[1]
    script = next((word for word in words[1:] if word.endswith(".py")), words[0])
    return Path(script).stem


def open_files(pid: int) -> int:
    return len(_links(pid))


def _links(pid: int) -> list[Path]:
    """One for each open file of a process."""
    try:
        return list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def memory_bytes(pid: int) -> int:
    """Resident, without what it shares: a read replica or Ray's object store is not this process's own."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[1]) - int(fields[2])) * PAGE_BYTES


def own_memory_bytes() -> int:
    """Of this process, without what glibc's allocator keeps of what was freed: of the clients' large contents that is
    some 250 MiB, more or less by luck."""
    ctypes.CDLL(None).malloc_trim(0)
    return memory_bytes(os.getpid())


@dataclass
class Memory:
    """Samples of one role: time since the start in seconds, process id, bytes."""

    samples: list[tuple[float, int, int]] = field(default_factory=list)

    def report(self) -> dict[str, float | None]:
        values = [memory / MIB for _, _, memory in self.samples]
        slope = self.slope_bytes_per_hour()
        return {
            "median_mib": round(statistics.median(values), 1) if values else None,
            "max_mib": round(max(values), 1) if values else None,
            "slope_mib_per_hour": None if slope is None else round(slope / MIB, 1),
        }

    def slope_bytes_per_hour(self) -> float | None:
        """Least squares over what is left when each process has warmed up; None if that is too little."""
        born: dict[int, float] = {}
        points = [
            (at_s, float(memory))
            for at_s, pid, memory in self.samples
            if at_s - born.setdefault(pid, at_s) >= WARM_UP_S
        ]
        if len(points) < 2 or points[-1][0] - points[0][0] < SLOPE_AFTER_S:
            return None
        return statistics.linear_regression(*zip(*points, strict=True)).slope * 3600


class MemorySampler:
    """Samples the NameNode's, the storage nodes' and this process's memory in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started = time.monotonic()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self.roles: dict[str, Memory] = {}

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._enough.wait(SAMPLE_EVERY_S):
            at_s = time.monotonic() - self._started
            for role, pid in self._pids():
                memory = own_memory_bytes() if pid == os.getpid() else memory_bytes(pid)
                if memory:
                    self.roles.setdefault(role, Memory()).samples.append((at_s, pid, memory))

    def _pids(self) -> Iterator[tuple[str, int]]:
        """By the locks in the directories, which name their holders."""
        yield "this", os.getpid()
        locks = [self._directory / "namenode" / "lock", *sorted(self._directory.glob("storage/slot-*/lock"))]
        for lock in locks:
            pid = lock_holder(lock)
            if pid:
                yield lock.parent.name, pid


def lock_holder(lock: Path) -> int:
    """The process named in the lock of a directory; 0 if none is."""
    try:
        text = lock.read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdigit() else 0
