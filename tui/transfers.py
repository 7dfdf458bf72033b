"""Uploads, updates and downloads in the background. They belong to the app: no screen that closes ends one."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from textual.message import Message

from core.errors import Cancelled
from core.model import Progress
from core.verbs import Result
from tui.errors import Failure, Outcome, attempt

REPORT_INTERVAL_S = 0.1
RATE_WINDOW_S = 3.0
KEPT_MAX = 100
"""Transfers remembered after their end."""

Direction = Literal["up", "down"]
State = Literal["running", "cancelling", "done", "failed", "cancelled"]
Run = Callable[[Callable[[Progress], None], threading.Event], Result]
"""The blocking call of one transfer, given where to report and what to heed."""


NOT_STARTED = Progress(0, None, 0, "starting")


@dataclass(frozen=True)
class Transfer:
    """One transfer as shown."""

    id: int
    direction: Direction
    artifact: str
    state: State = "running"
    progress: Progress = NOT_STARTED
    rate_bytes_per_s: float = 0.0
    outcome: str = ""
    """One sentence at the end."""

    @property
    def active(self) -> bool:
        return self.state in ("running", "cancelling")


class TransferProgressed(Message):
    """A transfer got further; only its newest report is worth handling."""

    def __init__(self, id: int, progress: Progress, rate_bytes_per_s: float) -> None:
        super().__init__()
        self.id = id
        self.progress = progress
        self.rate_bytes_per_s = rate_bytes_per_s

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, TransferProgressed) and message.id == self.id


class TransferEnded(Message):
    """A transfer is over, well or not."""

    def __init__(self, id: int, outcome: Outcome[Result]) -> None:
        super().__init__()
        self.id = id
        self.outcome = outcome


class Meter:
    """Turns a worker's progress calls into few reports with a rate; can be read from any thread."""

    def __init__(self, report: Callable[[Progress, float], object], clock: Callable[[], float]) -> None:
        self._report = report
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._reported_s = float("-inf")
        self._stage = ""
        self._lock = threading.Lock()
        self._latest = NOT_STARTED

    def __call__(self, progress: Progress) -> None:
        now_s = self._clock()
        self._latest = progress
        if now_s - self._reported_s < REPORT_INTERVAL_S and progress.stage == self._stage:
            return
        self._reported_s, self._stage = now_s, progress.stage
        self._report(*self.read())

    def read(self) -> tuple[Progress, float]:
        """How far it is now, and the rate over the last seconds: that of a stalled transfer falls by itself."""
        now_s, latest = self._clock(), self._latest
        with self._lock:
            self._samples.append((now_s, latest.done_bytes))
            while len(self._samples) > 2 and now_s - self._samples[0][0] > RATE_WINDOW_S:
                self._samples.popleft()
            first_s, first = self._samples[0]
        return latest, (latest.done_bytes - first) / (now_s - first_s) if now_s > first_s else 0.0


class Transfers:
    """All transfers of this dashboard, by id, oldest first. Owned by the event loop's thread."""

    def __init__(
        self,
        start_thread: Callable[[Callable[[], None]], object],
        post: Callable[[Message], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start_thread = start_thread
        self._post = post
        self._clock = clock
        self._ids = itertools.count(1)
        self._cancels: dict[int, threading.Event] = {}
        self._meters: dict[int, Meter] = {}
        self.all: dict[int, Transfer] = {}

    @property
    def active(self) -> list[Transfer]:
        return [transfer for transfer in self.all.values() if transfer.active]

    def start(self, direction: Direction, artifact: str, run: Run) -> Transfer:
        transfer = Transfer(next(self._ids), direction, artifact)
        cancel = threading.Event()
        self._cancels[transfer.id] = cancel
        self.all[transfer.id] = transfer
        self._forget_old()
        meter = Meter(lambda progress, rate: self._post(TransferProgressed(transfer.id, progress, rate)), self._clock)
        self._meters[transfer.id] = meter
        self._start_thread(lambda: self._run(transfer.id, lambda: run(meter, cancel)))
        return transfer

    def _run(self, id: int, call: Callable[[], Result]) -> None:
        self._post(TransferEnded(id, attempt(call)))

    def _forget_old(self) -> None:
        ended = [key for key, transfer in self.all.items() if not transfer.active]
        for key in ended[: max(0, len(ended) - KEPT_MAX)]:
            del self.all[key]

    def cancel(self, id: int) -> bool:
        """Ask a transfer to stop; False if it is over already."""
        transfer = self.all.get(id)
        if transfer is None or not transfer.active:
            return False
        self._cancels[id].set()
        self.all[id] = replace(transfer, state="cancelling")
        return True

    def cancel_all(self) -> None:
        for transfer in self.active:
            self.cancel(transfer.id)

    def progressed(self, message: TransferProgressed) -> None:
        transfer = self.all.get(message.id)
        if transfer is not None and transfer.active:
            self.all[message.id] = replace(
                transfer, progress=message.progress, rate_bytes_per_s=message.rate_bytes_per_s
            )

    def catch_up(self) -> None:
        """Read all meters: the last report before a stall may have been one too many."""
        for key, meter in self._meters.items():
            self.progressed(TransferProgressed(key, *meter.read()))

    def ended(self, message: TransferEnded) -> Transfer:
        """Note the end of a transfer, and answer with it."""
        transfer = self.all[message.id]
        self._cancels.pop(message.id, None)
        self._meters.pop(message.id, None)
        outcome = message.outcome
        if not isinstance(outcome, Failure):
            transfer = replace(transfer, state="done", outcome=outcome.text)
        elif isinstance(outcome.error, Cancelled):
            transfer = replace(transfer, state="cancelled", outcome=str(outcome.error))
        else:
            transfer = replace(transfer, state="failed", outcome=str(outcome.error))
        self.all[message.id] = transfer
        return transfer

    def clear_ended(self) -> None:
        self.all = {key: transfer for key, transfer in self.all.items() if transfer.active}
