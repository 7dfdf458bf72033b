"""Lost replicas come back, surplus and garbage goes, and nothing is ever deleted that is needed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from core.model import CopyChunk, DeleteChunk, SendFullReport
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, FakeNode, key_of

HEALED_MS = 25_000
TEXT = b"one two three four five!"


def put_and_lose_one(driver: Driver) -> tuple[str, list[FakeNode]]:
    """Store `a` in one chunk and kill a node that holds it; the chunk, and the nodes that never held it."""
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    holders = driver.holders(chunk_id)
    driver.nodes[holders[0]].kill()
    return chunk_id, [node for node in driver.nodes.values() if node.id not in holders]


def test_a_node_that_is_down_loses_its_replicas_and_others_get_them(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver.run(9_000)
    assert driver.namenode.status(driver.now_ms).under_replicated == 0, "suspect replicas still count"
    driver.run(2_000)
    driver.run(HEALED_MS)
    assert driver.replicas("a") == [3] * 6
    status = driver.namenode.status(driver.now_ms)
    assert (status.under_replicated, status.at_risk, status.missing, status.healing) == (0, 0, 0, 0)
    texts = driver.texts()
    assert any(text.startswith("sn-01 is down") for text in texts)
    assert any(text.startswith("healing started") for text in texts)
    assert texts[-1] == "healing finished"


def test_a_node_that_returns_with_its_replicas_leaves_no_surplus(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver.run(HEALED_MS)
    driver[1].start()
    driver.run(10_000)
    assert driver.replicas("a") == [3] * 6
    assert "sn-01 is back up" in driver.texts()


def test_a_hung_node_that_beats_again_counts_again_without_a_report(driver: Driver) -> None:
    """Same process, same inventory: what it held is remembered while it is down."""
    driver.put("a", TEXT)
    driver.run(2_000)
    reports = driver[1].reports
    driver[1].serving = False
    driver.run(HEALED_MS)
    driver[1].serving = True
    driver.run(10_000)
    assert driver[1].reports == reports
    assert driver.replicas("a") == [3] * 6


def test_a_restart_of_a_process_moves_nothing(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver.run(2_000)
    driver[1].start()
    driver.run(5_000)
    assert not driver.told(CopyChunk, DeleteChunk)


def test_a_node_away_for_less_than_the_time_of_down_moves_nothing(driver: Driver) -> None:
    driver.put("a", bytes(range(200)))
    driver.run(2_000)
    driver[1].serving = False
    driver.run(8_000)
    driver[1].serving = True
    driver.run(20_000)
    driver[2].kill()
    driver.run(8_000)
    driver[2].start()
    driver.run(20_000)
    assert not driver.told(CopyChunk, DeleteChunk)


def test_surplus_waits_until_the_digest_of_every_holder_agrees(driver: Driver) -> None:
    """A replica that was reported and is gone since must not make another one seem dispensable."""
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    liar = driver.nodes[driver.holders(chunk_id)[0]]
    driver.ignored = (SendFullReport,)
    liar.chunks[key_of(b"never told of").id] = 4
    driver.run(9_000)
    assert not driver.told(DeleteChunk)
    driver.ignored = ()
    driver.run(15_000)
    assert driver.told(DeleteChunk)
    assert driver.replicas("a") == [3]


def test_the_most_endangered_chunk_is_copied_first(make_driver: MakeDriver) -> None:
    driver = make_driver(5, copies_in_flight_max=1, mass_failure_share=1.0)
    for number in range(6):
        driver.put(f"a{number}", f"t{number:03d}".encode())
    driver.run(2_000)
    ids = [chunk_id for number in range(6) for chunk_id in driver.chunk_ids(f"a{number}")]
    pair = next(
        (first, second)
        for first in driver.nodes.values()
        for second in driver.nodes.values()
        if first is not second
        and any(chunk_id in first.chunks and chunk_id in second.chunks for chunk_id in ids)
        and any((chunk_id in first.chunks) != (chunk_id in second.chunks) for chunk_id in ids)
    )
    endangered = [chunk_id for chunk_id in ids if all(chunk_id in node.chunks for node in pair)]
    others = [chunk_id for chunk_id in ids if sum(chunk_id in node.chunks for node in pair) == 1]
    for node in pair:
        node.kill()
    copied: list[str] = []
    for _ in range(60):
        driver.run(1_000)
        for node in driver.nodes.values():
            copied += [command.chunk.id for command in node.told if isinstance(command, CopyChunk)]
            node.told.clear()
    assert sorted(copied[: len(endangered)]) == sorted(endangered)
    assert sorted(set(copied[len(endangered) :])) == sorted({*endangered, *others})


def test_copies_respect_their_limits(make_driver: MakeDriver) -> None:
    driver = make_driver(5, copies_per_node_max=2, copies_in_flight_max=5)
    driver.put("a", bytes(range(200)))
    driver.run(2_000)
    driver[1].kill()
    most = 0
    for _ in range(60):
        driver.run(1_000)
        most = max(most, driver.namenode.status(driver.now_ms).healing)
    assert 0 < most <= 5
    assert set(driver.replicas("a")) == {3}


def test_a_cluster_that_is_too_small_stays_short_and_heals_when_a_node_joins(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver.run(HEALED_MS)
    status = driver.namenode.status(driver.now_ms)
    assert (status.under_replicated, status.healing) == (6, 0)
    driver.add_node()
    driver.run(10_000)
    assert driver.replicas("a") == [3] * 6


def test_a_copy_that_fails_is_ordered_elsewhere(make_driver: MakeDriver) -> None:
    driver = make_driver(5)
    _, spare = put_and_lose_one(driver)
    asked: list[str] = []
    for _ in range(20):
        driver.now_ms += 1_000
        for node in driver.nodes.values():
            if not node.works:
                continue
            answer = driver.namenode.heartbeat(driver.now_ms, node.heartbeat())
            for command in answer.commands:
                if isinstance(command, CopyChunk) and not asked:
                    node.failed_copies.append(command.chunk.id)
                else:
                    driver.obey(node, command)
                asked += [node.id] * isinstance(command, CopyChunk)
        driver.namenode.check_invariants()
    assert sorted(asked) == sorted(node.id for node in spare), "each spare node was asked once"
    assert driver.replicas("a") == [3]


def test_a_copy_that_failed_where_alone_it_can_be_is_tried_again_soon_and_then_less_often(
    make_driver: MakeDriver,
) -> None:
    """As on a disk that is full for a while, in a cluster with as many nodes as there are copies."""
    driver = make_driver(4, copy_timeout_ms=60_000)
    put_and_lose_one(driver)
    driver.disks_full = True
    asked_ms: list[int] = []
    for _ in range(65):
        before = len(driver.told(CopyChunk))
        driver.run(1_000)
        asked_ms += [driver.now_ms] * (len(driver.told(CopyChunk)) - before)
    waits_s = [(later_ms - earlier_ms) // 1000 for earlier_ms, later_ms in pairwise(asked_ms)]
    assert len(waits_s) == 3, waits_s
    assert 5 <= waits_s[0] <= 11 and 10 <= waits_s[1] <= 16 and 20 <= waits_s[2] <= 26, waits_s
    driver.disks_full = False
    driver.run(50_000)
    assert driver.replicas("a") == [3]


def test_a_copy_that_is_never_confirmed_is_ordered_anew_after_its_time(make_driver: MakeDriver) -> None:
    driver = make_driver(5, copy_timeout_ms=20_000)
    chunk_id, deaf = put_and_lose_one(driver)
    driver.ignored = (CopyChunk,)
    driver.run(15_000)
    assert driver.namenode.status(driver.now_ms).healing == 1
    driver.ignored = ()
    driver.run(40_000)
    assert driver.replicas("a") == [3]
    assert sum(chunk_id in node.chunks for node in deaf) == 1


def test_a_lost_reply_is_sent_again_with_the_repeated_heartbeat(make_driver: MakeDriver) -> None:
    driver = make_driver(4)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver.run(9_000)
    for _ in range(12):
        driver.now_ms += 1_000
        for node in driver.nodes.values():
            if node.works:
                driver.beat(node, lose_reply=True)
        driver.namenode.check_invariants()
    assert driver.replicas("a") == [3] * 6


def test_surplus_goes_from_the_most_crowded_host(make_driver: MakeDriver) -> None:
    driver = make_driver(0)
    for host in ("rack-a", "rack-a", "rack-b", "rack-c"):
        driver.add_node(host)
    driver.run(3_000)
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    assert len({driver.nodes[node_id].host for node_id in driver.holders(chunk_id)}) == 3
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.run(10_000)
    holders = driver.holders(chunk_id)
    assert len(holders) == 3
    assert len({driver.nodes[node_id].host for node_id in holders}) == 3


def test_surplus_waits_while_a_holder_is_uncertain(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    driver[1].kill()
    driver.run(4_000)
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.run(3_000)
    assert not driver.told(DeleteChunk)


def test_a_delete_is_sent_until_it_is_confirmed_and_counts_at_once(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.run(1_000)
    driver.ignored = (DeleteChunk,)
    driver.run(5_000)
    orders = [node_id for node_id, _ in driver.told(DeleteChunk)]
    assert len(orders) >= 4
    assert len(set(orders)) == 1, "one replica is surplus, and only one is ordered to go"
    (chunk,) = driver.namenode.info(driver.now_ms, "a", None).chunks
    assert len(chunk.replicas) == 3
    assert orders[0] not in chunk.replicas
    driver.ignored = ()
    driver.run(3_000)
    assert driver.replicas("a") == [3]


def test_a_new_process_is_not_told_of_its_predecessors_deletes_before_it_reported(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.ignored = (DeleteChunk,)
    driver.run(4_000)
    for node in driver.nodes.values():
        node.kill()
        node.start()
    driver.ignored = ()
    driver.run(10_000)
    assert driver.replicas("a") == [3]


def test_a_sent_delete_is_not_taken_back_but_one_still_unsent_is(driver: Driver) -> None:
    driver.put("a", b"once", replication=1)
    driver.run(2_000)
    driver.ignored = (DeleteChunk,)
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    while not driver.told(DeleteChunk):
        driver.run(1_000)
    told = {node_id for node_id, _ in driver.told(DeleteChunk)}
    driver.now_ms += 1_000
    driver.namenode.tick(driver.now_ms)
    (chunk,) = driver.namenode.info(driver.now_ms, "a", None).chunks
    assert len(chunk.replicas) < len(driver.nodes) - len(told), "one more delete is ordered and not yet sent"
    lease = driver.begin("b", b"once")
    driver.namenode.allocate(driver.now_ms, lease, [key_of(b"once")], [])
    driver.namenode.check_invariants()
    (chunk,) = driver.namenode.info(driver.now_ms, "a", None).chunks
    assert set(chunk.replicas) == set(driver.nodes) - told


def test_no_surplus_is_trimmed_while_an_upload_relies_on_it(driver: Driver) -> None:
    driver.put("a", b"once", replication=1)
    driver.run(2_000)
    lease = driver.begin("b", b"once", replication=1)
    driver.send(lease, b"once")
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.run(5_000)
    assert not driver.told(DeleteChunk)
    driver.namenode.abandon(driver.now_ms, lease)
    driver.run(5_000)
    assert driver.replicas("a") == [1]


def test_a_replica_being_deleted_stays_so_through_a_report_of_the_same_process(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.ignored = (DeleteChunk,)
    driver.run(4_000)
    ((doomed, _), *_) = driver.told(DeleteChunk)
    reports = driver.nodes[doomed].reports
    driver.nodes[doomed].chunks[key_of(b"stray").id] = 5
    driver.beat(driver.nodes[doomed])
    assert driver.nodes[doomed].reports == reports + 1
    (chunk,) = driver.namenode.info(driver.now_ms, "a", None).chunks
    assert doomed not in chunk.replicas


def test_a_new_process_starts_with_a_clean_slate(driver: Driver) -> None:
    """No delete before its report; afterwards its replica counts again, if it is needed by then."""
    driver.put("a", b"once")
    driver.run(2_000)
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.ignored = (DeleteChunk,)
    driver.run(4_000)
    ((doomed, _), *_) = driver.told(DeleteChunk)
    node = driver.nodes[doomed]
    node.start()
    driver.namenode.register(driver.now_ms, node.registration())
    reply = driver.namenode.heartbeat(driver.now_ms, node.heartbeat())
    assert not any(isinstance(command, DeleteChunk) for command in reply.commands)
    next(other for other in driver.nodes.values() if other is not node).kill()
    driver.run(1_000)
    for page in node.pages():
        driver.namenode.full_report(driver.now_ms, page)
    (chunk,) = driver.namenode.info(driver.now_ms, "a", None).chunks
    assert doomed in chunk.replicas


def test_a_restarted_target_is_asked_again_at_once(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", b"once", replication=2)
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    (spare,) = (node for node in driver.nodes.values() if chunk_id not in node.chunks)
    driver.ignored = (CopyChunk,)
    driver.nodes[driver.holders(chunk_id)[0]].kill()
    driver.run(12_000)
    assert driver.told(CopyChunk)
    driver.ignored = ()
    spare.start()
    driver.run(5_000)
    assert driver.replicas("a") == [2]


def test_a_target_that_goes_down_is_replaced_without_waiting_for_the_copy(make_driver: MakeDriver) -> None:
    driver = make_driver(5, mass_failure_share=1.0)
    driver.put("a", b"once", replication=2)
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    driver.ignored = (CopyChunk,)
    driver.nodes[driver.holders(chunk_id)[0]].kill()
    driver.run(12_000)
    ((target, _),) = driver.told(CopyChunk)
    driver.nodes[target].kill()
    driver.ignored = ()
    driver.run(14_000)
    assert driver.replicas("a") == [2]


def test_copies_spread_over_hosts(make_driver: MakeDriver) -> None:
    driver = make_driver(0, mass_failure_share=1.0)
    for host in ("rack-a", "rack-a", "rack-b", "rack-b", "rack-c", "rack-c"):
        driver.add_node(host)
    driver.run(3_000)
    for number in range(8):
        driver.put(f"a{number}", bytes([number]))
    driver.run(2_000)
    driver[1].kill()
    driver.run(20_000)
    for number in range(8):
        (chunk_id,) = driver.chunk_ids(f"a{number}")
        assert len({driver.nodes[node_id].host for node_id in driver.holders(chunk_id)}) == 3


def test_a_node_whose_inventory_is_unknown_is_not_copied_to(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", b"once")
    driver.run(2_000)
    driver[1].kill()
    driver.run(12_000)
    driver.ignored = (SendFullReport,)
    driver.add_node()
    driver.run(5_000)
    assert not driver.told(CopyChunk)
    driver.ignored = ()
    driver.run(12_000)
    assert driver.replicas("a") == [3]


def test_sources_are_tried_best_first(make_driver: MakeDriver) -> None:
    driver = make_driver(5)
    driver.put("a", bytes(range(80)))
    driver.run(2_000)
    driver[2].kill()
    driver.run(4_000)
    driver.namenode.set_wish(driver.now_ms, "op-drain", "sn-01", "draining")
    driver.run(3_000)
    order = {"sn-01": 2, "sn-02": 1, "sn-03": 0, "sn-04": 0, "sn-05": 0}
    sources = [[order[ref.name] for ref in command.sources] for _, command in driver.told(CopyChunk)]
    assert all(ranks == sorted(ranks) for ranks in sources)
    assert any(len(set(ranks)) > 1 for ranks in sources)


# --- Garbage --------------------------------------------------------------------------------------------------------


def test_purged_content_is_removed_after_its_grace(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=20_000, trash_retention_ms=30_000)
    driver.put("a", TEXT)
    driver.put("kept", b"kept")
    driver.run(2_000)
    driver.namenode.delete(driver.now_ms, "op-delete", "a")
    driver.run(28_000)
    assert driver.namenode.status(driver.now_ms).trash == 1
    driver.run(14_000)
    status = driver.namenode.status(driver.now_ms)
    assert (status.trash, status.chunks) == (0, 1)
    assert status.garbage_bytes == 3 * len(TEXT)
    driver.run(25_000)
    assert driver.namenode.status(driver.now_ms).garbage_bytes == 0
    assert [len(node.chunks) for node in driver.nodes.values()].count(1) == 3, "only what is needed is left"
    assert driver.replicas("kept") == [3]


def test_an_abandoned_upload_becomes_garbage_and_a_new_one_saves_it(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=20_000)
    lease = driver.begin("a", TEXT)
    driver.send(lease, TEXT)
    driver.run(30_000)
    assert driver.namenode.status(driver.now_ms).garbage_bytes == 0, "a lease holds it"
    driver.namenode.abandon(driver.now_ms, lease)
    driver.run(15_000)
    assert driver.namenode.status(driver.now_ms).garbage_bytes == 3 * len(TEXT)
    again = driver.begin("b", TEXT)
    request = driver.send(again, TEXT)
    assert all(stored.nodes == () for stored in request.chunks), "it is all there already"
    driver.run(30_000)
    driver.namenode.commit(driver.now_ms, request)
    driver.run(30_000)
    assert driver.replicas("b") == [3] * 6


def test_content_that_is_being_removed_can_be_stored_again(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=5_000)
    lease = driver.begin("a", TEXT)
    driver.send(lease, TEXT)
    driver.run(2_000)
    driver.namenode.abandon(driver.now_ms, lease)
    driver.run(12_000)
    assert not any(node.chunks for node in driver.nodes.values())
    driver.put("a", TEXT)
    driver.run(3_000)
    assert driver.replicas("a") == [3] * 6


# --- Corruption -----------------------------------------------------------------------------------------------------


def test_a_corrupt_replica_is_replaced_counted_and_told_of(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    victim = driver.nodes[driver.holders(chunk_id)[0]]
    victim.spoil(chunk_id)
    driver.run(5_000)
    assert driver.replicas("a") == [3]
    status = driver.namenode.status(driver.now_ms)
    assert status.corrupt == 1
    assert driver.namenode.node(driver.now_ms, victim.id).node.corrupt == 1
    (event,) = [event for event in driver.namenode.events(driver.now_ms, 0) if "corrupt" in event.text]
    assert (event.node, event.artifact, event.severity) == (victim.id, "a", "warning")


def test_the_last_replica_gone_is_told_of_as_lost_and_found_again(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", b"once", replication=1)
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    holder = driver.nodes[driver.holders(chunk_id)[0]]
    holder.kill()
    driver.run(15_000)
    assert driver.namenode.status(driver.now_ms).missing == 1
    assert driver.namenode.artifacts(driver.now_ms, "")[0].health == "lost"
    assert any("without a replica" in text and "'a'" in text for text in driver.texts())
    holder.start()
    driver.run(5_000)
    assert driver.namenode.status(driver.now_ms).missing == 0
    assert driver.namenode.artifacts(driver.now_ms, "")[0].health == "ok"


# --- Many at once ---------------------------------------------------------------------------------------------------


def test_healing_waits_when_many_vanish_together_and_says_why(make_driver: MakeDriver) -> None:
    driver = make_driver(5)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver[2].kill()
    driver.run(30_000)
    status = driver.namenode.status(driver.now_ms)
    assert "2 of 5 storage nodes vanished together" in status.healing_waits
    assert status.healing == 0
    assert not driver.told(CopyChunk)
    driver.run(120_000)
    assert driver.namenode.status(driver.now_ms).healing_waits == ""
    assert driver.replicas("a") == [3] * 6
    assert "healing goes on" in driver.texts()


def test_healing_goes_on_when_enough_are_back(make_driver: MakeDriver) -> None:
    driver = make_driver(5)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver[2].kill()
    driver.run(15_000)
    driver[1].start()
    driver.run(15_000)
    assert driver.namenode.status(driver.now_ms).healing_waits == ""
    assert driver.replicas("a") == [3] * 6


@pytest.mark.parametrize("wish", ["failed", "draining"])
def test_a_delete_never_relies_on_a_node_that_does_not_count(driver: Driver, wish: str) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.namenode.set_wish(driver.now_ms, "op-wish", driver.holders(chunk_id)[0], wish)  # type: ignore[arg-type]
    driver.run(5_000)
    assert not driver.told(DeleteChunk)
