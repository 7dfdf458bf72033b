"""Scrubber: re-reads every replica in turn, for ever, so that rot is found while good copies are there to heal from.

A round begins with a walk that compares the directory with the inventory: a file that the disk once refused to remove
counts again or goes, one that somebody took away is missed. Then it goes through the replicas in the order of their
ids. Those that are stored behind its back are read by the next round, within the period after they were hashed on their
way in.

Neither hard nor quite soft: the place where a round stands is written down from time to time, so that a node that is
restarted goes on. Losing the file, or finding it unreadable, only repeats work.
"""

from __future__ import annotations

import contextlib
import json
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from core.config import Config
from core.directory import write_durably
from core.errors import ChunkMissing, DiskFailure
from core.model import ScrubState, WalkReport
from core.storagenode.inventory import Inventory
from core.storagenode.pace import bytes_per_s, cost_bytes, round_ms

FILE_NAME = "scrub.json"

IDLE_MS = 1_000
"""How often to look whether there is something to do."""
SAVE_MS = 60_000
"""How often the place is written down: at most this much work is repeated."""
BUSY_MS = 1_000
"""How long after it served data a node counts as busy."""
RATE_WINDOW_MS = 5_000


@dataclass(frozen=True)
class Place:
    """Where the scrubbing of a node stands: what is written down."""

    order: int = 0
    """The last order to scrub that was taken up."""
    running: bool = False
    hurry: bool = False
    """The round was ordered, so it goes as fast as it may."""
    started_ms: int = 0
    """When the round began; 0: there was none yet."""
    after: str = ""
    """The last replica that was re-read; the next one is the first with a greater id."""
    bad: int = 0
    """Replicas that this round found corrupt, or missing when it began."""
    finished_ms: int = 0
    """When the last whole round ended."""


class Scrubber:
    """One replica a step; the shell only waits in between.

    `step` belongs to one thread; `ask` and `state` may be called from any.
    """

    def __init__(
        self,
        directory: Path,
        config: Config,
        inventory: Inventory,
        walk: Callable[[], WalkReport],
        verify: Callable[[str], bool],
    ) -> None:
        """walk: put the inventory right by the directory; raises DiskFailure if it can't be listed. verify: re-read a
        replica and say whether it is good; raises ChunkMissing if it is gone. Both raise any other StorageNodeError if
        nothing can be told just now."""
        self._path = directory / FILE_NAME
        self._config = config
        self._inventory = inventory
        self._walk = walk
        self._verify = verify
        self._place = _load(self._path)
        self._saved = self._place
        self._saved_ms = 0
        self._ordered = self._place.order
        """The newest order heard of, perhaps not taken up yet."""
        self._ids: list[str] = []
        """What there was to read when the round began, in order."""
        self._total = 0
        self._done = 0
        self._left_bytes = 0
        self._served = (0, 0)
        """Bytes served when they last grew, and when that was."""
        self._recent: deque[tuple[int, int]] = deque()
        """Time and bytes of the replicas re-read lately."""
        if self._place.running:
            self._take_stock()
        self._state = self._picture(0)

    @property
    def state(self) -> ScrubState:
        """How far it is, for the heartbeat."""
        state, ordered = self._state, self._ordered
        return replace(state, order=ordered, ordered=True, done=0) if ordered > state.order else state

    def ask(self, order: int) -> None:
        """Re-read every replica from the first one on, at full speed. An order heard before is not taken up again."""
        self._ordered = max(self._ordered, order)

    def step(self, now_ms: int, served_bytes: int) -> int:
        """Re-read the next replica, if it is time; answer after how many milliseconds to call again, from this call on.

        now_ms: wall-clock time. served_bytes: how much the node has served to others since it was started.
        Raises StorageNodeError if nothing can be told just now; the same replica is next then.
        """
        self._begin_if_due(now_ms)
        pause_ms = self._read_one(now_ms, self._is_busy(now_ms, served_bytes)) if self._place.running else IDLE_MS
        self._state = self._picture(now_ms)
        self._save(now_ms, at_once=not self._place.running)
        return pause_ms

    # --- Rounds -------------------------------------------------------------------------------------------------

    def _begin_if_due(self, now_ms: int) -> None:
        place, ordered = self._place, self._ordered
        since_ms = now_ms - place.started_ms
        if since_ms < 0:  # the clock stepped back
            self._place = place = replace(place, started_ms=now_ms)
        if ordered > place.order:
            self._begin(replace(place, order=ordered, hurry=True), now_ms)
        elif not place.running and since_ms >= round_ms(self._config):
            self._begin(replace(place, hurry=False), now_ms)

    def _begin(self, place: Place, now_ms: int) -> None:
        try:
            found = self._walk()
            bad = found.removed + found.corrupt
        except DiskFailure:  # one file may be in the way of the whole walk; what can be read is read all the same
            bad = 0
        self._place = replace(place, running=True, started_ms=now_ms, after="", bad=bad)
        self._take_stock()
        self._save(now_ms, at_once=True)

    def _take_stock(self) -> None:
        """What there is to read, from the place where the round stands."""
        sizes = self._inventory.sizes()
        self._ids = sorted(sizes)
        self._total = len(self._ids)
        self._done = bisect_right(self._ids, self._place.after)
        self._left_bytes = sum(cost_bytes(sizes[chunk_id]) for chunk_id in self._ids[self._done :])

    def _read_one(self, now_ms: int, busy: bool) -> int:
        if self._done == self._total:
            self._place = replace(self._place, running=False, finished_ms=now_ms)
            self._ids = []
            return IDLE_MS
        chunk_id = self._ids[self._done]
        size_bytes = self._inventory.size_bytes(chunk_id)
        try:
            good = self._verify(chunk_id)
        except ChunkMissing:
            # Deleted since the round began, which is no fault, or found missing, which the node has reported.
            good = True
        left_ms = self._place.started_ms + round_ms(self._config) - now_ms
        pace = bytes_per_s(self._left_bytes, left_ms, self._config, hurry=self._place.hurry, busy=busy)
        self._recent.append((now_ms, size_bytes))
        self._done += 1
        self._left_bytes = max(0, self._left_bytes - cost_bytes(size_bytes))
        self._place = replace(self._place, after=chunk_id, bad=self._place.bad + (not good))
        return cost_bytes(size_bytes) * 1000 // pace

    def _is_busy(self, now_ms: int, served_bytes: int) -> bool:
        if served_bytes != self._served[0]:
            self._served = (served_bytes, now_ms)
        return served_bytes > 0 and now_ms - self._served[1] <= BUSY_MS

    def _picture(self, now_ms: int) -> ScrubState:
        while self._recent and self._recent[0][0] < now_ms - RATE_WINDOW_MS:
            self._recent.popleft()
        place = self._place
        return ScrubState(
            order=place.order,
            ordered=place.running and place.hurry,
            done=self._done,
            total=self._total,
            bad=place.bad,
            bytes_per_s=sum(size_bytes for _, size_bytes in self._recent) * 1000 // RATE_WINDOW_MS,
            finished_ms=place.finished_ms,
        )

    # --- The file -----------------------------------------------------------------------------------------------

    def _save(self, now_ms: int, at_once: bool) -> None:
        if self._place == self._saved or not (at_once or abs(now_ms - self._saved_ms) >= SAVE_MS):
            return
        self._saved, self._saved_ms = self._place, now_ms
        with contextlib.suppress(OSError):  # a full disk, for one; then this round is repeated after a restart
            write_durably(self._path, json.dumps(asdict(self._place)).encode() + b"\n")


def _load(path: Path) -> Place:
    """What was written down; the beginning if that can't be read or understood."""
    try:
        document = json.loads(path.read_bytes())
        place = Place(**document)
    except (OSError, ValueError, TypeError):
        return Place()
    fits = all(type(value) is type(getattr(Place(), name)) for name, value in asdict(place).items())
    return place if fits else Place()
