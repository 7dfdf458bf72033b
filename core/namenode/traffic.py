"""What a storage node moves, by the figures of its heartbeats."""

from __future__ import annotations

from typing import NamedTuple


class Counters(NamedTuple):
    """What a heartbeat said was moved since the process started."""

    time_ms: int
    read_bytes: int
    written_bytes: int
    copied_bytes: int


class Rates(NamedTuple):
    """Bytes per second."""

    read: int
    written: int
    copied: int
    """The part of `written` that was pulled from other nodes."""

    @property
    def clients(self) -> int:
        """What others than healing moved; reads of a source of copies are among them, as they take from its disk."""
        return max(0, self.read + self.written - self.copied)
