"""Readings under way: versions that a client is in the midst of, so that they are not pruned under it. Soft state."""

from __future__ import annotations

READING_MS = 10 * 60_000
"""A client that has not asked for more chunks for this long reads no longer: one page of them is 4 GiB, and takes a
slow client minutes."""
READINGS_MAX = 10_000
"""With more of them under way, the oldest are not known of."""


class Readings:
    def __init__(self) -> None:
        self._asked_ms: dict[tuple[int, int], int] = {}
        """By artifact and version, when a page that was not the last one was asked for; oldest first."""

    def __len__(self) -> int:
        return len(self._asked_ms)

    def asked(self, artifact: int, version: int, more_to_come: bool, now_ms: int) -> None:
        """A page of a version's chunks was asked for."""
        self._asked_ms.pop((artifact, version), None)
        if more_to_come:
            self._asked_ms[artifact, version] = now_ms
        if len(self._asked_ms) > READINGS_MAX:
            del self._asked_ms[next(iter(self._asked_ms))]

    def under_way(self, artifact: int, version: int, now_ms: int) -> bool:
        asked_ms = self._asked_ms.get((artifact, version))
        return asked_ms is not None and now_ms - asked_ms < READING_MS
