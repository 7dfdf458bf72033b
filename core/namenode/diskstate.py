"""How full a storage node's disk is, in words, as a transition table.

A state is left only when the disk is clearly below the mark that led to it, so that a node which hovers around a mark
is told of once.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from core.config import Config
from core.model import DISK_STATES, DiskState, DiskUsage

MARGIN = 0.02
"""Of what a node could hold: this far below a mark the state that it led to ends."""

DiskSignal = Literal["roomy", "below_warn", "warn", "below_no_new", "no_new", "below_full", "full"]
"""Where the fullness is: at or above a mark, or within the margin below it."""

DISK_AFTER: dict[tuple[DiskState, DiskSignal], DiskState] = {
    ("ok", "roomy"): "ok",
    ("ok", "below_warn"): "ok",
    ("ok", "warn"): "filling",
    ("ok", "below_no_new"): "filling",
    ("ok", "no_new"): "no_new_chunks",
    ("ok", "below_full"): "no_new_chunks",
    ("ok", "full"): "read_only",
    ("filling", "roomy"): "ok",
    ("filling", "below_warn"): "filling",
    ("filling", "warn"): "filling",
    ("filling", "below_no_new"): "filling",
    ("filling", "no_new"): "no_new_chunks",
    ("filling", "below_full"): "no_new_chunks",
    ("filling", "full"): "read_only",
    ("no_new_chunks", "roomy"): "ok",
    ("no_new_chunks", "below_warn"): "filling",
    ("no_new_chunks", "warn"): "filling",
    ("no_new_chunks", "below_no_new"): "no_new_chunks",
    ("no_new_chunks", "no_new"): "no_new_chunks",
    ("no_new_chunks", "below_full"): "no_new_chunks",
    ("no_new_chunks", "full"): "read_only",
    ("read_only", "roomy"): "ok",
    ("read_only", "below_warn"): "filling",
    ("read_only", "warn"): "filling",
    ("read_only", "below_no_new"): "no_new_chunks",
    ("read_only", "no_new"): "no_new_chunks",
    ("read_only", "below_full"): "read_only",
    ("read_only", "full"): "read_only",
}

assert {state for state, _ in DISK_AFTER} | set(DISK_AFTER.values()) == set(DISK_STATES)


def fullness(usage: DiskUsage) -> float:
    """The part that is used of what a node could hold: 0 to 1, and 1 for a node that can hold nothing."""
    capacity_bytes = usage.used_bytes + usage.free_bytes
    return usage.used_bytes / capacity_bytes if capacity_bytes > 0 else 1.0


def disk_signal(usage: DiskUsage, config: Config) -> DiskSignal:
    """The highest mark that the fullness has reached, or is near."""
    if usage.free_bytes <= 0:
        return "full"
    part = fullness(usage)
    marks: tuple[tuple[float, DiskSignal], ...] = (
        (max(1.0 - MARGIN, config.disk_no_new_share), "below_full"),
        (config.disk_no_new_share, "no_new"),
        (config.disk_no_new_share - MARGIN, "below_no_new"),
        (config.disk_warn_share, "warn"),
        (config.disk_warn_share - MARGIN, "below_warn"),
    )
    return next((signal for mark, signal in marks if part >= mark), "roomy")


def room_for_clients(usage: DiskUsage, state: DiskState, config: Config) -> int:
    """Bytes that clients may still store on a node: up to the mark from which it takes no new chunks."""
    if state in ("no_new_chunks", "read_only"):
        return 0
    capacity_bytes = usage.used_bytes + usage.free_bytes
    return max(0, min(usage.free_bytes, int(capacity_bytes * config.disk_no_new_share) - usage.used_bytes))


class Fill(NamedTuple):
    """How full a node is, or the disk that it shares."""

    used_bytes: int
    capacity_bytes: int

    @property
    def share(self) -> float:
        return self.used_bytes / self.capacity_bytes if self.capacity_bytes > 0 else 1.0

    def with_more(self, size_bytes: int) -> Fill:
        return self._replace(used_bytes=self.used_bytes + size_bytes)
