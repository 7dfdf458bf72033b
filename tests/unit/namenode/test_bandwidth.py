"""Healing keeps to a pace: a cap on each node, less what clients move there, and never less than a floor."""

from __future__ import annotations

import pytest

from core.config import Config
from core.errors import ConfigurationFailure
from core.model import CopyChunk
from core.namenode.bandwidth import Bucket, NodeBudget
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, key_of


def moved(budget: NodeBudget, size_bytes: int, urgent: bool, from_ms: int, to_ms: int, clients: int = 0) -> int:
    """Bytes that can be ordered between two times, asking ten times a second."""
    total = 0
    for now_ms in range(from_ms, to_ms, 100):
        budget.fill(now_ms, clients)
        while budget.allows(urgent):
            budget.take(size_bytes, urgent)
            total += size_bytes
    return total


@pytest.mark.parametrize(
    ("clients", "urgent", "bytes_per_s"),
    [(0, False, 1_000), (400, False, 600), (950, False, 100), (5_000, False, 100), (5_000, True, 1_000)],
)
def test_the_pace_is_the_cap_less_clients_and_at_least_the_floor(clients: int, urgent: bool, bytes_per_s: int) -> None:
    budget = NodeBudget(Config(healing_bytes_per_s_max=1_000, healing_bytes_per_s_min=100))
    moved(budget, 30, urgent, 0, 10_000, clients)
    a_lot = bytes_per_s // 10
    assert abs(moved(budget, 30, urgent, 10_000, 110_000, clients) - 100 * bytes_per_s) <= 60 + a_lot


def test_chunks_in_danger_and_others_share_one_cap() -> None:
    budget = NodeBudget(Config(healing_bytes_per_s_max=1_000, healing_bytes_per_s_min=100))
    total = 0
    for now_ms in range(0, 100_000, 1_000):
        total += moved(budget, 10, True, now_ms, now_ms + 500)
        total += moved(budget, 10, False, now_ms + 500, now_ms + 1_000)
    assert total <= 1_000 * 100 + 2_000 + 20


def test_without_a_cap_all_is_allowed() -> None:
    budget = NodeBudget(Config(healing_bytes_per_s_max=0))
    budget.fill(0, 10**9)
    budget.take(10**12, urgent=False)
    assert budget.allows(urgent=False)


def test_a_chunk_larger_than_the_burst_passes_and_is_made_up_for() -> None:
    bucket = Bucket()
    bucket.fill(0, 10)
    bucket.take(100)
    assert not bucket.has_some
    bucket.fill(8_000, 10)
    assert not bucket.has_some
    bucket.fill(8_100, 10)
    assert bucket.has_some


def test_small_steps_lose_nothing() -> None:
    bucket = Bucket()
    bucket.fill(0, 1)
    bucket.take(3)
    for now_ms in range(1, 1_100):
        bucket.fill(now_ms, 1)
    assert not bucket.has_some
    bucket.fill(1_100, 1)
    assert bucket.has_some


def test_what_was_used_up_comes_back_in_lots() -> None:
    """A node that asks every few milliseconds is given nothing most of the time, and in the end all there is."""
    bucket = Bucket()
    given = []
    for now_ms in range(0, 10_000, 5):
        bucket.fill(now_ms, 1_000)
        before = len(given)
        while bucket.has_some:
            bucket.take(1)
            given.append(now_ms)
        assert len(given) - before in (0, 100, 2_000)
    assert len(given) == 2_000 + 9_900


@pytest.mark.parametrize("floor", [0, 2])
def test_a_floor_of_nothing_or_above_the_cap_is_refused(floor: int) -> None:
    with pytest.raises(ConfigurationFailure):
        Config(healing_bytes_per_s_max=1, healing_bytes_per_s_min=floor)


# --- On a cluster ---------------------------------------------------------------------------------------------------


def copies_per_second(driver: Driver, seconds: int) -> list[int]:
    """Copies that arrived at one surviving node, second by second."""
    counts = []
    for _ in range(seconds):
        before = len(driver.told(CopyChunk))
        for node in driver.nodes.values():
            if node.works:
                node.read_bytes += 1_000
        driver.run(1_000)
        counts.append(len(driver.told(CopyChunk)) - before)
    return counts


def test_healing_goes_at_the_floor_while_clients_are_busy(make_driver: MakeDriver) -> None:
    """Two targets for 40 lost replicas of 4 bytes each: 4 bytes a second each, after what could be saved up."""
    driver = make_driver(4, healing_bytes_per_s_max=40, healing_bytes_per_s_min=4)
    driver.put("a", bytes(range(200)))
    driver.run(2_000)
    copies_per_second(driver, 5)
    driver[1].kill()
    counts = copies_per_second(driver, 40)
    ordered = [count for count in counts if count]
    assert sum(ordered) > 20
    assert max(ordered[2:]) <= 3 * 2
    assert sum(ordered[4:14]) <= 3 * 11


def test_a_chunk_with_one_replica_left_does_not_wait_for_clients(make_driver: MakeDriver) -> None:
    driver = make_driver(4, healing_bytes_per_s_max=400, healing_bytes_per_s_min=1, mass_failure_share=1.0)
    driver.put("a", bytes(range(200)), replication=2)
    driver.run(2_000)
    copies_per_second(driver, 5)
    lost = len(driver[1].chunks)
    driver[1].kill()
    counts = copies_per_second(driver, 20)
    assert sum(counts) == lost
    assert len([count for count in counts if count]) <= 2, "all at once, whatever clients move"


def test_a_chunk_at_risk_does_not_wait_behind_one_of_a_draining_node(make_driver: MakeDriver) -> None:
    """Clients leave nothing to chunks that are not at risk, and those of the draining node have the smaller ids."""
    driver = make_driver(4, healing_bytes_per_s_max=400, healing_bytes_per_s_min=1, mass_failure_share=1.0)
    contents = sorted((bytes([0, 0, 0, n]) for n in range(250)), key=lambda content: key_of(content).id)
    for number, content in enumerate(contents):
        driver.put(f"a{number}", content, replication=1 if number < 200 else 2)
    driver.run(2_000)
    single = {key_of(content).id for content in contents[:200]}
    copies_per_second(driver, 5)
    drained, killed = driver[1], driver[2]
    assert single & set(drained.chunks)
    at_risk = {chunk_id for chunk_id in killed.chunks if chunk_id not in single}
    driver.namenode.set_wish(driver.now_ms, "drain", "sn-01", "draining")
    killed.kill()
    copies_per_second(driver, 20)
    copied = {command.chunk.id for _, command in driver.told(CopyChunk)}
    assert at_risk <= copied
    assert not single & set(drained.chunks) <= copied, "the others wait for clients"


def test_status_shows_what_is_left_how_fast_it_goes_and_when_it_ends(make_driver: MakeDriver) -> None:
    driver = make_driver(5, healing_bytes_per_s_max=4, healing_bytes_per_s_min=4)
    driver.put("a", bytes(range(200)))
    driver.run(2_000)
    status = driver.namenode.status(driver.now_ms)
    assert (status.healing_bytes, status.healing_bytes_per_s, status.healing_eta_ms) == (0, 0, None)
    lost = 4 * len(driver[1].chunks)
    driver[1].kill()
    driver.run(10_000)
    status = driver.namenode.status(driver.now_ms)
    assert status.healing_bytes == lost
    assert status.healing_eta_ms is None, "nothing has been copied yet"
    driver.run(5_000)
    status = driver.namenode.status(driver.now_ms)
    assert 0 < status.healing_bytes < lost
    assert status.healing_bytes_per_s > 0
    assert status.healing_eta_ms == status.healing_bytes * 1_000 // status.healing_bytes_per_s
    driver.run(30_000)
    status = driver.namenode.status(driver.now_ms)
    assert (status.healing_bytes, status.healing_bytes_per_s, status.healing_eta_ms) == (0, 0, None)
    assert driver.replicas("a") == [3] * 50
