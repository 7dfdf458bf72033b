"""Draining: what a node that is to be taken away is still needed for.

It is drained when every chunk on it has as many replicas elsewhere as are wanted, or as there are other nodes to hold
them. Its own replicas stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.namenode.membership import Member
from core.namenode.redundancy import Chunk
from core.namenode.state import State
from core.namenode.words import counted, listed, sized

CHECK_MS = 1_000
CHUNKS_PER_MS = 100
"""The drains are looked at again after a second, and a millisecond more for so many chunks looked at."""


class Drains:
    def __init__(self, state: State) -> None:
        self._state = state
        self._next_check_ms = 0

    def check_when_due(self) -> None:
        if self._state.now_ms >= self._next_check_ms:
            self.check()

    def check(self) -> None:
        """Count what draining nodes are still needed for, and tell of those that are drained."""
        state = self._state
        looked_at = 0
        for member in state.members:
            if member.wish != "draining" or member.role == "absent":
                member.drained = False
                continue
            looked_at += self._look(member)
            drained = member.drain.left == 0 and member.session.verified and not state.safe_mode
            if drained and not member.drained:
                text = f"{member.name} is drained: it can be stopped"
                state.events.record(state.now_ms, "info", text, node=member.id)
            member.drained = drained
        self._next_check_ms = state.now_ms + CHECK_MS + looked_at // CHUNKS_PER_MS

    def _look(self, member: Member) -> int:
        """Take stock of one draining node; answer how many chunks that took."""
        redundancy, usable = self._state.redundancy, self._state.members.usable()
        rooms = self._state.members.candidates()
        enough = max(1, len(usable))
        looked_at = left = left_bytes = never = homeless = 0
        for chunk in self._short_chunks(member):
            looked_at += 1
            counting = len(redundancy.holders(chunk, ("counts",)))
            lacking = min(chunk.wanted, enough) - counting
            never += max(0, chunk.wanted - enough)
            if lacking <= 0:
                continue
            left += 1
            left_bytes += chunk.size_bytes * max(0, lacking - len(chunk.copies))
            homeless += not chunk.copies and not any(
                room.id not in chunk.replicas and room.free_bytes >= chunk.size_bytes for room in rooms
            )
        warning = self._warning(usable, never, homeless, left_bytes)
        member.drain.note(self._state.now_ms, left, warning)
        return looked_at

    def _short_chunks(self, member: Member) -> Iterator[Chunk]:
        """The chunks on a node that have fewer counting replicas than wanted."""
        redundancy = self._state.redundancy
        held, unhealthy = redundancy.inventories[member.id].chunks, redundancy.unhealthy
        smaller, larger = (held, unhealthy) if len(held) < len(unhealthy) else (unhealthy, held)
        return (redundancy.chunks[chunk_id] for chunk_id in smaller if chunk_id in larger)

    def _warning(self, usable: list[Member], never: int, homeless: int, left_bytes: int) -> str:
        """What can't be copied elsewhere, and why. Empty when everything can."""
        members = self._state.members
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
        elif left_bytes > free_bytes:
            sentences.append(
                f"Its chunks need {sized(left_bytes)} elsewhere and the other storage nodes have {sized(free_bytes)}"
                " free; free space or add storage nodes."
            )
        return " ".join(sentences)
