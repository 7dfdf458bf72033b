"""Messages between processes: late, lost, doubled, reordered, cut off, in one direction or both.

A call is a request that is delivered some time later, runs whole at its target, and a reply that comes back some time
later. Each of the two can be lost; what ran, ran. A caller learns of a loss by an error after a while, or never, as
with Ray: then only its own deadline ends the wait.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import DameError, NodeNotServing
from tests.simulation.scheduler import Scheduler, Task
from tests.simulation.trace import Trace

LATE_AGAIN = 5
"""A doubled request comes again up to so many times later than a late one."""

KEEPALIVE_MS = 60_000
"""A connection that stays silent for so long is given up by the transport."""


@dataclass
class Weather:
    """What happens to one message in a thousand, and how slow the others are."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    """These take up to `late_ms` more."""
    delay_ms: int = 2
    late_ms: int = 1_000
    told_of_loss: float = 0.5
    """Share of lost calls that end in an error soon; the others only when the transport gives up."""


Outcome = tuple[Any, DameError | None]
"""What came of a request: a value, or the error that it ended in."""
Reply = Callable[[Outcome], None]


def ended() -> Outcome:
    """An error of its own for each call: raised, it holds on to whoever it is told."""
    return None, NodeNotServing("its process ended")


class Process(Protocol):
    """Something that can be called."""

    address: str
    paused_until_ms: int

    def serve(self, run: Callable[[Any], Any], reply: Reply) -> None:
        """Run a request, and tell once, perhaps later, what came of it."""


class ProcessGone(Exception):
    """The process died of this request."""


def outcome_of(run: Callable[[], Any]) -> Outcome:
    try:
        return run(), None
    except DameError as error:
        return None, error
    except ProcessGone:
        return ended()


class Call:
    """A call under way: `core.gateway.Call`."""

    __slots__ = ("_error", "_value", "done", "waiter", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.done = False
        self.waiter: Task | None = None
        self._value: Any = None
        self._error: DameError | None = None

    def answer(self, outcome: Outcome) -> None:
        if self.done:
            return
        self.done = True
        self._value, self._error = outcome
        if self.waiter is not None:
            self.waiter.wake()

    def result(self) -> Any:
        assert self.done, "the result of a call that is still under way would block for ever"
        if self._error is not None:
            raise self._error
        return self._value


class Network:
    def __init__(self, scheduler: Scheduler, trace: Trace, rng: random.Random) -> None:
        self.weather = Weather()
        self.processes: dict[str, Process] = {}
        """By address, those that are alive."""
        self.slow: dict[str, int] = {}
        """Addresses at which everything takes up to so many milliseconds more."""
        self.strays = 0
        """Requests from before the calm that are still on their way."""
        self._calm = False
        self._cut: dict[tuple[str, str], int] = {}
        """Source and target that can't reach each other, in this direction, and how many cuts make it so."""
        self._scheduler = scheduler
        self._trace = trace
        self._rng = rng

    # --- Partitions -------------------------------------------------------------------------------------------------

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        for pair in pairs:
            self._cut[pair] = self._cut.get(pair, 0) + 1

    def mend(self, pairs: Iterable[tuple[str, str]]) -> None:
        for pair in pairs:
            if self._cut.get(pair, 0) > 1:
                self._cut[pair] -= 1
            else:
                self._cut.pop(pair, None)

    def calm(self) -> None:
        """From now on every message arrives, and soon."""
        self.weather = Weather()
        self.slow.clear()
        self._cut.clear()
        self._calm = True

    # --- Calls ------------------------------------------------------------------------------------------------------

    def call(self, source: str, target: str, what: str, run: Callable[[Any], Any]) -> Call:
        """Have a process run something, once or, if the network doubles it, twice."""
        call = Call(what)
        rng, weather = self._rng, self.weather
        if self._is_lost(source, target):
            self._trace.fault("request lost", f"{source}>{target} {what}")
            self._tell_of_loss(call)
            return call
        if rng.random() < weather.doubled:
            late_ms = self._delay_ms(target) + rng.randrange(1, LATE_AGAIN * weather.late_ms)
            self._trace.fault("doubled", f"{source}>{target} {what}, again in {late_ms} ms")
            self._send(Call(what), source, target, run, late_ms)
        self._send(call, source, target, run, self._delay_ms(target))
        return call

    def _send(self, call: Call, source: str, target: str, run: Callable[[Any], Any], delay_ms: int) -> None:
        stray = not self._calm
        self.strays += stray

        def deliver() -> None:
            process = self.processes.get(target)
            if process is not None and process.paused_until_ms > self._scheduler.now_ms:
                self._scheduler.after(process.paused_until_ms - self._scheduler.now_ms, deliver)
            else:
                self._deliver(process, run, reply)

        def reply(outcome: Outcome) -> None:
            self.strays -= stray
            self._reply(call, source, target, outcome)

        self._scheduler.after(delay_ms, deliver)

    def wait(self, calls: Iterable[Call], timeout_ms: int) -> list[Call]:
        """Those that are done: at least one, or none if the time ran out."""
        pending = list(calls)
        done = [call for call in pending if call.done]
        if done or not pending:
            return done
        task = self._scheduler.current
        assert task is not None, "only a task may wait"
        for call in pending:
            call.waiter = task
        try:
            task.wait(timeout_ms)
        finally:
            for call in pending:
                call.waiter = None
        return [call for call in pending if call.done]

    def _deliver(self, process: Process | None, run: Callable[[Any], Any], reply: Reply) -> None:
        if process is None:
            reply((None, NodeNotServing("its process does not answer")))
        else:
            process.serve(run, reply)

    def _reply(self, call: Call, source: str, target: str, outcome: Outcome) -> None:
        _, error = outcome
        self._trace.note(f"{source}>{target} {call.what}: {type(error).__name__ if error else 'ok'}")
        if self._is_lost(target, source):
            self._trace.fault("reply lost", f"{target}>{source} {call.what}")
            self._tell_of_loss(call)
            return
        self._scheduler.after(self._delay_ms(target), lambda: call.answer(outcome))

    def _is_lost(self, source: str, target: str) -> bool:
        return (source, target) in self._cut or self._rng.random() < self.weather.lost

    def _tell_of_loss(self, call: Call) -> None:
        soon = self._rng.random() < self.weather.told_of_loss
        self._scheduler.after(
            self._rng.randrange(1, 3_000) if soon else KEEPALIVE_MS,
            lambda: call.answer((None, NodeNotServing("the connection was lost"))),
        )

    def _delay_ms(self, target: str) -> int:
        rng, weather = self._rng, self.weather
        delay_ms = rng.randint(1, weather.delay_ms)
        if rng.random() < weather.late:
            delay_ms += rng.randrange(1, weather.late_ms)
        slow_ms = self.slow.get(target)
        return delay_ms + rng.randrange(slow_ms) if slow_ms else delay_ms
