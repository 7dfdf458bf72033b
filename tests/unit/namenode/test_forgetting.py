"""Nodes that are gone for good: forgotten on request, never while they may be alive or are needed."""

from __future__ import annotations

import pytest

from core.errors import InvalidRequest, NodeNotFound, NotReady
from core.model import SendFullReport
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, key_of

TEXT = b"one two three four five!"


def forget(driver: Driver, name: str, operation: str = "") -> str:
    answer = driver.namenode.forget(driver.now_ms, operation or driver.operation(), name)
    driver.namenode.check_invariants()
    return answer


def names(driver: Driver) -> list[str]:
    return [node.name for node in driver.namenode.nodes(driver.now_ms)]


def gone(driver: Driver, number: int) -> None:
    driver[number].kill()
    driver.run(40_000)


def test_a_node_that_is_down_is_forgotten_for_good(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    gone(driver, 2)
    assert forget(driver, "sn-02") == "sn-02"
    assert names(driver) == ["sn-01", "sn-03", "sn-04"]
    assert driver.replicas("a") == [3] * 6
    assert sum(driver.namenode.status(driver.now_ms).nodes.values()) == 3
    assert "sn-02 was forgotten by an operator" in driver.texts()
    with pytest.raises(NodeNotFound):
        driver.namenode.node(driver.now_ms, "sn-02")
    driver.restart_namenode()
    assert names(driver) == ["sn-01", "sn-03", "sn-04"]


def test_the_start_does_not_wait_for_a_forgotten_node(driver: Driver) -> None:
    gone(driver, 2)
    driver.restart_namenode()
    driver.run(5_000)
    assert driver.namenode.status(driver.now_ms).safe_mode
    driver.run(40_000)
    forget(driver, "sn-02")
    driver.restart_namenode()
    driver.run(3_000)
    assert not driver.namenode.status(driver.now_ms).safe_mode


def test_its_directory_joins_as_a_new_node_and_no_name_is_given_twice(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    gone(driver, 4)
    forget(driver, "sn-04")
    driver[4].start()
    driver.run(5_000)
    assert names(driver) == ["sn-01", "sn-02", "sn-03", "sn-05"]
    assert driver.namenode.node(driver.now_ms, "sn-05").node.id == "node-0004"
    driver.run(20_000)
    assert driver.replicas("a") == [3] * 6


def test_a_repeated_request_is_answered_and_forgets_nobody_else(driver: Driver) -> None:
    gone(driver, 4)
    assert forget(driver, "sn-04", "op-forget") == "sn-04"
    driver[4].start()
    driver.run(5_000)
    assert forget(driver, "sn-04", "op-forget") == "sn-04"
    assert names(driver) == ["sn-01", "sn-02", "sn-03", "sn-05"]


@pytest.mark.parametrize("silent_ms", [0, 5_000, 9_000])
def test_a_node_that_is_not_down_is_refused(driver: Driver, silent_ms: int) -> None:
    driver[2].kill()
    driver.run(silent_ms)
    with pytest.raises(InvalidRequest, match="only a node that is down"):
        forget(driver, "sn-02")
    assert "sn-02" in names(driver)


def test_a_failed_node_whose_process_runs_is_refused(driver: Driver) -> None:
    driver.namenode.set_wish(driver.now_ms, "op-fail", "sn-02", "failed")
    for _ in range(20):
        driver.run(1_000)
        assert driver.namenode.wish(driver.now_ms, "node-0002") == "failed"
    with pytest.raises(InvalidRequest, match="its process still runs"):
        forget(driver, "sn-02")
    driver.run(15_000)
    assert forget(driver, "sn-02") == "sn-02"
    assert driver.namenode.wish(driver.now_ms, "node-0002") == "none", "should it run after all, it may come back"


def test_the_last_holder_of_a_chunk_is_refused(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", TEXT, replication=1)
    driver.run(2_000)
    held = {number: len(driver[number].chunks) for number in (1, 2, 3)}
    number = max(held, key=lambda number: held[number])
    gone(driver, number)
    with pytest.raises(InvalidRequest) as refused:
        forget(driver, f"sn-0{number}")
    assert f"has the last replica of {held[number]} chunk" in refused.value.message
    assert "of 'a'" in refused.value.message
    driver[number].start()
    driver.run(5_000)
    driver.namenode.delete(driver.now_ms, "op-delete", "a")
    assert driver.namenode.status(driver.now_ms).missing == 0


def test_nodes_that_fell_silent_before_they_told_what_clients_stored_may_be_the_last_holders(driver: Driver) -> None:
    driver.run(5_000)
    driver.put("a", b"data")
    holders = driver.holders(key_of(b"data").id)
    for node_id in holders:
        driver.nodes[node_id].serving = False
    driver.run(40_000)
    for node_id in holders:
        with pytest.raises(InvalidRequest, match="may have the last replica of 1 chunk of 'a'"):
            forget(driver, node_id)
    for node_id in holders[:2]:
        driver.nodes[node_id].serving = True
    driver.run(10_000)
    forget(driver, holders[2])
    for node in driver.nodes.values():
        node.kill()
    driver.run(40_000)
    with pytest.raises(InvalidRequest, match=r"sn-0\d has the last replica"):
        forget(driver, holders[0])


def test_a_report_from_before_a_node_was_silent_does_not_tell_all_that_it_holds(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    holder, others = driver[1], [driver[2].id, driver[3].id]
    holder.start()
    driver.ignored = (SendFullReport,)
    driver.beat(holder)
    late = holder.pages()
    driver.ignored = ()
    request = driver.send(driver.begin("a", b"data", replication=1), b"data", excluded=others)
    driver.namenode.commit(driver.now_ms, request)
    holder.serving = False
    driver.run(20_000)
    for page in late:
        driver.namenode.full_report(driver.now_ms, page)
    driver.run(20_000)
    with pytest.raises(InvalidRequest, match="sn-01 may have the last replica"):
        forget(driver, "sn-01")
    holder.serving = True
    driver.run(5_000)
    session = driver.namenode._state.members[holder.id].session
    assert session.verified and not session.incomplete


def test_a_node_that_pulled_a_copy_and_fell_silent_may_have_the_last_replica(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", b"once", replication=2)
    driver.run(3_000)
    (chunk_id,) = driver.chunk_ids("a")
    first, second = (driver.nodes[node_id] for node_id in driver.holders(chunk_id))
    (spare,) = (node for node in driver.nodes.values() if node not in (first, second))
    second.kill()
    while chunk_id not in spare.chunks:  # healing orders it
        driver.now_ms += 1_000
        driver.beat(first)
        driver.beat(spare)
    spare.kill()  # before it tells
    first.kill()
    first.chunks.clear()
    second.chunks.clear()
    driver.run(60_000)
    with pytest.raises(InvalidRequest):
        forget(driver, spare.id)


def test_a_node_that_fell_silent_before_the_commit_may_have_the_last_replica(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    lease = driver.begin("a", b"once")
    request = driver.send(lease, b"once")
    assert len(request.chunks[0].nodes) == 3
    driver[1].serving = False  # before it tells
    driver.run(15_000)
    driver.namenode.commit(driver.now_ms, request)
    driver.run(3_000)
    for number in (2, 3):
        driver[number].kill()
        driver[number].chunks.clear()
    driver.run(60_000)
    with pytest.raises(InvalidRequest):
        forget(driver, driver[1].id)


def test_a_node_not_heard_of_since_the_start_may_be_the_last_holder(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", b"once", replication=1)
    driver.run(2_000)
    (holder,) = driver.holders(driver.chunk_ids("a")[0])
    other = next(node for node in driver.nodes.values() if node.id != holder)
    driver.nodes[holder].kill()
    other.kill()
    driver.restart_namenode()
    driver.run(1_000)
    driver.run(40_000)
    for node_id in (holder, other.id):
        with pytest.raises(InvalidRequest, match="may have the last replica of 1 chunk"):
            forget(driver, node_id)
    driver.nodes[holder].start()
    driver.run(5_000)
    forget(driver, other.id)


def test_nobody_is_forgotten_before_the_others_have_reported(driver: Driver) -> None:
    gone(driver, 2)
    driver[3].kill()
    driver.restart_namenode()
    driver.run(20_000)
    with pytest.raises(NotReady):
        forget(driver, "sn-02")


def test_a_forgotten_node_stands_in_the_way_of_nothing_more(make_driver: MakeDriver) -> None:
    """Its replicas, the copies that were under way to it and its deletes go with it."""
    driver = make_driver(3)
    driver.put("a", TEXT)
    driver.run(2_000)
    gone(driver, 3)
    assert driver.namenode.status(driver.now_ms).under_replicated == 6
    forget(driver, "sn-03")
    assert driver.put("b", b"less").warnings, "two nodes are all there are"
    driver.add_node()
    driver.run(20_000)
    assert driver.replicas("a") == [3] * 6
