"""Write artifacts of mixed sizes while storage nodes are killed one after another, then read everything back.

    python benchmarks/soak.py [--artifacts 500] [--minutes M] [--seed S] [--kill-every SECONDS] [--data-dir DIR]

Content comes from the seed, so that what was acknowledged can be compared byte for byte without keeping it. Prints
one line of JSON at the end; the exit code is 1 if anything acknowledged was lost or changed, or if replicas did not
return.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core import ArtifactStore, DameError, connect  # noqa: E402 - the project's root comes first on the path

KIB, MIB = 1024, 1024 * 1024
SIZES = (0, 1, 100, 10 * KIB, 100 * KIB, MIB, 5 * MIB, 20 * MIB, 50 * MIB)
"""Upper bounds of the classes of sizes; the large ones are drawn less often."""
WEIGHTS = (2, 2, 10, 25, 25, 20, 10, 4, 2)
HEAL_TIMEOUT_S = 180


@dataclass
class Report:
    seed: int
    written: int = 0
    written_bytes: int = 0
    refused: list[str] = field(default_factory=list)
    kills: int = 0
    lost: list[str] = field(default_factory=list)
    """Acknowledged, and not read back identical."""
    whole_after_s: float = -1.0
    """From the end of the writing until every chunk had all its replicas again; -1 if that did not happen."""
    seconds: float = 0.0


def content(seed: int, index: int) -> bytes:
    rng = random.Random(f"{seed}/{index}")
    bound = rng.choices(SIZES, WEIGHTS)[0]
    return rng.randbytes(rng.randint(bound // 2, bound))


def kill_now_and_then(store: ArtifactStore, every_s: float, finished: threading.Event, report: Report) -> None:
    """SIGKILL the process of one storage node at a time, in turn, when all are up."""
    while not finished.wait(every_s):
        try:
            nodes = store.nodes()
        except DameError as error:
            report.refused.append(f"nodes: {error}")
            continue
        if all(node.state == "up" for node in nodes):
            os.kill(nodes[report.kills % len(nodes)].pid, signal.SIGKILL)
            report.kills += 1


def write(store: ArtifactStore, options: argparse.Namespace, report: Report) -> list[int]:
    """Upload until there are enough, or the time is up. The answer is what was acknowledged."""
    deadline = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    acknowledged = []
    index = 0
    while index < options.artifacts and time.monotonic() < deadline:
        data = content(options.seed, index)
        try:
            store.upload(f"soak-{index}", data)
        except DameError as error:
            report.refused.append(f"soak-{index}: {error}")
        else:
            acknowledged.append(index)
            report.written_bytes += len(data)
        index += 1
    report.written = len(acknowledged)
    return acknowledged


def verify(store: ArtifactStore, seed: int, acknowledged: list[int], report: Report) -> None:
    for index in acknowledged:
        try:
            same = store.get(f"soak-{index}") == content(seed, index)
        except DameError as error:
            same = False
            report.refused.append(f"soak-{index}: {error}")
        if not same:
            report.lost.append(f"soak-{index}")


def wait_until_whole(store: ArtifactStore, report: Report) -> None:
    started = time.monotonic()
    while time.monotonic() - started < HEAL_TIMEOUT_S:
        status = store.status()
        short = status.under_replicated + status.missing + status.healing
        if not short and status.nodes["up"] == sum(status.nodes.values()):
            report.whole_after_s = round(time.monotonic() - started, 1)
            return
        time.sleep(0.2)


def soak(store: ArtifactStore, options: argparse.Namespace) -> Report:
    report = Report(options.seed)
    started = time.monotonic()
    finished = threading.Event()
    killer = threading.Thread(target=kill_now_and_then, args=(store, options.kill_every, finished, report))
    killer.start()
    try:
        acknowledged = write(store, options, report)
    finally:
        finished.set()
        killer.join()
    wait_until_whole(store, report)
    verify(store, options.seed, acknowledged, report)
    report.seconds = round(time.monotonic() - started, 1)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=0, help="stop writing after this long; 0 for no limit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill-every", type=float, default=4.0, metavar="SECONDS")
    parser.add_argument("--data-dir", type=Path, help="a new directory; a temporary one unless told otherwise")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="dame-soak-") as temporary,
        connect(data_dir=options.data_dir or temporary) as store,
    ):
        report = soak(store, options)
    print(json.dumps(asdict(report)))
    return 1 if report.lost or report.whole_after_s < 0 else 0


if __name__ == "__main__":
    sys.exit(main())
