"""Rebalancing: chunks move from full nodes to empty ones, slowly, when nothing else is to be done, and not back."""

from __future__ import annotations

import pytest

from core.config import Config
from core.errors import ConfigurationFailure
from core.model import CopyChunk, DeleteChunk
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, FakeNode, key_of


def filled(
    make_driver: MakeDriver, hosts: tuple[str, ...] = ("", "", ""), chunks: int = 100, **settings: object
) -> Driver:
    """Nodes for 1,000 bytes each that hold so many chunks of 4 bytes, in three copies."""
    driver = make_driver(0, **settings)
    for host in hosts:
        driver.add_node(host, capacity_bytes=1000)
    driver.run(3_000)
    for number in range(chunks):
        driver.put(f"a{number}", f"{number:04d}".encode())
    driver.run(3_000)
    return driver


def fill_percent(node: FakeNode) -> float:
    return 100 * sum(node.chunks.values()) / node.capacity_bytes


def spread(driver: Driver) -> list[float]:
    return sorted(fill_percent(node) for node in driver.nodes.values() if node.works)


def all_replicas(driver: Driver, chunks: int = 100) -> set[int]:
    return {len(driver.holders(key_of(f"{number:04d}".encode()).id)) for number in range(chunks)}


def test_a_node_that_joins_gets_its_share(make_driver: MakeDriver) -> None:
    driver = filled(make_driver)
    assert spread(driver) == [40, 40, 40]
    driver.add_node(capacity_bytes=1000)
    most = 0
    for _ in range(120):
        driver.run(1_000)
        most = max(most, driver.namenode.status(driver.now_ms).rebalancing)
    assert 0 < most <= driver.config.rebalance_copies_max
    assert all_replicas(driver) == {3}
    emptiest, *_, fullest = spread(driver)
    assert fullest - emptiest <= 5.0
    assert emptiest > 20
    texts = driver.texts()
    assert sum("rebalancing started: storage nodes are 0% to 40% full" in text for text in texts) == 1
    assert sum("rebalancing finished" in text for text in texts) == 1
    assert not any("healing" in text for text in texts), "nothing was short at any time"


def test_it_stops_and_nothing_moves_back(make_driver: MakeDriver) -> None:
    driver = filled(make_driver)
    driver.add_node(capacity_bytes=1000)
    driver.run(120_000)
    moved = len(driver.told(CopyChunk))
    assert moved <= 100, "each move brought the nodes closer"
    driver.run(120_000)
    assert len(driver.told(CopyChunk)) == moved
    assert len({node_id for node_id, _ in driver.told(CopyChunk)}) == 1, "only the new node got any"


def test_a_small_difference_is_left_alone(make_driver: MakeDriver) -> None:
    driver = filled(make_driver, ("", "", "", ""), chunks=30)
    emptiest, *_, fullest = spread(driver)
    assert 0 < fullest - emptiest < 10
    driver.run(60_000)
    assert not driver.told(CopyChunk, DeleteChunk)


@pytest.mark.parametrize("settings", [{"rebalance_threshold": 0.0}, {"rebalance_threshold": 0.5}])
def test_it_can_be_made_less_eager_or_turned_off(make_driver: MakeDriver, settings: dict[str, object]) -> None:
    driver = filled(make_driver, **settings)
    driver.add_node(capacity_bytes=1000)
    driver.run(60_000)
    assert not driver.told(CopyChunk)


def test_it_keeps_to_its_pace(make_driver: MakeDriver) -> None:
    driver = filled(make_driver, rebalance_bytes_per_s_max=4)
    driver.add_node(capacity_bytes=1000)
    driver.run(5_000)
    before = len(driver.told(CopyChunk))
    driver.run(20_000)
    assert 15 <= len(driver.told(CopyChunk)) - before <= 21


def test_hosts_stay_as_many(make_driver: MakeDriver) -> None:
    """The new node is on the host of the first one: only replicas of that host can move to it."""
    driver = filled(make_driver, ("rack-a", "rack-b", "rack-c"))
    driver.add_node("rack-a", capacity_bytes=1000)
    driver.run(120_000)
    assert all_replicas(driver) == {3}
    for number in range(100):
        holders = driver.holders(key_of(f"{number:04d}".encode()).id)
        assert {driver.nodes[node_id].host for node_id in holders} == {"rack-a", "rack-b", "rack-c"}
    assert (fill_percent(driver[2]), fill_percent(driver[3])) == (40, 40)
    assert abs(fill_percent(driver[1]) - fill_percent(driver[4])) <= 5
    assert sum("rebalancing finished" in text for text in driver.texts()) == 1, "it gives up, for a while"


def test_what_could_not_be_moved_is_when_another_node_joins(make_driver: MakeDriver) -> None:
    driver = filled(make_driver, ("rack-a", "rack-b", "rack-c"))
    driver.add_node("rack-a", capacity_bytes=1000)
    driver.run(60_000)
    assert (fill_percent(driver[2]), fill_percent(driver[3])) == (40, 40)
    driver.add_node("rack-b", capacity_bytes=1000)
    driver.run(120_000)
    assert abs(fill_percent(driver[2]) - fill_percent(driver[5])) <= 5
    assert fill_percent(driver[3]) == 40
    assert all_replicas(driver) == {3}


def test_nodes_on_one_disk_are_equally_full(make_driver: MakeDriver) -> None:
    driver = make_driver(0)
    for _ in range(3):
        driver.add_node("host", capacity_bytes=1000, disk="shared")
    driver.run(3_000)
    for number in range(100):
        driver.put(f"a{number}", f"{number:04d}".encode())
        driver.run(1_000 if number % 20 == 0 else 0)
    driver.add_node("host", capacity_bytes=1000, disk="shared")
    driver.run(60_000)
    assert not driver.told(CopyChunk)


def test_nodes_on_one_disk_with_a_limit_of_their_own_are_not(make_driver: MakeDriver) -> None:
    driver = make_driver(0, storage_capacity_bytes=1000)
    for _ in range(3):
        driver.add_node("host", capacity_bytes=1000, disk="shared")
    driver.run(3_000)
    for number in range(100):
        driver.put(f"a{number}", f"{number:04d}".encode())
        driver.run(1_000 if number % 20 == 0 else 0)
    driver.add_node("host", capacity_bytes=1000, disk="shared")
    driver.run(120_000)
    emptiest, *_, fullest = spread(driver)
    assert fullest - emptiest <= 5.0
    assert all_replicas(driver) == {3}


def test_healing_goes_first(make_driver: MakeDriver) -> None:
    driver = filled(make_driver, ("", "", "", ""), copies_per_node_max=2)
    driver.add_node(capacity_bytes=1000)
    driver.run(3_000)
    assert driver.namenode.status(driver.now_ms).rebalancing or driver.told(CopyChunk)
    driver[1].kill()
    driver.run(11_000)
    most = 0
    while driver.namenode.status(driver.now_ms).under_replicated:
        driver.run(1_000)
        status = driver.namenode.status(driver.now_ms)
        most = max(most, status.rebalancing if status.healing else 0)
    assert most == 0
    driver.run(120_000)
    assert all_replicas(driver) == {3}


def test_nothing_moves_while_healing_waits(make_driver: MakeDriver) -> None:
    driver = filled(make_driver, ("", "", "", "", ""), mass_failure_share=0.3)
    driver[1].kill()
    driver[2].kill()
    driver.run(12_000)
    driver.add_node(capacity_bytes=1000)
    driver.run(20_000)
    assert driver.namenode.status(driver.now_ms).healing_waits
    assert not driver.told(CopyChunk)


def test_it_goes_on_after_a_restart_of_the_namenode(make_driver: MakeDriver) -> None:
    driver = filled(make_driver)
    driver.add_node(capacity_bytes=1000)
    driver.run(6_000)
    assert driver.told(CopyChunk)
    driver.restart_namenode()
    driver.run(150_000)
    assert all_replicas(driver) == {3}
    emptiest, *_, fullest = spread(driver)
    assert fullest - emptiest <= 10.0


def test_a_target_that_refuses_or_dies_loses_nothing(make_driver: MakeDriver) -> None:
    driver = filled(make_driver)
    node = driver.add_node(capacity_bytes=1000)
    driver.ignored = (CopyChunk,)
    driver.run(6_000)
    assert driver.namenode.status(driver.now_ms).rebalancing
    node.kill()
    driver.run(15_000)
    assert driver.namenode.status(driver.now_ms).rebalancing == 0
    assert not driver.told(DeleteChunk)
    driver.ignored = ()
    node.start()
    driver.run(120_000)
    assert all_replicas(driver) == {3}
    emptiest, *_, fullest = spread(driver)
    assert fullest - emptiest <= 5.0


def test_a_full_node_is_relieved_by_several(make_driver: MakeDriver) -> None:
    """One copy of each chunk on whichever node was there; three more join."""
    driver = make_driver(0)
    driver.add_node(capacity_bytes=1000)
    driver.run(3_000)
    for number in range(200):
        driver.put(f"a{number}", f"{number:04d}".encode(), replication=1)
    for _ in range(3):
        driver.add_node(capacity_bytes=1000)
    driver.run(200_000)
    assert all_replicas(driver, 200) == {1}
    emptiest, *_, fullest = spread(driver)
    assert fullest - emptiest <= 5.0


@pytest.mark.parametrize("wrong", [{"rebalance_threshold": 1.0}, {"rebalance_copies_max": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationFailure):
        Config(**wrong)  # type: ignore[arg-type]
