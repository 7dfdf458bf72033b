"""One seed, from its plan to its outcome."""

from __future__ import annotations

import contextlib
import logging
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from core import fsck
from core.namenode import draining, housekeeping, readings
from core.transfer import download
from tests.simulation import threads
from tests.simulation.disk import Disks
from tests.simulation.faults import Faults
from tests.simulation.oracle import Violation
from tests.simulation.plan import draw
from tests.simulation.settling import settle
from tests.simulation.workloads import Workload
from tests.simulation.world import World

MEMORY = Path("/dev/shm")
"""Where files cost no disk; elsewhere than on Linux the system's temporary directory does."""

Mutation = Callable[[], AbstractContextManager[None]]
"""A bug to plant while a seed runs."""


@dataclass
class Outcome:
    seed: int
    failure: str | None
    trace_hash: str
    counters: Counter[str] = field(default_factory=Counter)
    """Faults injected, by kind."""
    tail: list[str] = field(default_factory=list)
    """The last events; all of them if that was asked for."""


def run_seed(seed: int, mutate: Mutation | None = None, keep_trace: bool = False) -> Outcome:
    """Run one seed to its end. A promise that was broken, and any error nobody foresaw, is a failure."""
    logging.getLogger("dame").setLevel(logging.CRITICAL)
    directory = Path(tempfile.mkdtemp(prefix="dame-simulation-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        with (mutate or contextlib.nullcontext)(), _small():
            return _run(seed, directory, keep_trace)
    finally:
        shutil.rmtree(directory)


SMALL: tuple[tuple[ModuleType, str, int], ...] = (
    (download, "LOCATE_PAGE_CHUNKS", 4),
    (fsck, "PAGE_CHUNKS", 10),
    (draining, "STEP_CHUNKS", 5),
    (housekeeping, "COUNTED_DOWN_MAX", 3),
    (readings, "READING_MS", 60_000),
)


@contextlib.contextmanager
def _small() -> Iterator[None]:
    """What is done in pages or steps takes several of them, although everything here is small; and a reading that
    nobody ended is forgotten within the run."""
    before = [getattr(module, name) for module, name, _ in SMALL]
    for module, name, value in SMALL:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(SMALL, before, strict=True):
            setattr(module, name, value)


def _run(seed: int, directory: Path, keep_trace: bool) -> Outcome:
    plan = draw(seed)
    with Disks(directory / "disks", random.Random(f"{seed}/disks")) as disks:
        world = World(plan, disks, directory, keep_trace)
        world.trace.note(str(plan))
        failure = None
        try:
            with threads.simulated(world.scheduler):
                _live(world)
        except Violation as violation:
            failure = str(violation)
        except Exception:  # noqa: BLE001 - whatever it is, it is what this run found
            failure = traceback.format_exc()
        finally:
            world.close()
    return Outcome(seed, failure, world.trace.digest, world.trace.injected, world.trace.lines)


def _live(world: World) -> None:
    workload = Workload(world)
    faults = Faults(world, workload)
    workload.begin()
    faults.begin()
    world.scheduler.run(world.now_ms + world.plan.chaos_ms)
    faults.end()
    settle(world, workload)
