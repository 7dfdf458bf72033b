"""The poller: one thread that asks the cluster how it is, once a second, and posts what it hears.

It never overlaps with itself, gives up on nothing, and recovers alone: errors are posted, retries back off, and after a
while without any answer the connection is made anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from textual.message import Message

from core.errors import ClusterUnreachable, DameError
from core.model import Event
from core.store import ArtifactStore
from tui.errors import Failure, attempt
from tui.state import Snapshot

EVENTS_MAX = 5_000
BACKOFF_MAX_S = 5.0
RECONNECT_AFTER_S = 15.0

Query = Callable[[ArtifactStore], Any]


class SnapshotFetched(Message):
    """A new picture of the cluster. Only the newest one waiting is worth handling."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SnapshotFetched)


class FetchFailed(Message):
    """The cluster could not be asked; it will be asked again."""

    def __init__(self, error: DameError) -> None:
        super().__init__()
        self.error = error

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, FetchFailed)


class Watched(Message):
    """The answer to a question that a detail screen asks with each poll."""

    def __init__(self, key: object, answer: Any) -> None:
        super().__init__()
        self.key = key
        self.answer = answer


class Poller:
    """Runs in a thread of its own until stopped."""

    def __init__(
        self,
        store: ArtifactStore,
        post: Callable[[Message], object],
        *,
        interval_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._post = post
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._watches: dict[object, Query] = {}
        self._awake = threading.Event()
        self._stopped = False
        self._sequence = 0
        self._events: tuple[Event, ...] = ()
        self._silent_since_s: float | None = None
        self._failures = 0

    def run(self) -> None:
        while not self._stopped:
            self._awake.clear()
            self.tick()
            self._awake.wait(self.pause_s)

    def stop(self) -> None:
        self._stopped = True
        self._awake.set()

    def wake(self) -> None:
        """Ask again now."""
        self._awake.set()

    def watch(self, key: object, query: Query) -> None:
        """Ask this too from now on, first at once."""
        with self._lock:
            self._watches[key] = query
        self.wake()

    def unwatch(self, key: object) -> None:
        with self._lock:
            self._watches.pop(key, None)

    @property
    def pause_s(self) -> float:
        """Time until the next question: the interval, longer after each failure."""
        return min(max(BACKOFF_MAX_S, self._interval_s), self._interval_s * float(2**self._failures))

    def tick(self) -> None:
        """Ask once, and post the answer."""
        answer = attempt(self._fetch)
        if isinstance(answer, Failure):
            self._fail(answer.error)
            return
        self._failures, self._silent_since_s = 0, None
        self._post(SnapshotFetched(answer))
        self._ask_watches()

    def _fetch(self) -> Snapshot:
        status = self._store.status()
        nodes = tuple(self._store.nodes())
        artifacts = tuple(self._store.list())
        self._sequence += 1
        return Snapshot(self._sequence, self._clock(), status, nodes, artifacts, self._all_events())

    def _all_events(self) -> tuple[Event, ...]:
        """Those heard of so far; the same tuple while there are no new ones."""
        news = self._store.events(self._events[-1].seq if self._events else 0)
        if news:
            self._events = (*self._events, *news)[-EVENTS_MAX:]
        return self._events

    def _ask_watches(self) -> None:
        with self._lock:
            watches = list(self._watches.items())
        for key, query in watches:
            if not self._stopped:
                self._post(Watched(key, attempt(lambda query=query: query(self._store))))  # type: ignore[misc]

    def _fail(self, error: DameError) -> None:
        now_s = self._clock()
        self._failures = min(self._failures + 1, 10)
        self._post(FetchFailed(error))
        if not isinstance(error, ClusterUnreachable):
            self._silent_since_s = None
            return
        self._silent_since_s = now_s if self._silent_since_s is None else self._silent_since_s
        if now_s - self._silent_since_s >= RECONNECT_AFTER_S:
            self._silent_since_s = None
            self._reconnect()

    def _reconnect(self) -> None:
        answer = attempt(self._store.reconnect)
        if isinstance(answer, Failure):
            self._post(FetchFailed(answer.error))
        else:
            self._failures = 0
