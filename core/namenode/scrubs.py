"""Scrubs that an operator asked for: who was told, and how far they are. Soft state, which the client's order restores.

Storage nodes scrub by themselves all the time; an order makes them begin anew and hurry. It is told with each heartbeat
until the node says that it heard of it, so that nothing is lost with a reply, a process or a NameNode.
"""

from __future__ import annotations

from core.model import ScrubOrder, ScrubProgress
from core.namenode.events import EVENTS_PER_EPOCH_BITS
from core.namenode.membership import Member
from core.namenode.state import State


class Scrubs:
    def __init__(self, state: State) -> None:
        self._state = state
        self._last = state.epoch << EVENTS_PER_EPOCH_BITS
        """Number of the last order; they grow across restarts without being stored."""

    def order(self) -> ScrubOrder:
        self._last += 1
        told = [member for member in self._state.members if _can_be_told(member)]
        for member in told:
            member.scrub_order = self._last
        return ScrubOrder(self._last, tuple(member.id for member in told))

    def progress(self, order: ScrubOrder) -> ScrubProgress:
        asked = [member for node_id in order.nodes if (member := self._state.members.get(node_id)) is not None]
        under_way = [member for member in asked if not _is_through(member, order.number)]
        waited_for = [member for member in under_way if _can_be_told(member)]
        for member in waited_for:
            member.scrub_order = max(member.scrub_order, order.number)
        heard = [member.scrub for member in asked if member.scrub.order >= order.number]
        return ScrubProgress(
            nodes=len(order.nodes),
            finished=len(asked) - len(under_way),
            away=tuple(member.name for member in under_way if not _can_be_told(member)),
            done=sum(scrub.done for scrub in heard),
            total=sum(scrub.total for scrub in heard),
            bad=sum(scrub.bad for scrub in heard),
            bytes_per_s=sum(scrub.bytes_per_s for scrub in heard),
        )


def _can_be_told(member: Member) -> bool:
    return member.liveness == "up" and member.wish != "failed"


def _is_through(member: Member, number: int) -> bool:
    return member.scrub.order >= number and not member.scrub.ordered
