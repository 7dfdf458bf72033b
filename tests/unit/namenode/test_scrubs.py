"""Scrubs that an operator asks for: told until they are heard, followed to their end."""

from __future__ import annotations

from dataclasses import replace

from core.model import QuarantineUsage, ScrubAll, ScrubState
from tests.unit.namenode.driver import Driver, FakeNode


def finish(node: FakeNode, bad: int = 0) -> None:
    node.scrub = replace(node.scrub, ordered=False, done=node.scrub.total, bad=bad, finished_ms=1)


def test_a_scrub_reaches_every_node_that_is_up_once(driver: Driver) -> None:
    driver[1].kill()
    driver.run(15_000)
    order = driver.namenode.scrub(driver.now_ms)
    assert order.nodes == tuple(driver[number].id for number in (2, 3, 4))
    driver.run(3_000)
    assert [node.scrubs for node in driver.nodes.values()] == [0, 1, 1, 1]
    assert ScrubAll(order.number) in driver[2].told


def test_progress_is_followed_to_the_end(driver: Driver) -> None:
    driver.put("a", b"abcdefgh")
    order = driver.namenode.scrub(driver.now_ms)
    before = driver.namenode.scrub_progress(driver.now_ms, order)
    assert (before.nodes, before.finished, before.done, before.total) == (4, 0, 0, 0)
    driver.run(1_000)
    driver.run(1_000)
    under_way = driver.namenode.scrub_progress(driver.now_ms, order)
    assert (under_way.finished, under_way.total) == (0, 6)
    finish(driver[1], bad=1)
    driver.run(1_000)
    assert driver.namenode.scrub_progress(driver.now_ms, order).finished == 1
    for node in driver.nodes.values():
        finish(node, bad=1)
    driver.run(1_000)
    after = driver.namenode.scrub_progress(driver.now_ms, order)
    assert (after.finished, after.done, after.total, after.bad, after.away) == (4, 6, 6, 4, ())


def test_a_node_that_falls_silent_is_told_as_away(driver: Driver) -> None:
    order = driver.namenode.scrub(driver.now_ms)
    driver.run(2_000)
    driver[2].kill()
    driver.run(5_000)
    assert driver.namenode.scrub_progress(driver.now_ms, order).away == ("sn-02",)


def test_an_order_that_a_namenode_took_to_its_grave_is_given_again(driver: Driver) -> None:
    order = driver.namenode.scrub(driver.now_ms)
    driver.restart_namenode()
    driver.run(3_000)
    assert not driver.told(ScrubAll)
    driver.namenode.scrub_progress(driver.now_ms, order)
    driver.run(2_000)
    assert [node.scrubs for node in driver.nodes.values()] == [1, 1, 1, 1]


def test_orders_grow_across_restarts(driver: Driver) -> None:
    first = driver.namenode.scrub(driver.now_ms).number
    second = driver.namenode.scrub(driver.now_ms).number
    driver.restart_namenode()
    assert first < second < driver.namenode.scrub(driver.now_ms).number


def test_what_nodes_say_of_their_scrubbing_is_shown(driver: Driver) -> None:
    for number, node in enumerate(driver.nodes.values(), 1):
        node.scrub = ScrubState(done=number, total=10, bytes_per_s=100, finished_ms=1000 + number)
        node.quarantine = QuarantineUsage(number, 10 * number)
    driver.run(1_000)
    info = driver.namenode.node(driver.now_ms, "sn-02").node
    assert (info.scrub_done, info.scrub_total, info.scrub_bytes_per_s, info.last_scrub_ms) == (2, 10, 100, 1002)
    assert (info.quarantined, info.quarantined_bytes) == (2, 20)
    status = driver.namenode.status(driver.now_ms)
    assert (status.scrub_done, status.scrub_total, status.scrub_bytes_per_s) == (10, 40, 400)
    assert (status.quarantined, status.quarantined_bytes, status.last_scrub_ms) == (10, 100, 1001)
