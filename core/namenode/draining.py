"""Draining: what a node that is to be taken away is still needed for.

It is drained when every chunk on it has as many replicas elsewhere as are wanted, or as there are other nodes to hold
them. Its own replicas stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from core.namenode.membership import Member
from core.namenode.placement import Candidate
from core.namenode.redundancy import Chunk
from core.namenode.state import State
from core.namenode.words import counted, listed, sized

CHECK_MS = 1_000
CHUNKS_PER_MS = 100
"""The drains are looked at again after a second, and a millisecond more for so many chunks looked at."""
STEP_CHUNKS = 2_000
"""Chunks looked at in one call: some 5 ms, in which nothing else is answered."""


@dataclass
class Stock:
    """What was found so far of one draining node."""

    member: Member
    chunk_ids: Iterator[str]
    """Yet to be looked at."""
    enough: int
    """Nodes that may hold its chunks; when there are others, all that was found is void."""
    left: int = 0
    left_bytes: int = 0
    never: int = 0
    homeless: int = 0
    again: bool = False
    """All has been looked at once."""


class Drains:
    def __init__(self, state: State) -> None:
        self._state = state
        self._next_round_ms = 0
        self._waiting: list[Member] = []
        """Draining nodes that this round has not come to."""
        self._stock: Stock | None = None
        self._looked_at = 0
        """Chunks, in this round."""

    def check_when_due(self) -> None:
        """Go on with the round, or begin one if it is time."""
        if self._stock is not None or self._waiting:
            self._go_on()
        elif self._state.now_ms >= self._next_round_ms:
            self.check()

    def check(self) -> None:
        """Begin a round: count what draining nodes are still needed for, and tell of those that are drained."""
        self._drop_stock()
        self._waiting = [member for member in self._state.members if self._is_of_interest(member)]
        self._looked_at = 0
        self._go_on()

    def _go_on(self) -> None:
        state = self._state
        for member in state.members:
            member.drained = member.drained and self._is_of_interest(member)
        budget = STEP_CHUNKS
        while budget > 0 and (stock := self._current()) is not None:
            looked_at = self._look(stock, budget)
            budget -= looked_at
            self._looked_at += looked_at
            if budget > 0:
                self._conclude(stock)
        if self._stock is not None:
            self._note_so_far(self._stock)
        elif not self._waiting:
            self._next_round_ms = state.now_ms + CHECK_MS + self._looked_at // CHUNKS_PER_MS

    def _note_so_far(self, stock: Stock) -> None:
        """The first round of a node that holds much takes a while: what it has found is better than nothing."""
        drain = stock.member.drain
        if stock.left > drain.left:
            drain.note(self._state.now_ms, stock.left, self._warning(stock))

    # --- Taking stock of one node -------------------------------------------------------------------------------

    def _current(self) -> Stock | None:
        """The stock that is being taken; None when the round is over."""
        stock, enough = self._stock, self._enough()
        if stock is not None and not self._is_of_interest(stock.member):
            self._drop_stock()
        elif stock is not None and stock.enough != enough:
            self._waiting.append(stock.member)
            self._drop_stock()
        while self._stock is None and self._waiting:
            member = self._waiting.pop(0)
            if self._is_of_interest(member):
                self._stock = Stock(member, iter(self._short_chunks(member)), enough)
                self._state.redundancy.changed_for_worse = {}
        return self._stock

    def _is_of_interest(self, member: Member) -> bool:
        """It is draining, and there."""
        return member.wish == "draining" and member.role != "absent" and self._state.members.get(member.id) is member

    def _drop_stock(self) -> None:
        self._stock = None
        self._state.redundancy.changed_for_worse = None

    def _enough(self) -> int:
        return max(1, len(self._state.members.usable()))

    def _short_chunks(self, member: Member) -> list[str]:
        """Among these are the chunks on a node that have fewer counting replicas than wanted."""
        redundancy = self._state.redundancy
        held, unhealthy = redundancy.inventories[member.id].chunks, redundancy.unhealthy
        return list(held if len(held) < len(unhealthy) else unhealthy)

    def _look(self, stock: Stock, count_max: int) -> int:
        """Look at the next chunks; answer how many there were."""
        redundancy = self._state.redundancy
        held, rooms = redundancy.inventories[stock.member.id].chunks, self._state.members.candidates()
        looked_at = 0
        for chunk_id in islice(stock.chunk_ids, count_max):
            looked_at += 1
            if chunk_id in held and chunk_id in redundancy.unhealthy:
                self._add(stock, redundancy.chunks[chunk_id], rooms)
        return looked_at

    def _add(self, stock: Stock, chunk: Chunk, rooms: list[Candidate]) -> None:
        counting = len(self._state.redundancy.holders(chunk, ("counts",)))
        lacking = min(chunk.wanted, stock.enough) - counting
        stock.never += 0 if stock.again else max(0, chunk.wanted - stock.enough)
        if lacking <= 0:
            return
        stock.left += 1
        stock.left_bytes += chunk.size_bytes * max(0, lacking - len(chunk.copies))
        stock.homeless += not chunk.copies and not any(
            room.id not in chunk.replicas and room.free_bytes >= chunk.size_bytes for room in rooms
        )

    def _conclude(self, stock: Stock) -> None:
        """All chunks have been looked at. What has changed since then is looked at again before the node is said to be
        drained."""
        state, member = self._state, stock.member
        changed = state.redundancy.changed_for_worse
        if not stock.left and changed:
            stock.chunk_ids, stock.again = iter(changed), True
            state.redundancy.changed_for_worse = {}
            return
        self._drop_stock()
        member.drain.note(state.now_ms, stock.left, self._warning(stock))
        drained = not stock.left and member.session.verified and not state.safe_mode
        if drained and not member.drained:
            text = f"{member.name} is drained: it can be stopped"
            state.events.record(state.now_ms, "info", text, node=member.id)
        member.drained = drained

    def _warning(self, stock: Stock) -> str:
        """What can't be copied elsewhere, and why. Empty when everything can."""
        members = self._state.members
        usable, never, homeless = members.usable(), stock.never, stock.homeless
        if not usable:
            return "No other storage node is there to take its chunks; add some." if homeless else ""
        sentences = []
        enough = len(usable)
        if never:
            sentences.append(
                f"{counted(never, 'copy', 'copies')} can't be placed: the other {counted(enough, 'storage node')}"
                " can hold one copy of each chunk; they are made when nodes join."
            )
        free_bytes = members.free_bytes(members.up())
        if homeless:
            reasons = [f"{other.name} is {other.state}" for other in usable if other.state != "up"]
            reasons += [f"{other.name} has {sized(other.usage.free_bytes)} free" for other in members.up()]
            sentences.append(
                f"{counted(homeless, 'chunk')} can't be placed now: {listed(reasons)}. Free space, or recover or add"
                " storage nodes."
            )
        elif stock.left_bytes > free_bytes:
            sentences.append(
                f"Its chunks need {sized(stock.left_bytes)} elsewhere and the other storage nodes have"
                f" {sized(free_bytes)} free; free space or add storage nodes."
            )
        return " ".join(sentences)
