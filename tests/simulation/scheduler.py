"""Virtual time, and tasks that may block in it.

The hub is the greenlet that calls `run`. It takes one event after the other; whatever blocks (client code, a heartbeat
loop) is a task in a greenlet of its own, and gives way to the hub wherever it would wait. So a run depends on nothing
but the order of events, and that on the seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

from greenlet import getcurrent, greenlet

START_MS = 1_700_000_000_000


class Killed(BaseException):
    """The process that this task belongs to is gone; what the task does on its way out changes nothing."""


class Owner(Protocol):
    """The process that a task belongs to."""

    paused_until_ms: int
    """It is stopped until then (SIGSTOP); 0 if it is not."""


class Nobody:
    """Owns tasks of the simulation itself."""

    paused_until_ms = 0


class Task:
    """A greenlet that may wait."""

    def __init__(
        self, scheduler: Scheduler, owner: Owner, run: Callable[[], None], name: str, at_end: Callable[[], None]
    ) -> None:
        self.name = name
        self.done = False
        self.killed = False
        self._scheduler = scheduler
        self._owner = owner
        self._run = run
        self._at_end = at_end
        self._greenlet = greenlet(self._live, scheduler.hub)
        self._waits = 0
        self._woken = False

    def _live(self) -> None:
        try:
            if not self.killed:
                self._run()
        except Killed:
            pass
        finally:
            self.done = True
            self._scheduler.tasks.pop(self, None)
            self._at_end()

    def wait(self, timeout_ms: int | None = None) -> bool:
        """Give way until `wake` is called; False if the time ran out first. Raises Killed."""
        assert self._scheduler.current is self
        if self.killed:
            raise Killed
        self._waits += 1
        self._woken = False
        if timeout_ms is not None:
            turn = self._waits
            self._scheduler.after(max(0, timeout_ms), lambda: self._resume(turn))
        self._scheduler.hub.switch()
        if self.killed:
            raise Killed
        return self._woken

    def wake(self) -> None:
        """Let it go on, as the next event."""
        if not self._woken:
            self._woken = True
            turn = self._waits
            self._scheduler.after(0, lambda: self._resume(turn))

    def kill(self) -> None:
        """Nothing of it runs any more, but for `finally` clauses that reach nobody."""
        if not self.done and not self.killed:
            self.killed = True
            self._scheduler.after(0, self._throw)

    def _throw(self) -> None:
        if not self.done:
            self._switch()

    def _resume(self, turn: int) -> None:
        if self.done or self.killed or turn != self._waits:
            return
        until_ms = self._owner.paused_until_ms
        if until_ms > self._scheduler.now_ms:
            self._scheduler.after(until_ms - self._scheduler.now_ms, lambda: self._resume(turn))
            return
        self._switch()

    def _switch(self) -> None:
        self._scheduler.current = self
        try:
            self._greenlet.switch()
        finally:
            self._scheduler.current = None


class Scheduler:
    """Events by time, and among those of one time in the order in which they were made."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.hub = getcurrent()
        self.tasks: dict[Task, None] = {}
        self.current: Task | None = None
        """The task that is running; None if it is the hub."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._made += 1
        heapq.heappush(self._events, (self.now_ms + delay_ms, self._made, action))

    def spawn(
        self, owner: Owner, run: Callable[[], None], name: str, at_end: Callable[[], None] = lambda: None
    ) -> Task:
        """at_end: called when it is over, even if it was killed before it began; no `finally` of `run` is then."""
        task = Task(self, owner, run, name, at_end)
        self.tasks[task] = None
        self.after(0, lambda: task._resume(0))
        return task

    def run(self, until_ms: int) -> None:
        """Let everything happen up to a time. Raises what an event or a task raises."""
        assert getcurrent() is self.hub
        while self._events and self._events[0][0] <= until_ms:
            self.now_ms, _, action = heapq.heappop(self._events)
            action()
        self.now_ms = max(self.now_ms, until_ms)

    def close(self) -> None:
        """End all tasks."""
        for task in list(self.tasks):
            task.killed = True
            task._throw()
        self._events.clear()
