"""Disks that fill up: told of once per mark, closed to clients before they are full, and a full one takes nothing."""

from __future__ import annotations

import pytest

from core.config import Config
from core.errors import NotEnoughSpace
from core.model import CHECKPOINT_NAME, CopyChunk, DiskState, DiskUsage
from core.namenode.diskstate import DISK_AFTER, disk_signal, room_for_clients
from core.namenode.placement import DiskRoom, content_fits
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import MIB, Driver, FakeNode, key_of

CONFIG = Config()


def after(state: DiskState, used: int) -> DiskState:
    return DISK_AFTER[state, disk_signal(DiskUsage(used, 1000 - used, ""), CONFIG)]


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (0, "ok"),
        (849, "ok"),
        (850, "filling"),
        (949, "filling"),
        (950, "no_new_chunks"),
        (999, "no_new_chunks"),
        (1000, "read_only"),
    ],
)
def test_each_mark_leads_to_its_state(used: int, expected: DiskState) -> None:
    assert after("ok", used) == expected


@pytest.mark.parametrize(
    ("state", "used", "expected"),
    [
        ("filling", 840, "filling"),
        ("filling", 829, "ok"),
        ("no_new_chunks", 940, "no_new_chunks"),
        ("no_new_chunks", 929, "filling"),
        ("read_only", 990, "read_only"),
        ("read_only", 979, "no_new_chunks"),
        ("read_only", 0, "ok"),
    ],
)
def test_a_state_ends_only_clearly_below_its_mark(state: DiskState, used: int, expected: DiskState) -> None:
    assert after(state, used) == expected


def test_a_node_that_can_hold_nothing_is_read_only() -> None:
    assert DISK_AFTER["ok", disk_signal(DiskUsage(0, 0, ""), CONFIG)] == "read_only"


def test_a_share_of_one_closes_a_node_only_when_it_is_full() -> None:
    config = Config(disk_no_new_share=1.0)
    usage = DiskUsage(999, 1, "")
    assert DISK_AFTER["ok", disk_signal(usage, config)] == "filling"
    assert room_for_clients(usage, "filling", config) == 1


def test_clients_may_fill_a_node_up_to_the_mark() -> None:
    assert room_for_clients(DiskUsage(900, 100, ""), "filling", CONFIG) == 50
    assert room_for_clients(DiskUsage(940, 60, ""), "no_new_chunks", CONFIG) == 0


# --- On a cluster ---------------------------------------------------------------------------------------------------


def fill(node: FakeNode, used_bytes: int) -> None:
    """Something that no version counts takes room; the NameNode learns of it with the next heartbeat."""
    key = key_of(f"ballast of {node.id}".encode())
    node.chunks[key.id] = used_bytes


def disk(driver: Driver, number: int) -> str:
    return driver.namenode.nodes(driver.now_ms)[number - 1].disk


def told(driver: Driver, text: str) -> int:
    return sum(text in event for event in driver.texts())


def test_a_node_that_fills_up_is_told_of_once_per_mark(make_driver: MakeDriver) -> None:
    driver = make_driver(3, garbage_grace_ms=10**9)
    for used, state in ((860, "filling"), (845, "filling"), (860, "filling"), (960, "no_new_chunks"), (100, "ok")):
        fill(driver[1], used * MIB)
        driver.run(3_000)
        assert disk(driver, 1) == state
    assert told(driver, "sn-01 is filling up; free space or add storage nodes: its disk is 86% full") == 1
    assert told(driver, "sn-01 takes no new chunks but those that healing brings: its disk is 96% full") == 1
    assert told(driver, "sn-01 has room again") == 1


def test_a_node_above_the_mark_gets_nothing_of_clients_and_the_refusal_names_it(make_driver: MakeDriver) -> None:
    driver = make_driver(3, garbage_grace_ms=10**9)
    fill(driver[1], 960 * MIB)
    driver.run(2_000)
    lease = driver.begin("a", b"once", size_bytes=None)
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"once")], []).chunks
    assert sorted(ref.name for ref in allocation.targets) == ["sn-02", "sn-03"]
    fill(driver[2], 1000 * MIB)
    driver.run(2_000)
    with pytest.raises(NotEnoughSpace) as refused:
        driver.namenode.allocate(driver.now_ms, lease, [key_of(b"most")], [])
    assert "sn-01 takes no new chunks (its disk is 96% full)" in refused.value.message
    assert "sn-02 takes no new chunks (its disk is full up to the reserve)" in refused.value.message


def test_healing_may_use_what_clients_may_not_but_not_a_full_node(make_driver: MakeDriver) -> None:
    driver = make_driver(5, garbage_grace_ms=10**9)
    driver.put("a", b"once")
    driver.run(2_000)
    holders = driver.holders(key_of(b"once").id)
    closed, full = (node for node in driver.nodes.values() if node.id not in holders)
    fill(closed, 960 * MIB)
    fill(full, 1000 * MIB)
    driver.run(2_000)
    driver.nodes[holders[0]].kill()
    driver.run(20_000)
    assert [node_id for node_id, _ in driver.told(CopyChunk)] == [closed.id]
    assert driver.replicas("a") == [3]


def test_a_checkpoint_may_use_what_clients_may_not_but_not_a_full_node(make_driver: MakeDriver) -> None:
    driver = make_driver(3, garbage_grace_ms=10**9)
    for number in (1, 2):
        fill(driver[number], 960 * MIB)
    fill(driver[3], 1000 * MIB)
    driver.run(2_000)
    with pytest.raises(NotEnoughSpace):
        driver.begin("a", b"once")
    lease = driver.begin(CHECKPOINT_NAME, b"once", "checkpoint")
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"once")], []).chunks
    assert sorted(ref.name for ref in allocation.targets) == ["sn-01", "sn-02"]
    fill(driver[2], 1000 * MIB)
    driver.run(2_000)
    with pytest.raises(NotEnoughSpace, match="sn-02 takes no new chunks") as refused:
        driver.namenode.allocate(driver.now_ms, lease, [key_of(b"most")], [])
    assert "sn-01 takes no new chunks" not in refused.value.message
    with pytest.raises(NotEnoughSpace):
        driver.begin(CHECKPOINT_NAME, b"once", "checkpoint")


def test_storing_again_what_a_closed_node_holds_goes_to_that_node(make_driver: MakeDriver) -> None:
    """Its replica needs no room, and one more elsewhere would be surplus."""
    driver = make_driver(3, garbage_grace_ms=10**9)
    driver.put("a", b"once", replication=1)
    driver.run(2_000)
    (holder,) = driver.holders(key_of(b"once").id)
    fill(driver.nodes[holder], 960 * MIB)
    driver.run(2_000)
    lease = driver.begin("b", b"once", replication=2)
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"once")], []).chunks
    assert holder in [ref.id for ref in allocation.targets]


def test_one_roomy_node_of_three_is_not_enough_though_the_sum_is(make_driver: MakeDriver) -> None:
    driver = make_driver(0)
    for capacity in (1000, 10, 10):
        driver.add_node(capacity_bytes=capacity * MIB)
    driver.run(3_000)
    with pytest.raises(NotEnoughSpace) as refused:
        driver.begin("a", b"", size_bytes=50 * MIB, chunk_size_bytes=MIB)
    assert "sn-01 950.0 MiB, sn-02 9.5 MiB and sn-03 9.5 MiB" in refused.value.message
    driver.begin("b", b"", size_bytes=50 * MIB, chunk_size_bytes=MIB, replication=1)


def test_an_update_needs_its_room_beside_the_old_version(make_driver: MakeDriver) -> None:
    driver = make_driver(0)
    for _ in range(3):
        driver.add_node(capacity_bytes=100)
    driver.run(3_000)
    driver.put("a", bytes(range(60)))
    driver.run(2_000)
    with pytest.raises(NotEnoughSpace):
        driver.begin("a", b"", "update", size_bytes=60)
    driver.begin("a", b"", "update", size_bytes=35)


def test_nodes_with_a_limit_of_their_own_do_not_use_up_each_others_room(make_driver: MakeDriver) -> None:
    driver = make_driver(0, storage_capacity_bytes=100)
    for _ in range(3):
        driver.add_node("host", capacity_bytes=100, disk="shared")
    driver.run(3_000)
    lease = driver.begin("a", b"", size_bytes=80)
    keys = [key_of(bytes([number] * 4)) for number in range(20)]
    allocations = driver.namenode.allocate(driver.now_ms, lease, keys, [])
    assert all(len(allocation.targets) == 3 for allocation in allocations.chunks)


# --- Whether a content fits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rooms", "fits"),
    [
        ((100, 100, 100), True),
        ((99, 100, 100), True),
        ((100, 100, 0), True),
        ((1000, 99, 99), False),
        ((1000, 99, 99, 99), True),
        ((70, 70, 70, 70), False),
        ((75, 75, 75, 75), False),
        ((80, 80, 80, 80), True),
        ((), False),
    ],
)
def test_content_of_ten_chunks_in_three_copies(rooms: tuple[int, ...], fits: bool) -> None:
    """Room that ends within a chunk is of no use; two nodes that can take all of it are enough for the quorum."""
    assert content_fits([DiskRoom(room, (room,)) for room in rooms], 100, 10, 3, 2) is fits


@pytest.mark.parametrize(("free", "fits"), [(300, True), (299, False)])
def test_nodes_on_one_disk_share_its_room(free: int, fits: bool) -> None:
    assert content_fits([DiskRoom(free, (free, free, free))], 100, 10, 3, 2) is fits


def test_the_last_chunk_may_be_shorter() -> None:
    assert content_fits([DiskRoom(15, (15,)), DiskRoom(15, (15,))], 15, 10, 2, 2)
    assert content_fits([DiskRoom(25, (25,)), DiskRoom(10, (10,))], 25, 10, 1, 1)
    assert not content_fits([DiskRoom(14, (14,)), DiskRoom(14, (14,))], 15, 10, 2, 2)


def test_no_bytes_always_fit() -> None:
    assert content_fits([], 0, 10, 3, 2)
