"""Rebalancing: moves chunks from full storage nodes to empty ones, when there is nothing more urgent. Soft state.

A move is a copy to the emptier node; the chunk then has one replica more than wanted, and the surplus rule removes the
one on the fuller node. So nothing is ever deleted for a move before its copy is known for certain, and a move that
is forgotten half-way leaves nothing but a surplus replica.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from core.config import Config
from core.namenode.bandwidth import Bucket
from core.namenode.deleting import least_missed
from core.namenode.diskstate import Fill
from core.namenode.healing import Healer
from core.namenode.membership import Member, Membership
from core.namenode.redundancy import Chunk, Redundancy

PASS_MS = 1_000
LOOKED_AT_MAX = 1_000
"""Chunks looked at in one pass."""
MOVES_MAX = 64
"""Moves whose old replica is not deleted yet: no more copies are made than the surplus rule keeps up with."""
REST_MS = 10 * 60_000
"""Nodes of which no chunk can be moved are looked through again after this long."""


@dataclass(frozen=True)
class Move:
    chunk_id: str
    source: str
    target: str
    size_bytes: int


class Rebalancer:
    def __init__(self, members: Membership, redundancy: Redundancy, healer: Healer, config: Config) -> None:
        self._members = members
        self._redundancy = redundancy
        self._healer = healer
        self._config = config
        self._moves: dict[str, Move] = {}
        """By chunk: those whose copy is under way or whose old replica is still there."""
        self._budget = Bucket()
        self._scans: dict[str, Iterator[str]] = {}
        """What is still to be looked at of each full node's chunks."""
        self._fruitful: set[str] = set()
        """Those of which this look has found a chunk to move."""
        self._resting: set[str] = set()
        """Full nodes of which nothing can be moved."""
        self._rested_ms = 0
        self._taking_part: set[str] = set()
        self._next_pass_ms = 0
        self.active = False
        """From the first move until the nodes are about as full, or nothing more can be moved."""
        self._uneven = False
        """There were nodes to move chunks from when it was looked last."""

    def schedule(self, now_ms: int) -> None:
        """Order a few moves, if the nodes differ too much. To be called only when nothing else needs the nodes."""
        if not self._config.rebalance_threshold or now_ms < self._next_pass_ms:
            return
        self._next_pass_ms = now_ms + PASS_MS
        self._budget.fill(now_ms, self._config.rebalance_bytes_per_s_max)
        self._settle()
        self._wake(now_ms)
        while self._may_order():
            if not self._order_one(now_ms):
                break
        self.active = bool(self._moves) or (self.active and self._uneven)

    def _wake(self, now_ms: int) -> None:
        """Look again at nodes of which nothing could be moved, if there are other nodes now or it was long ago."""
        taking_part = set(self.fills())
        if taking_part != self._taking_part or now_ms - self._rested_ms >= REST_MS:
            self._taking_part, self._rested_ms = taking_part, now_ms
            self._resting.clear()

    def leaving(self, chunk_id: str) -> str:
        """The node that a chunk is being moved off; empty if it is not being moved."""
        move = self._moves.get(chunk_id)
        return move.source if move else ""

    def _settle(self) -> None:
        """Forget the moves that are done or came to nothing."""
        for move in list(self._moves.values()):
            if not self._is_pending(move):
                del self._moves[move.chunk_id]

    def _is_pending(self, move: Move) -> bool:
        chunk = self._redundancy.chunks.get(move.chunk_id)
        if chunk is None:
            return False
        if move.target in chunk.copies:
            return True
        ends = [self._members.get(node_id) for node_id in (move.source, move.target)]
        if not all(member is not None and member.role == "counts" for member in ends):
            return False
        return chunk.id in self._redundancy.surplus or "deleting" in chunk.replicas.values()

    def _may_order(self) -> bool:
        return (
            self._healer.moving < self._config.rebalance_copies_max
            and len(self._moves) < MOVES_MAX
            and (self._budget.has_some or not self._config.rebalance_bytes_per_s_max)
        )

    # --- How full the nodes are ---------------------------------------------------------------------------------

    def fills(self) -> dict[str, Fill]:
        """How full each node that is up will be when the moves under way are done."""
        ahead: dict[str, int] = {}
        for move in self._moves.values():
            ahead[move.source] = ahead.get(move.source, 0) - move.size_bytes
            if move.target not in self._redundancy.chunks[move.chunk_id].replicas:
                ahead[move.target] = ahead.get(move.target, 0) + move.size_bytes
        fills = self._members.fills(ahead)
        return {member.id: fills[member.id] for member in self._members.up() if member.session.verified}

    def _too_full(self, fills: dict[str, Fill]) -> list[str]:
        """Nodes to move chunks from, the fullest first. It takes a larger difference to begin than to go on."""
        threshold = self._config.rebalance_threshold
        least = min((fill.share for fill in fills.values()), default=0.0)
        most = max((fill.share for fill in fills.values()), default=0.0)
        if most - least <= (threshold / 2 if self.active else threshold):
            return []
        full = [
            node_id
            for node_id, fill in fills.items()
            if fill.share - least > threshold / 2 and node_id not in self._resting
        ]
        return sorted(full, key=lambda node_id: (-fills[node_id].share, node_id))

    # --- Moves --------------------------------------------------------------------------------------------------

    def _order_one(self, now_ms: int) -> bool:
        """Order one move off the fullest node that has a chunk to move; answer whether there was one."""
        fills = self.fills()
        too_full = self._too_full(fills)
        self._uneven = bool(too_full)
        emptiest_first = sorted(fills, key=lambda node_id: (fills[node_id].share, node_id))
        margin = self._config.rebalance_threshold / 2
        for source_id in too_full:
            limit = fills[source_id].share - margin
            targets = [node_id for node_id in emptiest_first if fills[node_id].share < limit]
            move = self._find(self._members[source_id], targets, fills, now_ms)
            if move is not None:
                self._order(move, now_ms)
                return True
        return False

    def _order(self, move: Move, now_ms: int) -> None:
        self._moves[move.chunk_id] = move
        self._budget.take(move.size_bytes)
        self._healer.order_move(self._redundancy.chunks[move.chunk_id], move.target, now_ms)
        self.active = True

    def _find(self, source: Member, targets: list[str], fills: dict[str, Fill], now_ms: int) -> Move | None:
        """The next chunk of a full node that one of the targets can take."""
        scan = self._scans.get(source.id)
        if scan is None:
            scan = self._scans[source.id] = iter(list(self._redundancy.inventories[source.id].chunks))
        free = {node.id: node.free_bytes for node in self._healer.nodes_for_moves(now_ms)}
        takers = [node_id for node_id in targets if node_id in free]
        looked_at = 0
        for chunk_id in islice(scan, LOOKED_AT_MAX):
            looked_at += 1
            chunk = self._redundancy.chunks.get(chunk_id)
            if chunk is None or not self._is_movable(chunk, source):
                continue
            for target_id in takers:
                fits = free[target_id] >= chunk.size_bytes
                if fits and self._is_better(chunk, source, self._members[target_id], fills):
                    self._fruitful.add(source.id)
                    return Move(chunk_id, source.id, target_id, chunk.size_bytes)
        if looked_at < LOOKED_AT_MAX:
            del self._scans[source.id]
            if source.id in self._fruitful:
                # What could not be moved just then may be now.
                self._fruitful.remove(source.id)
            elif takers:
                self._resting.add(source.id)
        return None

    def _is_movable(self, chunk: Chunk, source: Member) -> bool:
        """Whether the chunk has all its replicas, for certain, and nobody else is at work on it."""
        return (
            chunk.wanted > 0
            and not chunk.pins
            and not chunk.copies
            and chunk.id not in self._redundancy.unhealthy
            and chunk.id not in self._redundancy.surplus
            and source.id in chunk.replicas
            and all(state == "reported" for state in chunk.replicas.values())
        )

    def _is_better(self, chunk: Chunk, source: Member, target: Member, fills: dict[str, Fill]) -> bool:
        """Whether a move leaves the source the fuller one, the hosts as many, and the surplus on the source."""
        if target.id in chunk.replicas or self._healer.avoids(chunk.id, target.id):
            return False
        size_bytes = chunk.size_bytes
        if fills[source.id].with_more(-size_bytes).share < fills[target.id].with_more(size_bytes).share:
            return False
        before = [self._members[node_id] for node_id in self._redundancy.holders(chunk, ("counts",))]
        if not all(member.id in fills for member in before):
            return False
        after = [member for member in before if member is not source] + [target]
        if len({member.host for member in after}) < len({member.host for member in before}):
            return False
        return least_missed([*before, target], fills, source.id) is source

    def check(self) -> None:
        """Assert that no move is forgotten by both sides, and that they keep to their limits."""
        under_way = {(move.chunk_id, move.target) for move in self._moves.values()}
        moving = {(copy.chunk_id, copy.target) for copy in self._healer.copies if copy.moves}
        assert len(self._moves) <= MOVES_MAX
        assert len(moving) <= self._config.rebalance_copies_max
        assert all(key == move.chunk_id for key, move in self._moves.items())
        assert moving <= under_way or not self._config.rebalance_threshold
