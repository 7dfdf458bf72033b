"""Everything that happened in one run: a hash of all of it, and the tail for a person to read."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from tests.simulation.scheduler import START_MS

TAIL_EVENTS = 400


class Trace:
    def __init__(self, now_ms: Callable[[], int], directory: Path, keep_all: bool = False) -> None:
        """directory: of this run, under another name each time, which the trace leaves out."""
        self._now_ms = now_ms
        self._directory = f"{directory}/"
        self._hash = blake3()
        self._tail: deque[str] = deque(maxlen=None if keep_all else TAIL_EVENTS)
        self.injected: Counter[str] = Counter()
        """Faults, by kind."""

    def note(self, text: str) -> None:
        line = f"{self._now_ms() - START_MS:>7} {text.replace(self._directory, '')}"
        self._hash.update(line.encode())
        self._tail.append(line)

    def fault(self, kind: str, text: str = "") -> None:
        self.injected[kind] += 1
        self.note(f"FAULT {kind} {text}")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest(16)

    @property
    def lines(self) -> list[str]:
        return list(self._tail)
