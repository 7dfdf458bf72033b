"""Healing: orders copies of the chunks that lack replicas, and watches over the orders. Soft state."""

from __future__ import annotations

import random
from dataclasses import dataclass

from core.config import Config
from core.model import CopyChunk
from core.namenode.bandwidth import NodeBudget
from core.namenode.membership import Member, Membership
from core.namenode.nodestates import READ_ORDER
from core.namenode.placement import Candidate, choose_targets
from core.namenode.redundancy import Chunk, Redundancy
from core.namenode.targets import Targets

RETRY_MS = 5_000
"""Chunks that no node could take are tried again this often, and whenever a node becomes able to take some. A node that
failed a copy, and is the only one to ask, is asked again after so long, then after twice as long, and so on."""
RETRIED_MAX = 1_000
"""How many of them at a time: a cluster that is too small for all its chunks must not spend its time on trying."""
TRIED_MAX = 1_000
"""Chunks looked at in one pass, so that no call to the NameNode waits long."""
FAILURES_MAX = 100_000
"""Failed copies that are remembered; with more, the oldest are tried again early."""
BUSY_MAX = 64
"""Chunks in one pass for which every possible target is busy."""
PASS_MS = 100
"""Time between passes that looked at so many, unless a copy ends before."""


@dataclass
class Copy:
    """A copy that was ordered and is not confirmed yet."""

    chunk_id: str
    target: str
    size_bytes: int
    ordered_ms: int
    moves: bool
    """Ordered to even out how full the nodes are, not because the chunk is short."""


@dataclass(frozen=True)
class Failure:
    """A copy that failed: other nodes are asked before this one is again."""

    wait_ms: int
    again_ms: int
    """From when on it may be asked again if there is nobody else: the disk that was full may have room again."""
    forgotten_ms: int


class Healer:
    def __init__(self, members: Membership, redundancy: Redundancy, config: Config, rng: random.Random) -> None:
        self._members = members
        self._redundancy = redundancy
        self._config = config
        self._rng = rng
        self._copies: dict[tuple[str, str], Copy] = {}
        """By chunk and target, oldest first."""
        self._pulling: dict[str, int] = {}
        """Copies under way to each target."""
        self._pulling_bytes: dict[str, int] = {}
        self._budgets: dict[str, NodeBudget] = {}
        """What may be copied to each node just now."""
        self._moving = 0
        self._moving_bytes = 0
        self._failures: dict[tuple[str, str], Failure] = {}
        """By chunk and target, oldest first."""
        self._next_pass_ms = 0
        self._next_retry_ms = 0

    def __len__(self) -> int:
        """Copies under way."""
        return len(self._copies)

    @property
    def moving(self) -> int:
        """Copies under way that only even out how full the nodes are."""
        return self._moving

    @property
    def healing(self) -> int:
        """Copies under way of chunks that were short of them."""
        return len(self._copies) - self._moving

    @property
    def healing_bytes(self) -> int:
        return sum(self._pulling_bytes.values()) - self._moving_bytes

    def pulls(self, node_id: str) -> bool:
        """Whether a copy to this node is under way."""
        return self._pulling.get(node_id, 0) > 0

    @property
    def copies(self) -> list[Copy]:
        return list(self._copies.values())

    # --- The end of a copy --------------------------------------------------------------------------------------

    def received(self, chunk_id: str, node_id: str) -> None:
        """A node has a chunk; perhaps it was told to pull it."""
        if (chunk_id, node_id) in self._copies:
            self._end(chunk_id, node_id)

    def failed(self, chunk_id: str, node_id: str, now_ms: int) -> None:
        """A node could not pull a chunk: another one is preferred for a while."""
        if (chunk_id, node_id) in self._copies:
            before = self._failures.pop((chunk_id, node_id), None)
            wait_ms = 2 * before.wait_ms if before else RETRY_MS
            forgotten_ms = now_ms + self._config.copy_timeout_ms
            self._failures[chunk_id, node_id] = Failure(wait_ms, now_ms + wait_ms, forgotten_ms)
            if len(self._failures) > FAILURES_MAX:
                del self._failures[next(iter(self._failures))]
            self._end(chunk_id, node_id)

    def node_lost(self, node_id: str) -> None:
        """A node that is gone, or new to itself, has forgotten what it was told."""
        for chunk_id, target in list(self._copies):
            if target == node_id:
                self._end(chunk_id, target)

    def _end(self, chunk_id: str, node_id: str) -> None:
        copy = self._copies.pop((chunk_id, node_id))
        self._pulling[node_id] -= 1
        self._pulling_bytes[node_id] -= copy.size_bytes
        self._moving -= copy.moves
        self._moving_bytes -= copy.size_bytes * copy.moves
        self._next_pass_ms = 0
        self._redundancy.copy_ended(chunk_id, node_id)

    def expire(self, now_ms: int) -> None:
        """Give up copies that take too long, and forgive nodes that failed one long ago."""
        while self._copies:
            copy = next(iter(self._copies.values()))
            if now_ms - copy.ordered_ms < self._config.copy_timeout_ms:
                break
            self.failed(copy.chunk_id, copy.target, now_ms)
        while self._failures:
            oldest, failure = next(iter(self._failures.items()))
            if now_ms < failure.forgotten_ms:
                break
            del self._failures[oldest]

    # --- Ordering copies ----------------------------------------------------------------------------------------

    def members_changed(self) -> None:
        """A node may be able to take what none could."""
        self._redundancy.short.retry()
        self._next_pass_ms = 0

    def forgive(self) -> None:
        """Nodes that failed a copy may be asked for it again at once."""
        self._failures.clear()

    def schedule(self, now_ms: int) -> None:
        """Order as many copies as may be under way at once, for the most endangered chunks first."""
        short = self._redundancy.short
        if now_ms >= self._next_retry_ms:
            self._next_retry_ms = now_ms + RETRY_MS
            short.retry(RETRIED_MAX)
        if now_ms < self._next_pass_ms or not short.waiting:
            return
        targets = self._targets(now_ms)
        busy: list[str] = []
        for _ in range(TRIED_MAX):
            chunk_id = short.first()
            if chunk_id is None or not self._free(targets, self._is_urgent(chunk_id)):
                break
            chunk = self._redundancy.chunks[chunk_id]
            able = self._able(chunk, targets.reported(), now_ms)
            if not self._help(chunk, able, targets, now_ms):
                short.set_aside(chunk_id)
                if able:  # only the number of copies under way is in the way
                    busy.append(chunk_id)
                if len(busy) == BUSY_MAX:
                    self._next_pass_ms = now_ms + PASS_MS
                    break
        else:
            self._next_pass_ms = now_ms + PASS_MS
        short.take_up(busy)

    def _help(self, chunk: Chunk, able: list[Candidate], targets: Targets, now_ms: int) -> bool:
        """Order one copy of a chunk, if one of those that are able can take it now."""
        holders = self._sources(chunk)
        pulling = [self._members[node_id] for node_id in chunk.copies]
        hosts = [member.host for member in [*holders, *pulling] if member.role == "counts"]
        urgent = self._is_urgent(chunk.id)
        free_ids = {candidate.id for candidate in self._free(targets, urgent)}
        free = [candidate for candidate in able if candidate.id in free_ids]
        for target_id in choose_targets(free, 1, chunk.size_bytes, hosts, self._rng):
            self._order(chunk, self._members[target_id], now_ms, urgent=urgent)
            targets.ordered(target_id)
            return True
        return False

    def order_move(self, chunk: Chunk, target_id: str, now_ms: int) -> None:
        """Order a copy of a chunk that is not short, to one of `nodes_for_moves`."""
        self._order(chunk, self._members[target_id], now_ms, moves=True)

    def nodes_for_moves(self, now_ms: int) -> list[Candidate]:
        """Nodes that may be told to pull one more chunk that is not short, with the room that clients may use."""
        free = {candidate.id for candidate in self._free(self._targets(now_ms), urgent=False)}
        return [candidate for candidate in self._members.candidates(for_clients=True) if candidate.id in free]

    def avoids(self, chunk_id: str, node_id: str) -> bool:
        """Whether a copy of this chunk failed on this node lately."""
        return (chunk_id, node_id) in self._failures

    def _sources(self, chunk: Chunk) -> list[Member]:
        """Where to copy a chunk from, best first."""
        holders = [self._members[node_id] for node_id in self._redundancy.holders(chunk)]
        return sorted(holders, key=lambda member: READ_ORDER[member.state])

    def _is_urgent(self, chunk_id: str) -> bool:
        """One replica left of several wanted."""
        return self._redundancy.unhealthy.get(chunk_id) == "at_risk"

    def _fill_budgets(self, now_ms: int) -> None:
        for member in self._members.up():
            if member.id not in self._budgets:
                self._budgets[member.id] = NodeBudget(self._config)
            self._budgets[member.id].fill(now_ms, member.rates().clients)

    def _order(self, chunk: Chunk, target: Member, now_ms: int, urgent: bool = False, moves: bool = False) -> None:
        sources = self._sources(chunk)
        target.session.outbox.append(CopyChunk(chunk.key, tuple(source.ref for source in sources)))
        target.promised_bytes += chunk.size_bytes
        self._copies[chunk.id, target.id] = Copy(chunk.id, target.id, chunk.size_bytes, now_ms, moves)
        self._moving += moves
        self._moving_bytes += chunk.size_bytes * moves
        self._budgets[target.id].take(chunk.size_bytes, urgent)
        self._pulling[target.id] = self._pulling.get(target.id, 0) + 1
        self._pulling_bytes[target.id] = self._pulling_bytes.get(target.id, 0) + chunk.size_bytes
        self._redundancy.copy_started(chunk.id, target.id)

    def _targets(self, now_ms: int) -> Targets:
        self._fill_budgets(now_ms)
        return Targets(self._members, self._may_pull)

    def _may_pull(self, node_id: str, urgent: bool) -> bool:
        return (
            self._pulling.get(node_id, 0) < self._config.copies_per_node_max
            and self._pulling_bytes.get(node_id, 0) < self._config.copy_bytes_per_node_max
            and self._budgets[node_id].allows(urgent)
        )

    def _free(self, targets: Targets, urgent: bool) -> list[Candidate]:
        """Nodes that may be told to pull one more chunk."""
        return targets.free(urgent) if len(self._copies) < self._config.copies_in_flight_max else []

    def _able(self, chunk: Chunk, candidates: list[Candidate], now_ms: int) -> list[Candidate]:
        """Who could take a replica: those that did not fail to lately, or if there are none, those to ask again."""
        possible = {
            candidate: self._failures.get((chunk.id, candidate.id))
            for candidate in candidates
            if candidate.id not in chunk.replicas
            and candidate.id not in chunk.copies
            and candidate.free_bytes >= chunk.size_bytes
        }
        return [candidate for candidate, failure in possible.items() if failure is None] or [
            candidate for candidate, failure in possible.items() if failure is not None and failure.again_ms <= now_ms
        ]

    def check(self) -> None:
        """Assert that the orders and the chunks agree."""
        under_way = {(chunk.id, target) for chunk in self._redundancy.chunks.values() for target in chunk.copies}
        assert under_way == set(self._copies)
        for node_id, count in self._pulling.items():
            assert count == sum(1 for _, target in self._copies if target == node_id)
            assert self._pulling_bytes[node_id] == sum(
                copy.size_bytes for copy in self._copies.values() if copy.target == node_id
            )
            assert count <= self._config.copies_per_node_max
        moves = [copy.size_bytes for copy in self._copies.values() if copy.moves]
        assert (self._moving, self._moving_bytes) == (len(moves), sum(moves))
        assert len(self._copies) <= self._config.copies_in_flight_max
