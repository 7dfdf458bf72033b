"""Draining: a node is emptied of its duties, not of its replicas."""

from __future__ import annotations

import pytest

from core.model import CopyChunk, DeleteChunk, NodeInfo
from core.namenode import draining
from core.namenode.progress import Countdown
from core.namenode.redundancy import CLAIM_MS
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, key_of

TEXT = b"one two three four five!"


def drain(driver: Driver, name: str) -> NodeInfo:
    return driver.namenode.set_wish(driver.now_ms, driver.operation(), name, "draining")


def node(driver: Driver, number: int) -> NodeInfo:
    return driver.namenode.nodes(driver.now_ms)[number - 1]


def state(driver: Driver, number: int) -> str:
    return driver.namenode.nodes(driver.now_ms)[number - 1].state


def test_a_node_is_drained_when_its_chunks_are_elsewhere(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    held = dict(driver[1].chunks)
    assert held
    row = driver.namenode.set_wish(driver.now_ms, "op-drain", "sn-01", "draining")
    assert row.state == "draining"
    assert row.reason.startswith(f"draining: {len(held)} chunk")
    driver.run(10_000)
    assert state(driver, 1) == "drained"
    assert driver[1].chunks == held, "its replicas are not deleted"
    for chunk_id in driver.chunk_ids("a"):
        assert sum(chunk_id in driver[number].chunks for number in (2, 3, 4)) == 3
    assert "sn-01 is drained: it can be stopped" in driver.texts()
    driver[1].kill()
    driver.run(15_000)
    assert state(driver, 1) == "down"
    assert driver.replicas("a") == [3] * 6


def test_a_draining_node_serves_reads_but_gets_no_chunks(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver.namenode.set_wish(driver.now_ms, "op-drain", "sn-01", "draining")
    driver.run(10_000)
    assert state(driver, 1) == "drained", "two nodes can't hold three replicas, and have the two that they can"
    located = driver.namenode.locate(driver.now_ms, "a", None, 0, 10)
    assert {chunk.replicas[-1].name for chunk in located.chunks} == {"sn-01"}
    lease = driver.begin("b", b"once")
    request = driver.send(lease, b"once")
    assert sorted(request.chunks[0].nodes) == ["node-0002", "node-0003"]


def test_an_empty_node_is_drained_at_once_and_comes_back_with_undrain(driver: Driver) -> None:
    assert driver.namenode.set_wish(driver.now_ms, "op-drain", "sn-04", "draining").state == "drained"
    assert driver.namenode.set_wish(driver.now_ms, "op-undrain", "sn-04", "none").state == "up"


def test_a_heartbeat_from_before_an_upload_does_not_make_a_node_drained_that_was_down_since(driver: Driver) -> None:
    """Seed 10007259: the client's word had gone with the node, and the late heartbeat agreed that nothing was there."""
    driver.run(2_000)
    late = driver[1].heartbeat()
    driver.put("a", b"data", replication=4)
    assert driver[1].chunks
    for number in (1, 2, 3, 4):
        driver[number].serving = False
    driver.run(20_000)
    assert state(driver, 1) == "down"
    driver.namenode.heartbeat(driver.now_ms, late)
    driver.namenode.set_wish(driver.now_ms, "op-drain", "sn-01", "draining")
    driver.namenode.tick(driver.now_ms + 2_000)
    assert state(driver, 1) == "draining"


def test_a_report_from_before_an_upload_does_not_take_the_clients_word_away(driver: Driver) -> None:
    """The heartbeat that followed it agreed with it, and the node was called drained with the only replica."""
    driver.run(2_000)
    late = {node.id: (node.pages(), node.heartbeat()) for node in driver.nodes.values()}
    driver.put("a", b"data", replication=1)
    (holder,) = driver.holders(key_of(b"data").id)
    pages, heartbeat = late[holder]
    for page in pages:
        driver.namenode.full_report(driver.now_ms, page)
    driver.namenode.heartbeat(driver.now_ms, heartbeat)
    driver.namenode.check_invariants()
    driver.namenode.set_wish(driver.now_ms, "op-drain", holder, "draining")
    driver.namenode.tick(driver.now_ms)
    assert next(row.state for row in driver.namenode.nodes(driver.now_ms) if row.id == holder) == "draining"


def test_undraining_trims_what_was_copied_meanwhile(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    driver.namenode.set_wish(driver.now_ms, "op-drain", "sn-01", "draining")
    driver.run(10_000)
    driver.namenode.set_wish(driver.now_ms, "op-undrain", "sn-01", "none")
    driver.run(10_000)
    assert driver.replicas("a") == [3] * 6
    assert driver.told(DeleteChunk)


def test_the_wish_outlives_a_restart_of_the_namenode(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    driver.namenode.set_wish(driver.now_ms, "op-drain", "sn-01", "draining")
    driver.run(10_000)
    driver.restart_namenode()
    assert state(driver, 1) == "draining", "not drained before the reports say so"
    driver.run(5_000)
    assert state(driver, 1) == "drained"


def test_a_drained_node_that_is_wished_something_else_is_not_drained_any_more(driver: Driver) -> None:
    driver.namenode.set_wish(driver.now_ms, "op-1", "sn-04", "draining")
    driver.namenode.set_wish(driver.now_ms, "op-2", "sn-04", "none")
    driver.put("a", TEXT, replication=3)
    driver.run(2_000)
    assert driver[4].chunks
    assert driver.namenode.set_wish(driver.now_ms, "op-3", "sn-04", "draining").state == "draining"
    assert sum("sn-04 is drained" in text for text in driver.texts()) == 1


# --- Progress and what stands in the way ----------------------------------------------------------------------------


def test_a_drain_shows_how_far_it_is_and_when_it_will_be_done(make_driver: MakeDriver) -> None:
    driver = make_driver(4, copies_per_node_max=2)
    driver.put("a", bytes(range(200)), replication=3)
    driver.run(2_000)
    held = len(driver[1].chunks)
    row = drain(driver, "sn-01")
    assert (row.drain_left, row.drain_total, row.drain_eta_ms) == (held, held, None)
    assert row.drain_warning == ""
    driver.run(4_000)
    row = node(driver, 1)
    assert row.drain_left is not None and row.drain_eta_ms is not None
    assert 0 < row.drain_left < held == row.drain_total
    before = row.drain_left
    driver.run(5_000)
    row = node(driver, 1)
    assert row.drain_left is not None and row.drain_left < before
    driver.run(60_000)
    row = node(driver, 1)
    assert (row.state, row.drain_left, row.drain_total, row.drain_eta_ms) == ("drained", 0, held, 0)
    row = driver.namenode.set_wish(driver.now_ms, "op-undrain", "sn-01", "none")
    assert (row.state, row.drain_left, row.drain_total, row.drain_eta_ms) == ("up", None, None, None)


def test_a_drain_can_be_cancelled_and_begins_anew(make_driver: MakeDriver) -> None:
    driver = make_driver(4, copies_per_node_max=2)
    driver.put("a", bytes(range(200)))
    driver.run(2_000)
    held = len(driver[1].chunks)
    drain(driver, "sn-01")
    driver.run(3_000)
    driver.namenode.set_wish(driver.now_ms, "op-undrain", "sn-01", "none")
    ordered = len(driver.told(CopyChunk))
    driver.run(20_000)
    assert len(driver.told(CopyChunk)) - ordered <= 6, "what was ordered may still come, nothing else"
    assert driver.replicas("a") == [3] * 50
    total = drain(driver, "sn-01").drain_total
    assert total is not None and total <= held, "counted anew"


def test_a_drain_ends_for_chunks_that_want_more_copies_than_there_are_other_nodes(driver: Driver) -> None:
    driver.put("a", TEXT, replication=4)
    driver.put("b", b"less")
    driver.run(2_000)
    row = drain(driver, "sn-01")
    assert row.drain_warning == (
        "6 copies can't be placed: the other 3 storage nodes can hold one copy of each chunk; they are made when"
        " nodes join."
    )
    driver.run(10_000)
    assert state(driver, 1) == "drained"
    assert all(
        len([node for node in driver.holders(chunk_id) if node != "node-0001"]) == 3
        for chunk_id in driver.chunk_ids("a")
    )
    driver.add_node()
    driver.run(3_000)
    driver.run(20_000)
    assert state(driver, 1) == "drained"
    assert all(
        len([node for node in driver.holders(chunk_id) if node != "node-0001"]) == 4
        for chunk_id in driver.chunk_ids("a")
    )


def test_the_only_node_is_never_drained(make_driver: MakeDriver) -> None:
    driver = make_driver(1)
    driver.put("a", TEXT)
    driver.run(2_000)
    row = drain(driver, "sn-01")
    assert row.drain_warning == "No other storage node is there to take its chunks; add some."
    driver.run(10_000)
    assert (node(driver, 1).state, node(driver, 1).drain_left) == ("draining", 6)


def test_a_drain_says_which_nodes_can_not_take_its_chunks(make_driver: MakeDriver) -> None:
    driver = make_driver(0, mass_failure_share=1.0)
    for capacity in (1000, 1000, 8, 1000):
        driver.add_node(capacity_bytes=capacity)
    driver.run(3_000)
    for number in range(20):
        driver.put(f"a{number}", f"t{number:03d}".encode(), replication=1)
    driver.run(2_000)
    driver[4].kill()
    driver[2].kill()
    driver.run(15_000)
    held = len(driver[1].chunks)
    assert held > 2
    row = drain(driver, "sn-01")
    assert row.drain_warning.startswith("Its chunks need") or "can't be placed now" in row.drain_warning
    driver.run(20_000)
    row = node(driver, 1)
    assert row.state == "draining"
    assert "sn-02 is down" in row.drain_warning and "sn-03 has" in row.drain_warning
    driver[2].start()
    driver[4].start()
    driver.run(20_000)
    assert state(driver, 1) == "drained"
    assert node(driver, 1).drain_warning == ""


def test_a_drain_that_lacks_room_says_how_much(make_driver: MakeDriver) -> None:
    driver = make_driver(0, rebalance_threshold=0.0)
    for capacity in (1000, 100):
        driver.add_node(capacity_bytes=capacity)
    driver.run(3_000)
    driver[2].kill()
    driver.run(12_000)
    driver.put("a", bytes(range(200)), replication=1)
    driver[2].start()
    driver.run(3_000)
    assert drain(driver, "sn-01").drain_warning == (
        "Its chunks need 200 B elsewhere and the other storage nodes have 100 B free; free space or add storage nodes."
    )


def test_a_countdown_knows_nothing_before_something_shrinks() -> None:
    countdown = Countdown()
    assert countdown.eta_ms() is None
    countdown.note(0, 100)
    countdown.note(1_000, 100)
    assert countdown.eta_ms() is None
    countdown.note(2_000, 80)
    assert countdown.eta_ms() == 8_000
    countdown.note(3_000, 120)
    assert countdown.eta_ms() is None, "there is more to do than was known"
    countdown.note(4_000, 0)
    assert countdown.eta_ms() == 0


def test_a_countdown_forgets_how_fast_it_was_long_ago() -> None:
    countdown = Countdown()
    countdown.note(0, 1_000)
    countdown.note(1_000, 100)
    for second in range(2, 100):
        countdown.note(second * 1_000, 100)
    assert countdown.eta_ms() is None


def test_a_node_that_was_away_is_not_drained_before_it_has_told_what_it_holds(make_driver: MakeDriver) -> None:
    """Simulation, seed 40575: the chunk was known only from the client, whose word went with the node's silence."""
    driver = make_driver(3)
    late = {node.id: node.heartbeat() for node in driver.nodes.values()}
    for heartbeat in late.values():
        driver.namenode.heartbeat(driver.now_ms, heartbeat)
    driver.put("a", b"once", replication=1)
    (node_id,) = driver.holders(driver.chunk_ids("a")[0])
    driver.nodes[node_id].alive = False
    driver.run(20_000)
    driver.namenode.heartbeat(driver.now_ms, late[node_id])  # once more: its answer had been lost
    assert drain(driver, node_id).state == "draining"
    driver.nodes[node_id].alive = True
    driver.run(20_000)
    assert driver.namenode.node(driver.now_ms, node_id).node.state == "drained"
    assert len(driver.holders(driver.chunk_ids("a")[0])) == 2


def test_a_namenode_that_stood_still_calls_no_node_drained_before_it_has_heard_it(make_driver: MakeDriver) -> None:
    """Simulation, seed 102541: the client's word for the only replica ran out while nobody could confirm it."""
    driver = make_driver(3)
    driver.run(5_000)
    driver.put("a", b"once", replication=1)
    (node_id,) = driver.holders(driver.chunk_ids("a")[0])
    assert drain(driver, node_id).state == "draining"
    driver.now_ms += CLAIM_MS + 10_000
    for _ in range(3):
        driver.namenode.status(driver.now_ms)
        assert driver.namenode.node(driver.now_ms, node_id).node.state == "draining"
        driver.now_ms += 1_100
    driver.run(20_000)
    assert driver.namenode.node(driver.now_ms, node_id).node.state == "drained"
    assert len(driver.holders(driver.chunk_ids("a")[0])) == 2


# --- A node that holds much -----------------------------------------------------------------------------------------


def test_a_node_that_holds_much_is_looked_at_in_steps(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.put("a", bytes(range(200)))
    driver.run(2_000)
    held = len(driver[1].chunks)
    monkeypatch.setattr(draining, "STEP_CHUNKS", 5)
    assert drain(driver, "sn-01").drain_left == 5
    for step in range(3, 2 * (held // 5), 2):  # asking takes a step, too
        driver.namenode.tick(driver.now_ms)
        assert node(driver, 1).drain_left == min(held, 5 * step)
    driver.run(60_000)
    row = node(driver, 1)
    assert (row.state, row.drain_left, row.drain_total) == ("drained", 0, held)


def test_a_chunk_that_lost_a_replica_after_it_was_looked_at_is_seen(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All chunks want more copies than there are other nodes, so that all are looked at."""
    driver.put("a", bytes(range(60)), replication=4)
    driver.run(2_000)
    monkeypatch.setattr(draining, "STEP_CHUNKS", 4)
    drain(driver, "sn-01")
    first = next(iter(driver.namenode._state.redundancy.inventories[driver[1].id].chunks))
    driver[2].spoil(first)
    driver.beat(driver[2])
    for _ in range(5):
        driver.namenode.tick(driver.now_ms)
        assert node(driver, 1).state == "draining"
    driver.run(10_000)
    assert node(driver, 1).state == "drained"


def test_a_node_that_joins_makes_room_for_what_was_looked_at(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.put("a", bytes(range(60)), replication=4)
    driver.run(2_000)
    monkeypatch.setattr(draining, "STEP_CHUNKS", 4)
    drain(driver, "sn-01")
    driver.add_node()
    driver.beat(driver[5])
    for _ in range(5):
        driver.namenode.tick(driver.now_ms)
        assert node(driver, 1).state == "draining"
    driver.run(20_000)
    assert (node(driver, 1).state, len(driver[5].chunks)) == ("drained", 15)
