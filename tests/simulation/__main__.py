"""Run seeds: many, to find a bug, or one, to look at it.

python -m tests.simulation --seeds 2000 --from 1 --jobs 2
python -m tests.simulation --minutes 60
python -m tests.simulation --seed 4711 --trace
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from tests.simulation.run import Outcome, run_seed

BATCH_PER_JOB = 100
SEED_MAX_S = 600
"""A seed takes a second or less; on a busy machine some."""
TELL_S = 60
"""How often to tell how far it is."""
TAIL = 60
"""Events told of a run that failed."""


def run_many(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """The outcomes of seeds, in no order. A process that ends, or is at one seed for too long, is a failure of its
    seed, which then is one of those told."""
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    waiting = iter(seeds)
    while batch := list(itertools.islice(waiting, BATCH_PER_JOB * jobs)):
        yield from _run_batch(batch, jobs)


def _run_batch(seeds: list[int], jobs: int) -> Iterator[Outcome]:
    """By new processes, whose memory goes with them."""
    undone = set(seeds)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        under_way = [pool.submit(_run_watched, seed) for seed in seeds]
        try:
            for future in as_completed(under_way):
                outcome = future.result()
                undone.remove(outcome.seed)
                yield outcome
        except BrokenProcessPool:
            for seed in sorted(undone)[: 2 * jobs]:
                yield Outcome(seed, f"a process ended at this seed or one beside it, or took {SEED_MAX_S} s", "")
        finally:
            pool.shutdown(cancel_futures=True)


def _run_watched(seed: int) -> Outcome:
    signal.alarm(SEED_MAX_S)  # ends the process
    try:
        return run_seed(seed)
    finally:
        signal.alarm(0)


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
