"""Transfers, latencies and start-up, each beside the limit measured in the same run: the median of three.

    python benchmarks/run.py [--directory DIR] [--size MIB] [--rounds N] [--json]

A limit is what plain threads and files do on the same disk for the same durability, without Ray and without DAME;
where the limit is Ray's own (a call to an actor, the start of a cluster), it is Ray alone. Ratios of one run say
something; figures of two machines don't.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from blake3 import blake3

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core import ArtifactStore, connect  # noqa: E402 - the project's root comes first on the path

MIB = 1024 * 1024
CHUNK_BYTES = 8 * MIB
COPIES = 3
SMALL_BYTES = 1024
SMALL_COUNT = 200


@dataclass(frozen=True)
class Row:
    """One line of the table; `ratio` is the share of the limit that DAME reaches."""

    what: str
    unit: str
    dame: float
    limit: float
    ratio: float
    runs: tuple[float, ...]
    limit_runs: tuple[float, ...]
    limit_is: str


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def faster_is_more(what: str, limit_is: str, size_mib: float, pairs: list[tuple[float, float]]) -> Row:
    """A row of throughputs in MB/s (10^6 bytes) from pairs of seconds (DAME, limit)."""
    return more_per_second(what, "MB/s", size_mib * MIB / 1e6, limit_is, pairs)


def more_per_second(what: str, unit: str, amount: float, limit_is: str, pairs: list[tuple[float, float]]) -> Row:
    """A row of rates: how much of an amount in each second, from pairs of seconds (DAME, limit)."""
    runs = tuple(round(amount / dame, 1) for dame, _ in pairs)
    limits = tuple(round(amount / limit, 1) for _, limit in pairs)
    return _row(what, unit, limit_is, runs, limits, lambda dame, limit: dame / limit)


def shorter_is_better(what: str, unit: str, scale: float, limit_is: str, pairs: list[tuple[float, float]]) -> Row:
    runs = tuple(round(dame * scale, 3) for dame, _ in pairs)
    limits = tuple(round(limit * scale, 3) for _, limit in pairs)
    return _row(what, unit, limit_is, runs, limits, lambda dame, limit: limit / dame)


def _row(
    what: str,
    unit: str,
    limit_is: str,
    runs: tuple[float, ...],
    limits: tuple[float, ...],
    ratio: Callable[[float, float], float],
) -> Row:
    dame, limit = statistics.median(runs), statistics.median(limits)
    return Row(what, unit, dame, limit, round(ratio(dame, limit), 2), runs, limits, limit_is)


# --- Limits -----------------------------------------------------------------------------------------------------


def write_copies(source: Path, directory: Path) -> None:
    """The same three copies by three plain threads: chunk files, each fsynced."""

    def write_one(copy: int) -> None:
        home = directory / f"copy-{copy}"
        home.mkdir(parents=True)
        with source.open("rb", buffering=0) as reading:
            for index, data in enumerate(iter(lambda: reading.read(CHUNK_BYTES), b"")):
                with (home / str(index)).open("wb", buffering=0) as writing:
                    writing.write(data)
                    os.fsync(writing.fileno())

    threads = [threading.Thread(target=write_one, args=(copy,)) for copy in range(COPIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shutil.rmtree(directory)


def read_and_hash(source: Path) -> None:
    buffer = bytearray(CHUNK_BYTES)
    with source.open("rb", buffering=0) as reading:
        while count := reading.readinto(buffer):
            blake3(memoryview(buffer)[:count]).digest()


class SmallWrites:
    """The least a durable small write costs: three fsynced files beside each other, then one SQLite commit."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._pool = ThreadPoolExecutor(COPIES)
        self._catalog = sqlite3.connect(directory / "catalog.sqlite")
        self._catalog.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE names (name TEXT)")

    def write(self, name: str, content: bytes) -> None:
        list(self._pool.map(lambda copy: self._write_file(f"{name}.{copy}", content), range(COPIES)))
        with self._catalog:
            self._catalog.execute("INSERT INTO names VALUES (?)", (name,))

    def _write_file(self, name: str, content: bytes) -> None:
        with (self._directory / name).open("wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())


# --- Rows -------------------------------------------------------------------------------------------------------


def transfers(store: ArtifactStore, source: Path, directory: Path, rounds: int) -> list[Row]:
    size_mib = source.stat().st_size / MIB
    uploads, downloads = [], []
    for turn in range(rounds):
        make_random(source, int(size_mib))  # new bytes each time, or deduplication makes it look fast
        limit = seconds(lambda: write_copies(source, directory / "limit"))
        uploads.append((seconds(lambda turn=turn: store.upload(f"big-{turn}", source)), limit))
        read_limit = seconds(lambda: read_and_hash(source))
        downloads.append((seconds(lambda turn=turn: _read_through(store, f"big-{turn}")), read_limit))
        store.delete(f"big-{turn}")
    return [
        faster_is_more(
            f"upload {size_mib:.0f} MiB, 3 copies", "3 threads writing and fsyncing the same copies", size_mib, uploads
        ),
        faster_is_more(f"get {size_mib:.0f} MiB", "1 thread reading one copy and hashing it", size_mib, downloads),
    ]


def _read_through(store: ArtifactStore, name: str) -> None:
    with Path(os.devnull).open("wb") as sink:
        store.copy_to(name, sink)


def small(store: ArtifactStore, directory: Path, rounds: int) -> list[Row]:
    import ray

    from core.cluster import remote

    uploads, gets = [], []
    for turn in range(rounds):
        plain = SmallWrites(directory / f"small-{turn}")
        contents = [os.urandom(SMALL_BYTES) for _ in range(SMALL_COUNT)]
        names = [f"small-{turn}-{index}" for index in range(SMALL_COUNT)]
        dame = [seconds(lambda n=n, c=c: store.upload(n, c)) for n, c in zip(names, contents, strict=True)]
        limit = [seconds(lambda n=n, c=c, plain=plain: plain.write(n, c)) for n, c in zip(names, contents, strict=True)]
        uploads.append((statistics.median(dame), statistics.median(limit)))
        dame = [seconds(lambda n=n: store.get(n)) for n in names]
        namenode = remote.actor(remote.NAMENODE_NAME)
        limit = [seconds(lambda n=namenode: (ray.get(n.pid.remote()), ray.get(n.pid.remote()))) for _ in names]
        gets.append((statistics.median(dame), statistics.median(limit)))
    return [
        shorter_is_better("upload 1 KiB, median", "ms", 1e3, "3 fsynced files at once, 1 SQLite commit", uploads),
        shorter_is_better("get 1 KiB, median", "ms", 1e3, "2 empty actor calls, one after the other", gets),
    ]


START_DAME = "import sys; from core import connect; connect(data_dir=sys.argv[1]).close()"
START_RAY = """
import core.cluster, ray
ray.init(address="local", num_cpus=0, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
ray.shutdown()
"""


def start_up(directory: Path, rounds: int) -> list[Row]:
    """Whole processes: interpreter, imports, start, and an orderly end."""

    def run(code: str, *arguments: str) -> None:
        subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)

    pairs = [
        (seconds(lambda turn=turn: run(START_DAME, str(directory / f"start-{turn}"))), seconds(lambda: run(START_RAY)))
        for turn in range(rounds)
    ]
    return [shorter_is_better("start and end, 4 nodes", "s", 1, "ray.init and ray.shutdown alone", pairs)]


def make_random(path: Path, size_mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))


def show(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "DAME", "limit", "ratio", "the limit is", "runs (DAME | limit)")
    for row in rows:
        runs = " ".join(map(str, row.runs)) + " | " + " ".join(map(str, row.limit_runs))
        table.add_row(row.what, f"{row.dame} {row.unit}", f"{row.limit} {row.unit}", str(row.ratio), row.limit_is, runs)
    Console(width=None if sys.stdout.isatty() else 170).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--directory", type=Path, help="where to measure; a temporary directory unless told otherwise")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dame-bench-", dir=options.directory) as name:
        directory = Path(name)
        rows = start_up(directory, options.rounds)
        source = directory / "source"
        make_random(source, options.size)
        with connect(data_dir=directory / "data") as store:
            rows += transfers(store, source, directory, options.rounds)
            rows += small(store, directory, options.rounds)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        show(rows)


if __name__ == "__main__":
    main()
