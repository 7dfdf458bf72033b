"""Forgetting storage nodes that are gone for good. Until then they count as missing, and every start waits for them."""

from __future__ import annotations

from core.errors import InvalidRequest, NotReady
from core.namenode import edits
from core.namenode.lookup import node_meant
from core.namenode.membership import Member
from core.namenode.operations import once
from core.namenode.state import State
from core.namenode.words import counted, listed, quoted


def forget(state: State, operation: str, node: str) -> str:
    """Strike a node that is down off the cluster; answer its name.

    Its directory, should it be opened again, joins as a new node. Raises InvalidRequest while the node may be alive or
    is needed, NotReady while that can't be told, NodeNotFound.
    """
    return once(state, operation, edits.ForgetNode, lambda: _forget(state, operation, node_meant(state, node)))


def _forget(state: State, operation: str, member: Member) -> str:
    _check_gone(state, member)
    _check_unneeded(state, member)
    state.catalog.apply(edits.ForgetNode(operation, member.id, member.name, state.now_ms))
    state.members.remove(member.id)
    state.healer.node_lost(member.id)
    state.redundancy.forget_node(member.id)
    state.events.record(state.now_ms, "warning", f"{member.name} was forgotten by an operator", node=member.id)
    return member.name


def _check_gone(state: State, member: Member) -> None:
    if member.liveness != "down":
        raise InvalidRequest(
            f"{member.name} is {member.state} ({member.reason(state.now_ms)}); only a node that is down can be"
            " forgotten. Drain it, stop it, and wait until it is down.",
            node=member.id,
        )
    if member.asks(state.now_ms, state.config.down_after_ms):
        raise InvalidRequest(
            f"{member.name} has been failed and its process still runs; stop the process, then forget the node.",
            node=member.id,
        )
    if state.safe_mode:
        raise NotReady(
            "The NameNode has just started and does not know yet what the other storage nodes hold; try again in a few"
            " seconds."
        )


def _check_unneeded(state: State, member: Member) -> None:
    """A node that is down may still bring back what no other one has."""
    redundancy = state.redundancy
    lost = [chunk_id for chunk_id, health in redundancy.unhealthy.items() if health == "lost"]
    complete = member.session.reported and not member.session.incomplete
    if complete:
        lost = [chunk_id for chunk_id in lost if member.id in redundancy.chunks[chunk_id].replicas]
    if not lost:
        return
    users = [quoted(name) for name, _ in state.catalog.users_of(lost[:100])]
    of = f" of {listed(users, 3)}" if users else ""
    holds = "has" if complete else "may have"
    raise InvalidRequest(
        f"{member.name} {holds} the last replica of {counted(len(lost), 'chunk')}{of}; bring it back, or remove for"
        " good what needs them, and try again.",
        node=member.id,
        chunks=len(lost),
    )
