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
            self._clear_condemned(now_ms)

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

    def _clear_condemned(self, now_ms: int) -> None:
        garbage = self._redundancy.garbage
        garbage.condemn(now_ms, LOOKED_AT_MAX)
        all_reported = all(member.session.reported for member in self._members)
        for chunk_id, entry in list(islice(garbage.condemned.items(), LOOKED_AT_MAX)):
            chunk = self._redundancy.chunks.get(chunk_id)
            if chunk is not None:
                self._delete_everywhere(chunk)
                garbage.condemned[chunk_id] = garbage.condemned.pop(chunk_id)
            elif all_reported or now_ms - entry.since_ms > self._config.unknown_grace_ms:
                # On no node; one that was away for that long and still has it begins a new time of grace.
                garbage.discard(chunk_id)

    def _delete_everywhere(self, chunk: Chunk) -> None:
        for node_id in self._redundancy.holders(chunk):
            if self._is_certain(chunk, self._members[node_id]):
                self._redundancy.order_delete(node_id, chunk.id)


def _fullness(member: Member) -> float:
    return member.usage.used_bytes / max(1, member.usage.used_bytes + member.usage.free_bytes)
