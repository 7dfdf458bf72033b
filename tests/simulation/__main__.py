"""Run seeds: many, to find a bug, or one, to look at it.

python -m tests.simulation --seeds 2000 --from 1 --jobs 2
python -m tests.simulation --minutes 60
python -m tests.simulation --seed 4711 --trace
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from tests.simulation.run import Outcome, run_seed

WAITING_PER_JOB = 4
TELL_S = 60
"""How often to tell how far it is."""
TAIL = 60
"""Events told of a run that failed."""


def run_many(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """The outcomes of seeds, in no order."""
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    waiting = threading.Semaphore(WAITING_PER_JOB * jobs)

    def slowly() -> Iterator[int]:
        """The pool would take all seeds at once, however long they take."""
        for seed in seeds:
            waiting.acquire()
            yield seed

    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=200) as pool:
        try:
            for outcome in pool.imap_unordered(run_seed, slowly()):
                waiting.release()
                yield outcome
        finally:
            waiting.release(1_000_000)  # the pool's own thread may be waiting


def describe(outcome: Outcome, lines: int = TAIL) -> str:
    """How a run failed, with the one line that replays it last."""
    tail = "\n".join(line[:240] for line in outcome.tail[-lines:])
    return f"{tail}\nseed {outcome.seed}: {outcome.failure}\nreplay: python -m tests.simulation --seed {outcome.seed}"


def until(seeds: Iterable[int], end_s: float) -> Iterator[int]:
    """Seeds, as long as there is time."""
    return itertools.takewhile(lambda _: time.monotonic() < end_s, seeds)


def run_one(seed: int, trace: bool) -> int:
    outcome = run_seed(seed, keep_trace=trace)
    if trace:
        print("\n".join(outcome.tail))
    print(describe(outcome, 0 if trace else TAIL) if outcome.failure else f"seed {seed} is well")
    print(f"trace {outcome.trace_hash}")
    return 1 if outcome.failure else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many to run; 200 unless --minutes is given")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="N", help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes that run them")
    parser.add_argument("--minutes", type=float, help="begin no more seeds after this time")
    parser.add_argument("--seed", type=int, help="run only this one")
    parser.add_argument("--trace", action="store_true", help="print every event of it")
    options = parser.parse_args()
    if options.seed is not None:
        return run_one(options.seed, options.trace)
    return run_range(options)


def run_range(options: argparse.Namespace) -> int:
    count = options.seeds or (None if options.minutes else 200)
    seeds: Iterable[int] = (
        itertools.count(options.first) if count is None else range(options.first, options.first + count)
    )
    started_s = time.monotonic()
    if options.minutes:
        seeds = until(seeds, started_s + options.minutes * 60)
    done, failed, injected, told_s = 0, [], Counter[str](), started_s
    for outcome in run_many(seeds, options.jobs):
        done += 1
        if time.monotonic() - told_s > TELL_S:
            told_s = time.monotonic()
            print(f"{done} seeds, {done / (told_s - started_s):.1f} seeds/s", file=sys.stderr, flush=True)
        injected += outcome.counters
        if outcome.failure:
            failed.append(outcome.seed)
            print(describe(outcome), end="\n\n", flush=True)
    seconds = time.monotonic() - started_s
    print(f"{done} seeds in {seconds:.0f} s, {done / seconds:.1f} seeds/s, {options.jobs} processes")
    print("faults: " + ", ".join(f"{kind} {count}" for kind, count in injected.most_common()))
    print(f"failed: {sorted(failed)}" if failed else "none failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
