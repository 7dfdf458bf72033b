"""How far long work is, and when it will be done. Soft state."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW_MS = 30_000
"""Speed is measured over so much of the past."""


class Countdown:
    """How fast an amount shrinks, and so when nothing of it will be left."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()
        """When, and how much was left."""

    def note(self, now_ms: int, left: int) -> None:
        if self._seen and left > self._seen[-1][1]:
            # There is more to do than was known: what was measured before says little.
            self._seen.clear()
        self._seen.append((now_ms, left))
        while self._seen[0][0] < now_ms - WINDOW_MS:
            self._seen.popleft()

    def eta_ms(self) -> int | None:
        """Milliseconds until nothing is left, at the speed of late; None while that is not known."""
        if not self._seen:
            return None
        (first_ms, first), (last_ms, last) = self._seen[0], self._seen[-1]
        if last == 0:
            return 0
        return last * (last_ms - first_ms) // (first - last) if first > last else None


@dataclass
class DrainProgress:
    """Of one draining node."""

    left: int = 0
    """Chunks on it that still lack replicas elsewhere."""
    total: int = 0
    """The most that `left` has been since the drain began."""
    warning: str = ""
    """What can't be copied elsewhere and why, as a sentence."""
    countdown: Countdown = field(default_factory=Countdown)

    def note(self, now_ms: int, left: int, warning: str) -> None:
        self.left, self.total, self.warning = left, max(self.total, left), warning
        self.countdown.note(now_ms, left)
