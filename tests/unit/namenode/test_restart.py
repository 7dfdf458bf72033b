"""A new NameNode on the same catalog: hard state is there, soft state comes back, nothing is deleted before."""

from __future__ import annotations

import pytest

from core.errors import ContentLost, NotReady
from core.model import CopyChunk, DeleteChunk
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, key_of

TEXT = b"one two three four five!"


def test_a_new_catalog_starts_without_safe_mode(make_driver: MakeDriver) -> None:
    driver = make_driver(0)
    status = driver.namenode.status(driver.now_ms)
    assert (status.epoch, status.safe_mode) == (1, False)


def test_the_epoch_grows_and_safe_mode_ends_with_the_last_report(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    driver.restart_namenode()
    status = driver.namenode.status(driver.now_ms)
    assert (status.epoch, status.safe_mode, status.missing) == (2, True, 6)
    driver.run(2_000)
    status = driver.namenode.status(driver.now_ms)
    assert (status.safe_mode, status.missing) == (False, 0)
    assert not driver.told(CopyChunk, DeleteChunk)
    assert "safe mode left: all storage nodes have reported" in driver.texts()
    assert not any("without a replica" in text for text in driver.texts()), "what is late is not lost"


def test_nothing_is_deleted_or_copied_before_the_reports_are_in(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=1_000)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    for node in driver.nodes.values():
        node.store(key_of(b"stray"))
        node.store(key_of(TEXT[:4]))
    driver.restart_namenode()
    driver.run(29_000)
    assert driver.namenode.status(driver.now_ms).safe_mode
    assert not driver.told(CopyChunk, DeleteChunk)
    driver.run(2_000)
    assert not driver.namenode.status(driver.now_ms).safe_mode
    assert any("sn-01 did not report" in text for text in driver.texts())
    driver.run(20_000)
    assert driver.replicas("a") == [3] * 6


def test_a_failed_node_is_not_waited_for_and_stays_failed(driver: Driver) -> None:
    driver.namenode.set_wish(driver.now_ms, "op-fail", "sn-01", "failed")
    driver.run(2_000)
    driver.restart_namenode()
    driver.run(3_000)
    assert not driver.namenode.status(driver.now_ms).safe_mode
    assert driver.namenode.nodes(driver.now_ms)[0].state == "failed"


def test_reading_in_safe_mode_asks_for_patience_and_afterwards_tells_of_loss(make_driver: MakeDriver) -> None:
    driver = make_driver(2)
    driver.put("a", TEXT, replication=1)
    driver.run(2_000)
    driver[1].kill()
    driver[2].kill()
    driver.run(1_000)
    driver.restart_namenode()
    with pytest.raises(NotReady):
        driver.namenode.locate(driver.now_ms, "a", None, 0, 10)
    driver.run(40_000)
    with pytest.raises(ContentLost, match="6 of 6 chunks"):
        driver.namenode.locate(driver.now_ms, "a", None, 0, 10)


def test_names_and_sequence_numbers_grow_across_restarts(driver: Driver) -> None:
    last = driver.namenode.events(driver.now_ms, 0)[-1].seq
    driver.restart_namenode()
    fresh = driver.namenode.events(driver.now_ms, last)
    assert fresh
    assert all(event.seq > last for event in fresh)
    assert fresh[0].text == "NameNode started, epoch 2"
    driver.add_node()
    driver.run(3_000)
    assert [row.name for row in driver.namenode.nodes(driver.now_ms)] == [f"sn-{number:02d}" for number in range(1, 6)]


def test_silence_is_noticed_although_the_clock_stepped_back(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    before_ms = driver.namenode.status(driver.now_ms).now_ms
    driver.now_ms -= 3_600_000
    driver[1].kill()
    driver.run(12_000)
    status = driver.namenode.status(driver.now_ms)
    assert status.now_ms == before_ms + 11_000, "all but the second in which the clock stepped back"
    assert (status.nodes["up"], status.nodes["down"]) == (3, 1)


def test_a_pause_of_the_namenode_itself_is_not_held_against_the_nodes(driver: Driver) -> None:
    """A laptop wakes up, or a long call ends: the first to be heard must not find all others down."""
    driver.put("a", TEXT)
    driver.run(2_000)
    driver.now_ms += 8 * 3_600_000
    assert driver.namenode.status(driver.now_ms).nodes["suspect"] == 4
    assert len(driver.namenode.locate(driver.now_ms, "a", None, 0, 10).chunks) == 6
    driver[1].kill()
    driver.run(1_000)
    assert driver.namenode.status(driver.now_ms).nodes["up"] == 3
    driver.run(7_000)
    assert driver.namenode.status(driver.now_ms).nodes["down"] == 1
    assert not any("sn-02 is down" in text for text in driver.texts())


def test_nodes_stay_in_the_order_in_which_they_joined_when_the_clock_steps_back(driver: Driver) -> None:
    """Simulation, seed 10100."""
    driver.now_ms -= 60_000
    driver.restart_namenode()
    driver.add_node()
    driver.run(1_000)
    before = [row.name for row in driver.namenode.nodes(driver.now_ms)]
    driver.restart_namenode()
    driver.run(1_000)
    assert [row.name for row in driver.namenode.nodes(driver.now_ms)] == before
