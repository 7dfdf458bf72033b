"""How many bytes may be copied to a storage node just now, so that healing leaves clients their share. Soft state."""

from __future__ import annotations

from core.config import Config

BURST_MS = 2_000
"""What was not used is kept for so long: orders ride on heartbeats, one a second."""
LOT_MS = 100
"""What was used up is given out again when there is as much as comes in so long: a storage node that has done what it
was ordered asks for more at once, and should not have to ask for every chunk."""


class Bucket:
    """Bytes that may be moved. Time fills it; an order may take more than there is, and the next waits until that is
    made up for."""

    def __init__(self) -> None:
        self._left = 0
        """In thousandths of a byte, so that nothing is lost by rounding."""
        self._filled_ms: int | None = None
        self.has_some = False

    def fill(self, now_ms: int, bytes_per_s: int) -> None:
        elapsed_ms = BURST_MS if self._filled_ms is None else now_ms - self._filled_ms
        self._filled_ms = now_ms
        self._left = min(bytes_per_s * BURST_MS, self._left + bytes_per_s * elapsed_ms)
        self.has_some = self._left > 0 and (self.has_some or self._left >= bytes_per_s * LOT_MS)

    def take(self, size_bytes: int) -> None:
        self._left -= size_bytes * 1000
        self.has_some = self.has_some and self._left > 0


class NodeBudget:
    """What may be copied to one storage node: all up to the cap for chunks in danger, else what clients leave of it."""

    def __init__(self, config: Config) -> None:
        self._cap_bytes_per_s = config.healing_bytes_per_s_max
        self._floor_bytes_per_s = config.healing_bytes_per_s_min
        self._whole = Bucket()
        self._left_by_clients = Bucket()

    def fill(self, now_ms: int, clients_bytes_per_s: int) -> None:
        """clients_bytes_per_s: what clients move on the node, lately."""
        left_bytes_per_s = max(self._floor_bytes_per_s, self._cap_bytes_per_s - clients_bytes_per_s)
        self._whole.fill(now_ms, self._cap_bytes_per_s)
        self._left_by_clients.fill(now_ms, left_bytes_per_s)

    def allows(self, urgent: bool) -> bool:
        if not self._cap_bytes_per_s:
            return True
        return self._whole.has_some and (urgent or self._left_by_clients.has_some)

    def take(self, size_bytes: int, urgent: bool) -> None:
        self._whole.take(size_bytes)
        if not urgent:
            self._left_by_clients.take(size_bytes)
