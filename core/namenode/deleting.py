"""Deleting: replicas beyond the number wanted, and chunks that nobody needs.

A replica is only ever ordered to be deleted while the others are known for certain: their nodes are up and have
reported.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice

from core.config import Config
from core.namenode.membership import Member, Membership
from core.namenode.redundancy import Chunk, Redundancy

PASS_MS = 1_000
"""Surplus and garbage are looked through this often."""
LOOKED_AT_MAX = 5_000
"""Chunks of either kind looked at in one pass."""


class Deleter:
    def __init__(self, members: Membership, redundancy: Redundancy, config: Config) -> None:
        self._members = members
        self._redundancy = redundancy
        self._config = config
        self._next_pass_ms = 0

    def order(self, now_ms: int, garbage_too: bool) -> None:
        """Order what may be deleted now; no garbage while an upload may hold chunks that are not known to be held."""
        if now_ms < self._next_pass_ms:
            return
        self._next_pass_ms = now_ms + PASS_MS
        self._trim_surplus()
        if garbage_too:
            self._condemn(now_ms)
            self._clear_condemned()

    # --- Surplus ------------------------------------------------------------------------------------------------

    def _trim_surplus(self) -> None:
        surplus = self._redundancy.surplus
        for chunk_id in list(islice(surplus, LOOKED_AT_MAX)):
            victim = self._dispensable(self._redundancy.chunks[chunk_id])
            if victim is not None:
                self._redundancy.order_delete(victim.id, chunk_id)
            if chunk_id in surplus:
                # To the end, so that chunks that must wait do not keep the others from their turn.
                surplus[chunk_id] = surplus.pop(chunk_id)

    def _dispensable(self, chunk: Chunk) -> Member | None:
        """The holder whose replica is missed least: of the most crowded host, there on the fullest node."""
        if chunk.pins or chunk.copies:
            return None
        holders = [self._members[node_id] for node_id in self._redundancy.holders(chunk, ("counts",))]
        assert len(holders) > chunk.wanted > 0
        if not all(self._is_certain(chunk, member) for member in holders):
            return None
        on_host = Counter(member.host for member in holders)
        return max(holders, key=lambda member: (on_host[member.host], _fullness(member), member.id))

    def _is_certain(self, chunk: Chunk, member: Member) -> bool:
        return chunk.replicas[member.id] == "reported" and member.liveness == "up" and member.session.verified

    # --- Garbage ------------------------------------------------------------------------------------------------

    def _condemn(self, now_ms: int) -> None:
        unneeded, condemned = self._redundancy.unneeded, self._redundancy.condemned
        for chunk_id, since_ms in list(islice(unneeded.items(), LOOKED_AT_MAX)):
            if now_ms - since_ms < self._config.garbage_grace_ms:
                return
            del unneeded[chunk_id]
            condemned[chunk_id] = None

    def _clear_condemned(self) -> None:
        condemned = self._redundancy.condemned
        for chunk_id in list(islice(condemned, LOOKED_AT_MAX)):
            chunk = self._redundancy.chunks[chunk_id]
            for node_id in self._redundancy.holders(chunk):
                if self._is_certain(chunk, self._members[node_id]):
                    self._redundancy.order_delete(node_id, chunk_id)
            condemned[chunk_id] = condemned.pop(chunk_id)


def _fullness(member: Member) -> float:
    return member.usage.used_bytes / max(1, member.usage.used_bytes + member.usage.free_bytes)
