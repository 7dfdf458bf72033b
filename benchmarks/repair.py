"""How fast the replicas of a lost storage node are made again, beside a plain copy of the same chunks on the same disk.

    python benchmarks/repair.py [--directory DIR] [--size MIB] [--chunk-size BYTES] [--small COUNT] [--no-silence]
                                [--rounds N] [--json]

Each round is a cluster of its own. One of its nodes is failed, and what the others write is read from the times of the
files themselves, past all of DAME: the rate is that while all of them are at it, and the JSON says more. The plain copy
reads, hashes, writes and fsyncs the same files by as many threads as the surviving nodes have for copies, at the same
priority (Ray runs its workers at a low one); of two, the faster counts. At last a node's process is stopped, to see how
long it takes from the silence to the first replica made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from blake3 import blake3

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.run import (  # noqa: E402 - the project's root comes first on the path
    MIB,
    Row,
    faster_is_more,
    make_random,
    more_per_second,
    seconds,
    shorter_is_better,
    show,
)
from core import ArtifactStore, NodeInfo, connect  # noqa: E402
from core.cluster.actors import COPY_THREADS, LARGE_COPIES  # noqa: E402
from core.config import Config  # noqa: E402

NODES = 4
LARGE_THREADS = (NODES - 1) * LARGE_COPIES
SMALL_THREADS = (NODES - 1) * COPY_THREADS
SMALL_CHUNK_BYTES = 4096
QUIET_S = 6.0
"""After an upload: healing leaves clients their share of the disks by what they did in the last five seconds."""
POLL_S = 0.1
TIMEOUT_S = 600.0
LIMIT_IS = "{} threads reading, hashing, writing and fsyncing the same files"
PLAIN_COPIES = 2
SETTINGS = {"DAME_REBALANCE_THRESHOLD": "0"}


@dataclass(frozen=True)
class Repair:
    """What was written after a node was lost."""

    files: tuple[Path, ...]
    """The replicas made again, in the order in which they were whole."""
    size_bytes: int
    first_s: float
    """From the loss to the first of them."""
    last_s: float
    """From the loss to the last."""
    steady_files: int
    """Made between the first of the node that began last and the last of the node that was done first."""
    steady_s: float
    """How long that is."""
    made_by: dict[str, int]
    idle_s: dict[str, float]
    """Of each node, the time in which it finished nothing for longer than five of its replicas take."""

    @property
    def seconds_per_file(self) -> float:
        return self.steady_s / self.steady_files

    def report(self) -> dict[str, object]:
        return {**asdict(self), "files": len(self.files)}


class Cluster:
    """An embedded cluster whose disks are looked at past its processes."""

    def __init__(self, store: ArtifactStore, directory: Path) -> None:
        self.store = store
        self._storage = directory / "storage"

    def fill(self, content: Path | bytes, chunk_size_bytes: int) -> None:
        self.store.upload("content", content, chunk_size_bytes=chunk_size_bytes)
        self.until(self._is_whole)
        time.sleep(QUIET_S)

    def lose(self, node: NodeInfo, how: Callable[[], object]) -> Repair:
        """Lose a node and wait for its replicas."""
        before, since_ns = self._replicas(), time.time_ns()
        how()
        self.until(lambda: self.store.node(node.id).node.state in ("failed", "down"))
        self.until(self._is_whole)
        lost = {path.name for path in before}  # what a checkpoint of the catalog writes meanwhile is no repair
        new = [path for path in self._replicas() - before if path.name in lost]
        made = sorted((path.stat().st_ctime_ns, path) for path in new)
        return _repair([((time_ns - since_ns) / 1e9, path) for time_ns, path in made])

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done after {TIMEOUT_S:.0f} s: {self.store.status()}")
            time.sleep(POLL_S)

    def _is_whole(self) -> bool:
        status = self.store.status()
        return not (status.under_replicated or status.missing or status.healing)

    def _replicas(self) -> set[Path]:
        return set(self._storage.glob("slot-*/chunks/*/*"))


def _repair(made: list[tuple[float, Path]]) -> Repair:
    slots = {path.parents[2].name for _, path in made}
    times_s = {slot: [at_s for at_s, path in made if path.parents[2].name == slot] for slot in sorted(slots)}
    steady_from_s, steady_to_s = (
        max(times[0] for times in times_s.values()),
        min(times[-1] for times in times_s.values()),
    )
    return Repair(
        tuple(path for _, path in made),
        sum(path.stat().st_size for _, path in made),
        made[0][0],
        made[-1][0],
        sum(steady_from_s < at_s <= steady_to_s for at_s, _ in made),
        steady_to_s - steady_from_s,
        dict(Counter(path.parents[2].name for _, path in made)),
        {slot: round(_idle_s(times), 3) for slot, times in times_s.items()},
    )


def _idle_s(times_s: list[float]) -> float:
    gaps = [after - before for before, after in itertools.pairwise(times_s)]
    usual_s = sum(gaps) / max(1, len(gaps))
    return sum(gap for gap in gaps if gap > 5 * usual_s)


def plain_copy(files: tuple[Path, ...], directory: Path, threads: int, niceness: int) -> None:
    """Read, hash, write and fsync each file, by threads of this priority."""

    def lower_priority() -> None:  # of this thread: Linux keeps one for each
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)

    def copy_one(source: Path) -> None:
        data = source.read_bytes()
        blake3(data).digest()
        with (directory / source.name).open("wb", buffering=0) as target:
            target.write(data)
            os.fsync(target.fileno())

    directory.mkdir()
    with ThreadPoolExecutor(threads, initializer=lower_priority) as pool:
        list(pool.map(copy_one, files))


# --- Rows -------------------------------------------------------------------------------------------------------


def large(directory: Path, size_mib: int, chunk_size_bytes: int, rounds: int) -> tuple[Row, list[Repair]]:
    source = directory / "source"
    make_random(source, size_mib)
    repairs, pairs = _rounds(directory, source, chunk_size_bytes, rounds, LARGE_THREADS)
    what = f"repair {size_mib} MiB, chunks of {chunk_size_bytes / MIB:g} MiB"
    return faster_is_more(what, LIMIT_IS.format(LARGE_THREADS), chunk_size_bytes / MIB, pairs), repairs


def small(directory: Path, count: int, rounds: int) -> tuple[Row, list[Repair]]:
    content = os.urandom(count * SMALL_CHUNK_BYTES)
    repairs, pairs = _rounds(directory, content, SMALL_CHUNK_BYTES, rounds, SMALL_THREADS)
    what = f"repair {count} chunks of {SMALL_CHUNK_BYTES // 1024} KiB"
    return more_per_second(what, "chunks/s", 1, LIMIT_IS.format(SMALL_THREADS), pairs), repairs


def _rounds(
    directory: Path, content: Path | bytes, chunk_size_bytes: int, rounds: int, threads: int
) -> tuple[list[Repair], list[tuple[float, float]]]:
    """Repairs after a node was failed, and of each the seconds for one file: DAME's, and a plain copy's of the same."""
    repairs, pairs = [], []
    for turn in range(rounds):
        home = directory / f"cluster-{turn}"
        with connect(data_dir=home, nodes=NODES) as store:
            cluster = Cluster(store, home)
            cluster.fill(content, chunk_size_bytes)
            node = store.nodes()[turn % NODES]
            repair = cluster.lose(node, lambda store=store, node=node: store.fail(node.id))
            niceness = os.getpriority(os.PRIO_PROCESS, node.pid)
            plain = [_plain_copy_s(repair.files, directory / "plain", threads, niceness) for _ in range(PLAIN_COPIES)]
            repairs.append(repair)
            pairs.append((repair.seconds_per_file, min(plain) / len(repair.files)))
        shutil.rmtree(home)
    return repairs, pairs


def _plain_copy_s(files: tuple[Path, ...], directory: Path, threads: int, niceness: int) -> float:
    spent_s = seconds(lambda: plain_copy(files, directory, threads, niceness))
    shutil.rmtree(directory)
    return spent_s


def silence(directory: Path) -> tuple[Row, list[Repair]]:
    """Of a process that is stopped and hangs, as after a power cut of its machine."""
    with connect(data_dir=directory / "silence", nodes=NODES) as store:
        cluster = Cluster(store, directory / "silence")
        cluster.fill(os.urandom(64 * MIB), MIB)
        node = store.nodes()[0]
        try:
            repair = cluster.lose(node, lambda: os.kill(node.pid, signal.SIGSTOP))
        finally:
            os.kill(node.pid, signal.SIGCONT)
    down_s = Config.from_environment().down_after_ms / 1000
    limit_is = "the silence after which a node is down"
    return shorter_is_better("silence to first replica", "s", 1, limit_is, [(repair.first_s, down_s)]), [repair]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--directory", type=Path, help="where to measure; a temporary directory unless told otherwise")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="content in large chunks; 0 for none")
    parser.add_argument("--chunk-size", type=int, default=8 * MIB, metavar="BYTES", help="of the large chunks")
    parser.add_argument("--small", type=int, default=4000, metavar="COUNT", help="chunks of 4 KiB; 0 for none")
    parser.add_argument("--silence", action=argparse.BooleanOptionalAction, default=True, help="stop a process as well")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    measured = []
    with tempfile.TemporaryDirectory(prefix="dame-repair-", dir=options.directory) as name:
        directory = Path(name)
        if options.size:
            measured.append(large(directory, options.size, options.chunk_size, options.rounds))
        if options.small:
            measured.append(small(directory, options.small, options.rounds))
        if options.silence:
            measured.append(silence(directory))
    if options.json:
        rows = [{**asdict(row), "repairs": [repair.report() for repair in repairs]} for row, repairs in measured]
        print(json.dumps(rows, indent=1))
    else:
        show([row for row, _ in measured])


if __name__ == "__main__":
    main()
