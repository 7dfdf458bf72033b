"""What a cluster's processes hold, read from /proc: memory, open files, children, shared memory. Linux only."""

from __future__ import annotations

import ctypes
import os
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024
SAMPLE_EVERY_S = 2.0
WARM_UP_S = 120.0
"""Of a process's life that says nothing of leaks: caches fill and threads start."""
SLOPE_AFTER_S = 1_200.0
"""A slope is told from the later half of a life that is at least this long: until then an allocator may still be
filling what it keeps for its threads, and over less it is noise."""
CURVE_STEP_S = 300.0


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
        if process.name.isdigit() and (fields := _stat(int(process.name))):
            yield int(process.name), int(fields[1])


def identities(pids: Iterable[int]) -> set[tuple[int, str]]:
    """Process ids, each with the time of its start, since ids are given again; without those that live no longer."""
    return {(pid, fields[19]) for pid in pids if (fields := _stat(pid))}


def _stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on (proc(5), field 3); nothing of one that is gone or dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [] if fields[0] == "Z" else fields


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


@dataclass(frozen=True)
class Sample:
    """Of one process at one moment, in seconds since the start."""

    at_s: float
    pid: int
    memory_bytes: int
    descriptors: int


@dataclass
class Samples:
    """Of one role, which one process after the other fills."""

    all: list[Sample] = field(default_factory=list)

    def report(self) -> dict[str, float | list[int] | None]:
        values = [sample.memory_bytes / MIB for sample in self.all]
        memory, descriptors = self.slope_bytes_per_hour(), self.slope_descriptors_per_hour()
        return {
            "median_mib": round(statistics.median(values), 1) if values else None,
            "max_mib": round(max(values), 1) if values else None,
            "slope_mib_per_hour": None if memory is None else round(memory / MIB, 1),
            "slope_descriptors_per_hour": None if descriptors is None else round(descriptors, 1),
            "longest_life_min": round(self.longest_life_s() / 60, 1),
            "longest_life_mib": self.curve_mib(),
        }

    def curve_mib(self) -> list[int]:
        """The median memory of the process that lived longest, for each five minutes from its birth."""
        longest = max(self._by_process(), key=lambda life: life[-1].at_s - life[0].at_s, default=[])
        steps: dict[int, list[int]] = {}
        for sample in longest:
            steps.setdefault(int((sample.at_s - longest[0].at_s) // CURVE_STEP_S), []).append(sample.memory_bytes)
        return [round(statistics.median(values) / MIB) for values in steps.values()]

    def slope_bytes_per_hour(self) -> float | None:
        return self._slope_per_hour(lambda sample: sample.memory_bytes)

    def slope_descriptors_per_hour(self) -> float | None:
        return self._slope_per_hour(lambda sample: sample.descriptors)

    def longest_life_s(self) -> float:
        """Of what is looked at: after warming up."""
        return max((life[-1].at_s - life[0].at_s for life in self._lives()), default=0.0)

    def _lives(self) -> list[list[Sample]]:
        """The samples of each process, from when it has warmed up."""
        warm = ([each for each in life if each.at_s - life[0].at_s >= WARM_UP_S] for life in self._by_process())
        return [life for life in warm if life]

    def _by_process(self) -> list[list[Sample]]:
        lives: dict[int, list[Sample]] = {}
        for sample in self.all:
            lives.setdefault(sample.pid, []).append(sample)
        return list(lives.values())

    def _later_halves(self) -> list[list[Sample]]:
        """Of the lives that are long enough to tell."""
        return [
            [each for each in life if each.at_s >= (life[0].at_s + life[-1].at_s) / 2]
            for life in self._lives()
            if life[-1].at_s - life[0].at_s >= SLOPE_AFTER_S
        ]

    def _slope_per_hour(self, value: Callable[[Sample], float]) -> float | None:
        """Least squares of what each process gained over its own mean, for the next one begins small again. None if no
        process lived long enough to tell."""
        times: list[float] = []
        gains: list[float] = []
        for life in self._later_halves():
            mean_s, mean = statistics.fmean(each.at_s for each in life), statistics.fmean(map(value, life))
            times += [each.at_s - mean_s for each in life]
            gains += [value(each) - mean for each in life]
        return statistics.linear_regression(times, gains).slope * 3600 if times else None


class Sampler:
    """Samples the NameNode's, the storage nodes' and this process's memory and open files, in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started = time.monotonic()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)
        self.roles: dict[str, Samples] = {}

    def __enter__(self) -> Sampler:
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
                    sample = Sample(at_s, pid, memory, open_files(pid))
                    self.roles.setdefault(role, Samples()).all.append(sample)

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
