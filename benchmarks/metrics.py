"""What metrics and log lines cost a call of the NameNode: the same call with them and without.

    python benchmarks/metrics.py [--calls N] [--rounds N] [--json]

One actor holds a NameNode on an empty catalog and answers both kinds of call, in turns, so that both see the same
machine. "inside" is the time within the actor, of many calls in a row; "call and back" is what a client waits for one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.cluster.actors import NameNodeActor  # noqa: E402 - the project's root comes first on the path
from core.cluster.launch import share_code_with_workers, stay_on_loopback  # noqa: E402
from core.config import Config  # noqa: E402


@dataclass(frozen=True)
class Row:
    """Medians of the rounds, in microseconds."""

    what: str
    without_us: float
    with_us: float


class Bare(NameNodeActor):
    """As it would be without metrics and log lines; without its threads either."""

    def _supervise(self) -> None: ...

    def _checkpoint(self) -> None: ...

    def _publish(self) -> None: ...

    def bare(self, method: str, *arguments: Any) -> Any:
        return self._service.ask(time.time_ns() // 1_000_000, method, *arguments)

    def inside(self, calls: int, measured: bool, method: str, *arguments: Any) -> float:
        """Seconds for one of many calls."""
        ask = self.ask if measured else self.bare
        started = time.perf_counter()
        for _ in range(calls):
            ask(method, *arguments)
        return (time.perf_counter() - started) / calls


def in_turns(rounds: int, without: Callable[[], float], measured: Callable[[], float]) -> tuple[float, float]:
    pairs = [(without(), measured()) for _ in range(rounds)]
    return tuple(statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))  # type: ignore[return-value]


def measure(directory: Path, calls: int, rounds: int) -> list[Row]:
    import ray

    share_code_with_workers()
    actor = ray.remote(num_cpus=0)(Bare).remote(str(directory), None, Config(catalog_ballast_bytes=0))

    def call_and_back(ask: Any) -> float:
        started = time.perf_counter()
        for _ in range(calls):
            ray.get(ask.remote("wish", "nobody"))
        return (time.perf_counter() - started) / calls

    rows = []
    for method, arguments in (("wish", ("nobody",)), ("artifacts", ("",)), ("status", ())):
        times = in_turns(
            rounds,
            lambda m=method, a=arguments: ray.get(actor.inside.remote(calls, False, m, *a)),
            lambda m=method, a=arguments: ray.get(actor.inside.remote(calls, True, m, *a)),
        )
        rows.append(Row(f"{method}, inside", *times))
    times = in_turns(rounds, lambda: call_and_back(actor.bare), lambda: call_and_back(actor.ask))
    return [*rows, Row("wish, call and back", *times)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000, help="in one round; default 1000")
    parser.add_argument("--rounds", type=int, default=15, help="the median of so many; default 15")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    arguments = parser.parse_args()
    import ray

    stay_on_loopback()
    ray.init(address="local", num_cpus=0, include_dashboard=False, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as directory:
            rows = measure(Path(directory), arguments.calls, arguments.rounds)
    finally:
        ray.shutdown()
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{'':24}{'without':>10}{'with':>10}{'more':>8}  (us)")
    for row in rows:
        print(f"{row.what:24}{row.without_us:10.1f}{row.with_us:10.1f}{row.with_us - row.without_us:8.1f}")


if __name__ == "__main__":
    main()
