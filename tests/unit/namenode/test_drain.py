"""Draining: a node is emptied of its duties, not of its replicas."""

from __future__ import annotations

from core.model import DeleteChunk
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver

TEXT = b"one two three four five!"


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
    assert state(driver, 1) == "draining", "two nodes can't hold three replicas"
    located = driver.namenode.locate(driver.now_ms, "a", None, 0, 10)
    assert {chunk.replicas[-1].name for chunk in located.chunks} == {"sn-01"}
    lease = driver.begin("b", b"once")
    request = driver.send(lease, b"once")
    assert sorted(request.chunks[0].nodes) == ["node-0002", "node-0003"]


def test_an_empty_node_is_drained_at_once_and_comes_back_with_undrain(driver: Driver) -> None:
    assert driver.namenode.set_wish(driver.now_ms, "op-drain", "sn-04", "draining").state == "drained"
    assert driver.namenode.set_wish(driver.now_ms, "op-undrain", "sn-04", "none").state == "up"


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
    driver.put("a", TEXT, replication=4)
    driver.run(2_000)
    assert driver.namenode.set_wish(driver.now_ms, "op-3", "sn-04", "draining").state == "draining"
    assert sum("sn-04 is drained" in text for text in driver.texts()) == 1
