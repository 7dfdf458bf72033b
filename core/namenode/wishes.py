"""What an operator wants of a storage node: that it takes part, counts as failed, or is drained."""

from __future__ import annotations

from core.model import Severity, Wish
from core.namenode import edits
from core.namenode.lookup import node_meant
from core.namenode.membership import Member
from core.namenode.operations import once
from core.namenode.state import State

_TOLD = {"failed": "was failed by an operator", "draining": "is draining"}
_OVER = {"failed": "was recovered by an operator", "draining": "is no longer draining"}


def set_wish(state: State, operation: str, node: str, wish: Wish, instead_of: Wish | None) -> str:
    """Note what is wanted of a node; answer its id.

    instead_of: change nothing unless this is what is wanted of it now; None for whatever it is. Raises NodeNotFound.
    """

    def mutate() -> str:
        member = node_meant(state, node)
        if instead_of in (None, member.wish):
            _change(state, operation, member, wish)
        return member.id

    return once(state, operation, edits.SetWish, mutate)


def _change(state: State, operation: str, member: Member, wish: Wish) -> None:
    before = member.wish
    state.catalog.apply(edits.SetWish(operation, member.id, wish, state.now_ms))
    member.ask(wish)
    state.sync_role(member)
    if wish != before:
        severity: Severity = "warning" if wish == "failed" else "info"
        state.events.record(state.now_ms, severity, f"{member.name} {_TOLD.get(wish) or _OVER[before]}", member.id)
