"""The event log: what an operator should know, newest last. Soft state, bounded."""

from __future__ import annotations

from collections import deque

from core.model import Event, Severity

EVENTS_PER_EPOCH_BITS = 32
"""Sequence numbers start anew, higher, in each epoch, so that they grow across restarts without being stored."""


def epoch_of(event: Event) -> int:
    """Of the NameNode that recorded it."""
    return event.seq >> EVENTS_PER_EPOCH_BITS


class EventLog:
    def __init__(self, epoch: int, events_max: int) -> None:
        self._events: deque[Event] = deque(maxlen=events_max)
        self._next = (epoch << EVENTS_PER_EPOCH_BITS) + 1

    def record(self, now_ms: int, severity: Severity, text: str, node: str = "", artifact: str = "") -> None:
        self._events.append(Event(self._next, now_ms, severity, text, node, artifact))
        self._next += 1

    def since(self, seq: int) -> list[Event]:
        """Events with a greater sequence number, oldest first."""
        newer: list[Event] = []
        for event in reversed(self._events):
            if event.seq <= seq:
                break
            newer.append(event)
        return newer[::-1]
