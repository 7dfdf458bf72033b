"""Assertions about a NameNode's whole state: what is derived, derived again the slow and obvious way."""

from __future__ import annotations

from collections import Counter

from core.model import inventory_token
from core.namenode.redundancy import Chunk, Redundancy, health_of
from core.namenode.state import State


def check_state(state: State) -> None:
    state.catalog.check()
    _check_members(state)
    _check_needs(state)
    _check_inventories(state.redundancy)
    for chunk in state.redundancy.chunks.values():
        _check_chunk(state.redundancy, chunk)
    _check_totals(state.redundancy)
    state.healer.check()
    state.rebalancer.check()
    state.redundancy.garbage.check(state.catalog.garbage())
    assert state.leases.promised_until_ms == state.catalog.leases_until_ms
    assert all(state.leases.over_ms(upload.lease) <= state.leases.promised_until_ms for upload in state.leases)


def _check_members(state: State) -> None:
    known = [(node.id, node.name, node.wish) for node in state.catalog.nodes()]
    assert known == [(member.id, member.name, member.wish) for member in state.members]
    for member in state.members:
        assert state.redundancy.inventories[member.id].role == member.role
        assert not member.session.verified or member.session.reported


def _check_needs(state: State) -> None:
    chunks = state.redundancy.chunks
    needs = {need.chunk.id: need.wanted for need in state.catalog.needs()}
    assert needs == {chunk.id: chunk.wanted for chunk in chunks.values() if chunk.wanted}
    assert state.redundancy.counted == len(needs)
    pins = Counter(chunk_id for upload in state.leases for chunk_id in upload.pins)
    assert pins == {chunk.id: chunk.pins for chunk in chunks.values() if chunk.pins}


def _check_inventories(redundancy: Redundancy) -> None:
    for node_id, inventory in redundancy.inventories.items():
        states = {
            chunk.id: chunk.replicas[node_id] for chunk in redundancy.chunks.values() if node_id in chunk.replicas
        }
        assert set(inventory.chunks) == set(states)
        assert set(inventory.deleting) == {chunk_id for chunk_id, word in states.items() if word == "deleting"}
        told = [chunk_id for chunk_id, word in states.items() if word != "claimed"]
        digest = 0
        for chunk_id in told:
            digest ^= inventory_token(chunk_id)
        assert (inventory.digest, inventory.reported) == (digest, len(told))


def _check_chunk(redundancy: Redundancy, chunk: Chunk) -> None:
    counting = len(redundancy.holders(chunk, ("counts",)))
    serving = len(redundancy.holders(chunk))
    assert redundancy.unhealthy.get(chunk.id, "ok") == health_of(chunk.wanted, counting, serving)
    lacking = chunk.wanted - counting - len(chunk.copies)
    assert (chunk.id in redundancy.short) == (serving > 0 and lacking > 0)
    assert (chunk.id in redundancy.surplus) == (0 < chunk.wanted < counting)
    garbage = not chunk.wanted and not chunk.pins
    assert (redundancy.garbage.get(chunk.id) is not None) == garbage
    assert not garbage or chunk.replicas or chunk.copies


def _check_totals(redundancy: Redundancy) -> None:
    counts = Counter(redundancy.unhealthy.values())
    assert all(redundancy.counts[health] == counts[health] for health in redundancy.counts)
    garbage_bytes = dict.fromkeys(redundancy.garbage_bytes, 0)
    for chunk in redundancy.chunks.values():
        entry = redundancy.garbage.get(chunk.id)
        if entry is not None:
            garbage_bytes[entry.kind] += chunk.size_bytes * len(chunk.replicas)
    assert redundancy.garbage_bytes == garbage_bytes
    lacking_bytes = 0
    for chunk in redundancy.chunks.values():
        lacking = chunk.wanted - len(redundancy.holders(chunk, ("counts",))) - len(chunk.copies)
        lacking_bytes += chunk.size_bytes * max(0, lacking) if redundancy.holders(chunk) else 0
    assert redundancy.short_bytes == lacking_bytes
