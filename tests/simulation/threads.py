"""Locks that tasks wait for in virtual time, in place of those for which threads of a storage node would.

Only of the locks that are held while a disk works: a task gives way nowhere else while it has one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace

from core.storagenode import checkpoints, locks
from tests.simulation.scheduler import Scheduler, Task


class Condition:
    """`threading.Condition`, as far as it is used. Whoever has it does not give way but by `wait_for`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[Task] = []

    def __enter__(self) -> Condition:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait_for(self, is_true: Callable[[], bool]) -> None:
        while not is_true():
            task = self._scheduler.current
            assert task is not None, "only a task may wait"
            self._waiting.append(task)
            task.wait()

    def notify_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            task.wake()


class Lock:
    """`threading.Lock` as a context manager."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._held = False
        self._released = Condition(scheduler)

    def __enter__(self) -> None:
        self._released.wait_for(lambda: not self._held)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
        self._released.notify_all()


@contextlib.contextmanager
def simulated(scheduler: Scheduler) -> Iterator[None]:
    """The locks that storage nodes make meanwhile are such ones."""
    replacement = SimpleNamespace(Condition=lambda: Condition(scheduler), Lock=lambda: Lock(scheduler))
    before = [(module, module.threading) for module in (checkpoints, locks)]
    for module, _ in before:
        module.threading = replacement
    try:
        yield
    finally:
        for module, threading in before:
            module.threading = threading
