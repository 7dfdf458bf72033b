"""Deleting: replicas beyond the number wanted, and chunks that nobody needs.

A replica is only ever ordered to be deleted while the others are known for certain: their nodes are up and have
reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from core.config import Config
from core.namenode.diskstate import Fill
from core.namenode.membership import Member, Membership
from core.namenode.redundancy import Chunk, Redundancy

PASS_MS = 1_000
"""Surplus and garbage are looked through this often."""
LOOKED_AT_MAX = 5_000
"""Chunks of either kind looked at in one pass."""


class Deleter:
    def __init__(
        self, members: Membership, redundancy: Redundancy, config: Config, leaving: Callable[[str], str]
    ) -> None:
        """leaving: the node that a chunk is being moved off, by the chunk's id; empty if it is not being moved."""
        self._members = members
        self._redundancy = redundancy
        self._config = config
        self._leaving = leaving
        self._next_pass_ms = 0

    def order(self, now_ms: int, garbage_too: bool) -> None:
        """Order what may be deleted now; no garbage while an upload may hold chunks that are not known to be held."""
        if now_ms < self._next_pass_ms:
            return
        self._next_pass_ms = now_ms + PASS_MS
        self._trim_surplus()
        if garbage_too:
            self._clear_condemned(now_ms)

    def hurry(self) -> None:
        """Look again with the next call, however short the time since the last."""
        self._next_pass_ms = 0

    # --- Surplus ------------------------------------------------------------------------------------------------

    def _trim_surplus(self) -> None:
        surplus = self._redundancy.surplus
        fills = self._members.fills() if surplus else {}
        for chunk_id in list(islice(surplus, LOOKED_AT_MAX)):
            victim = self._dispensable(self._redundancy.chunks[chunk_id], fills)
            if victim is not None:
                self._redundancy.order_delete(victim.id, chunk_id)
            if chunk_id in surplus:
                # To the end, so that chunks that must wait do not keep the others from their turn.
                surplus[chunk_id] = surplus.pop(chunk_id)

    def _dispensable(self, chunk: Chunk, fills: Mapping[str, Fill]) -> Member | None:
        """The holder whose replica is missed least; None while that is not certain."""
        if chunk.pins or chunk.copies:
            return None
        holders = [self._members[node_id] for node_id in self._redundancy.holders(chunk, ("counts",))]
        assert len(holders) > chunk.wanted > 0
        if not all(self._is_certain(chunk, member) for member in holders):
            return None
        return least_missed(holders, fills, self._leaving(chunk.id))

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


def least_missed(holders: Sequence[Member], fills: Mapping[str, Fill], leaving: str = "") -> Member:
    """Of a chunk's holders, the one whose replica is missed least.

    It is on the most crowded host; there it is the node that the chunk is being moved off, else the fullest.
    """
    on_host = Counter(member.host for member in holders)
    return max(
        holders,
        key=lambda member: (on_host[member.host], member.id == leaving, fills[member.id].share, member.id),
    )
