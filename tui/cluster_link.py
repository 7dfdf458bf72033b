"""The dashboard's link to the cluster: the connection, made in a thread, the poller, and calls in the background.

Threads here only post messages; what follows happens on the event loop. They are daemons, since a call that hangs
in Ray must not keep the program from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from textual.message import Message

from core.store import ArtifactStore
from tui.errors import Outcome, attempt
from tui.poller import Poller, Query

T = TypeVar("T")
Connect = Callable[[Callable[[str], None]], ArtifactStore]
"""Opens a store, telling the stages it goes through; blocks."""


class StageReached(Message):
    """The connection got a step further."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage


class Connected(Message):
    """The connection is made, or has failed."""

    def __init__(self, outcome: Outcome[ArtifactStore]) -> None:
        super().__init__()
        self.outcome = outcome


class Answered(Message):
    """A call in the background is done."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.then = then


def start_thread(call: Callable[[], None]) -> None:
    threading.Thread(target=call, daemon=True, name="dame-tui").start()


class ClusterLink:
    """Owned by the event loop's thread."""

    def __init__(
        self,
        connect: Connect,
        post: Callable[[Message], object],
        clock: Callable[[], float],
        poll_interval_s: float,
    ) -> None:
        self._connect = connect
        self._post = post
        self._clock = clock
        self._poll_interval_s = poll_interval_s
        self._store: ArtifactStore | None = None
        self._poller: Poller | None = None
        self._watches: dict[object, Query] = {}

    def connect(self) -> None:
        """Open the store in a thread; Connected tells how it went."""
        start_thread(lambda: self._post_outcome(attempt(lambda: self._connect(self._tell_stage))))

    def _tell_stage(self, stage: str) -> None:
        self._post(StageReached(stage))

    def _post_outcome(self, outcome: Outcome[ArtifactStore]) -> None:
        self._post(Connected(outcome))

    def adopt(self, store: ArtifactStore) -> None:
        """Use this store from now on, and watch it."""
        self._store = store
        self._poller = Poller(store, self._post, interval_s=self._poll_interval_s, clock=self._clock)
        for key, query in self._watches.items():
            self._poller.watch(key, query)
        start_thread(self._poller.run)

    @property
    def connected(self) -> bool:
        return self._store is not None

    @property
    def store(self) -> ArtifactStore:
        assert self._store is not None, "only asked for once connected"
        return self._store

    def in_background(self, call: Callable[[], T], then: Callable[[Outcome[T]], None]) -> None:
        def run() -> None:
            outcome = attempt(call)
            self._post(Answered(lambda: then(outcome)))

        start_thread(run)

    def watch(self, key: object, query: Query) -> None:
        """Ask this with each poll, at once first; a screen that opened before the connection waits for it."""
        self._watches[key] = query
        if self._poller is not None:
            self._poller.watch(key, query)

    def unwatch(self, key: object) -> None:
        self._watches.pop(key, None)
        if self._poller is not None:
            self._poller.unwatch(key)

    def wake(self) -> None:
        if self._poller is not None:
            self._poller.wake()

    def stop(self) -> None:
        if self._poller is not None:
            self._poller.stop()
