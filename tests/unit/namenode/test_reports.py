"""Registrations, heartbeats and full reports: lost, doubled, late, or from the wrong directory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import DirectoryFailure, ReadOnly
from core.model import (
    BeginAnew,
    ChunkKey,
    Command,
    CopyChunk,
    DeleteChunk,
    FullReport,
    GiveUp,
    SendFullReport,
    StopServing,
)
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import CLUSTER_ID, Driver, FakeNode, key_of


def test_nodes_get_their_names_in_the_order_in_which_they_join(driver: Driver) -> None:
    rows = driver.namenode.nodes(driver.now_ms)
    assert [(row.name, row.id, row.state) for row in rows] == [
        (f"sn-{number:02d}", f"node-{number:04d}", "up") for number in range(1, 5)
    ]
    assert driver[1].cluster_id == CLUSTER_ID


def test_a_machine_is_told_of_its_own_nodes(driver: Driver) -> None:
    beside = driver.add_node(host="host-1")
    driver.run(3_000)
    own = driver.namenode.nodes_of(driver.now_ms, "host-1")
    assert [node.id for node in own] == ["node-0001", beside.id]
    assert own == [node for node in driver.namenode.nodes(driver.now_ms) if node.host == "host-1"]
    assert driver.namenode.nodes_of(driver.now_ms, "another") == []


def test_a_node_of_another_cluster_is_refused_and_told_of_once(driver: Driver) -> None:
    stranger = FakeNode("stranger", "host-9", cluster_id="deadbeef-1111", directory="/data/elsewhere")
    for _ in range(3):
        with pytest.raises(DirectoryFailure) as refusal:
            driver.namenode.register(driver.now_ms, stranger.registration())
    for word in ("/data/elsewhere", "deadbeef", CLUSTER_ID[:8], "empty directory"):
        assert word in refusal.value.message
    assert sum("/data/elsewhere" in text for text in driver.texts()) == 1
    assert len(driver.namenode.nodes(driver.now_ms)) == 4


def test_a_node_that_has_met_a_later_namenode_shows_that_the_catalog_is_an_older_copy(driver: Driver) -> None:
    """Nothing is acknowledged under it, for it would be gone with the copy."""
    driver.put("a", b"content")
    epoch = driver.namenode.status(driver.now_ms).epoch
    node = driver[1]
    node.start()
    driver.namenode.register(driver.now_ms, replace(node.registration(), epoch=epoch))
    assert driver.namenode.status(driver.now_ms).read_only == "", "it has met this one"
    late = FakeNode("late", "host-9", cluster_id=CLUSTER_ID, directory="/data/late")
    late.start()
    for _ in range(2):
        with pytest.raises(
            ReadOnly, match=f"is an older copy: its NameNode is number {epoch}, .* met number {epoch + 3}"
        ):
            driver.namenode.register(driver.now_ms, replace(late.registration(), epoch=epoch + 3))
    assert len(driver.namenode.nodes(driver.now_ms)) == 4, "not one joins that is not known"
    with pytest.raises(ReadOnly, match="put the right catalog back"):
        driver.put("b", b"more")
    with pytest.raises(ReadOnly):
        driver.namenode.delete(driver.now_ms, "op-late", "a")
    assert sum("is an older copy" in text for text in driver.texts()) == 1
    assert driver.namenode.history(driver.now_ms, "a")


def test_the_copy_of_a_directory_that_is_refused_says_nothing_of_the_catalog(driver: Driver) -> None:
    """It may be of a rehearsal in which the catalog was restored, far ahead of this one."""
    copy = FakeNode(driver[1].id, "host-9", cluster_id=CLUSTER_ID, directory="/data/copy")
    copy.incarnation = "copy#1"
    with pytest.raises(DirectoryFailure, match="is a copy of that of sn-01"):
        driver.namenode.register(driver.now_ms, replace(copy.registration(), epoch=1_000))
    assert driver.namenode.status(driver.now_ms).read_only == ""


def test_a_namenode_that_only_reads_orders_no_copy(driver: Driver) -> None:
    driver.put("a", b"content")
    session = driver.namenode._state.members[driver[1].id].session
    session.outbox += [CopyChunk(key_of(b"content"), ()), SendFullReport()]
    driver.namenode._state.catalog.writer.stopped = "It only reads."
    reply = driver.namenode.heartbeat(driver.now_ms, driver[1].heartbeat())
    assert reply.commands == (SendFullReport(),), "it must know what there is to read"


def test_a_node_of_another_cluster_has_met_none_of_this_one(driver: Driver) -> None:
    stranger = FakeNode("stranger", "host-9", cluster_id="deadbeef-1111", directory="/data/elsewhere")
    with pytest.raises(DirectoryFailure):
        driver.namenode.register(driver.now_ms, replace(stranger.registration(), epoch=1_000))
    assert driver.namenode.status(driver.now_ms).read_only == ""


def test_a_copied_directory_is_refused_while_the_original_is_up(driver: Driver) -> None:
    copy = FakeNode(driver[1].id, "host-9", cluster_id=CLUSTER_ID, directory="/data/copy")
    copy.incarnation = "copy#1"
    with pytest.raises(DirectoryFailure, match="is a copy of that of sn-01"):
        driver.namenode.register(driver.now_ms, copy.registration())
    assert any("is a copy of" in text for text in driver.texts())
    driver[1].kill()
    driver.run(5_000)
    assert driver.namenode.register(driver.now_ms, copy.registration()).name == "sn-01"
    assert driver.namenode.nodes(driver.now_ms)[0].host == "host-9"


def test_a_new_process_supersedes_and_the_old_one_is_told_to_give_up(driver: Driver) -> None:
    old = driver[1].heartbeat()
    driver[1].start()
    driver.run(1_000)
    assert driver.namenode.heartbeat(driver.now_ms, old).commands == (GiveUp(),)
    registration = replace(driver[1].registration(), incarnation=old.incarnation)
    with pytest.raises(DirectoryFailure, match="newer process"):
        driver.namenode.register(driver.now_ms, registration)


def test_an_unknown_node_or_incarnation_is_asked_to_register(driver: Driver) -> None:
    beat = driver[1].heartbeat()
    assert not driver.namenode.heartbeat(driver.now_ms, replace(beat, node_id="nobody")).known
    assert not driver.namenode.heartbeat(driver.now_ms, replace(beat, incarnation="never seen")).known


def test_the_first_heartbeat_is_answered_with_a_wish_for_a_full_report(make_driver: MakeDriver) -> None:
    driver = make_driver(0)
    node = driver.add_node()
    driver.namenode.register(driver.now_ms, node.registration())
    reply = driver.namenode.heartbeat(driver.now_ms, node.heartbeat())
    assert SendFullReport() in reply.commands


def test_a_node_that_shows_it_obeys_an_earlier_namenode_takes_nothing_new(driver: Driver) -> None:
    """Seed 10011507: its registration and heartbeat were late copies; it went on with a NameNode that was replaced, and
    deleted for that one what clients stored here."""
    driver.restart_namenode()
    epoch = driver.namenode.status(driver.now_ms).epoch
    for node in driver.nodes.values():
        driver.namenode.register(driver.now_ms, node.registration())
        beat = replace(node.heartbeat(), epoch=epoch - (node.id == "node-0001"))
        assert driver.namenode.heartbeat(driver.now_ms, beat).known == (node.id != "node-0001")
    for page in driver[1].pages():
        driver.namenode.full_report(driver.now_ms, page)
    lease = driver.begin("a", b"data", replication=4)
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"data")], []).chunks
    assert sorted(ref.id for ref in allocation.targets) == ["node-0002", "node-0003", "node-0004"]
    driver.namenode.heartbeat(driver.now_ms, replace(driver[1].heartbeat(), epoch=epoch))
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"more")], []).chunks
    assert len(allocation.targets) == 4


def test_registering_twice_is_harmless(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    before = driver.namenode.status(driver.now_ms)
    for _ in range(2):
        driver.namenode.register(driver.now_ms, driver[1].registration())
    driver.namenode.check_invariants()
    assert driver.namenode.status(driver.now_ms) == before


def test_a_repeated_heartbeat_is_applied_once(driver: Driver) -> None:
    driver.put("a", b"once")
    for node in driver.nodes.values():
        driver.beat(node, double=True)
        driver.namenode.check_invariants()
    reports = [node.reports for node in driver.nodes.values()]
    driver.run(3_000)
    assert [node.reports for node in driver.nodes.values()] == reports, "digests agree, so nobody was asked"


def test_a_late_heartbeat_is_not_applied_after_a_newer_one(driver: Driver) -> None:
    key = key_of(b"stray")
    driver[1].store(key)
    late = driver[1].heartbeat()
    driver[1].drop(key.id)
    driver.beat(driver[1])
    driver.namenode.heartbeat(driver.now_ms, late)
    driver.namenode.check_invariants()
    driver.run(12_000)
    assert driver.namenode.nodes(driver.now_ms)[0].chunks == 0


def test_lost_changes_show_in_the_digest_and_a_full_report_mends_them(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    victim = driver.nodes[driver.holders(chunk_id)[0]]
    reports = victim.reports
    del victim.chunks[chunk_id]
    driver.run(5_000)
    assert victim.reports == reports + 1
    assert driver.replicas("a") == [3]


def test_a_full_report_that_does_not_come_is_asked_for_again_after_a_while(driver: Driver) -> None:
    driver.run(2_000)
    driver[1].chunks[key_of(b"stray").id] = 5
    asked = []
    for _ in range(25):
        driver.now_ms += 1_000
        reply = driver.namenode.heartbeat(driver.now_ms, driver[1].heartbeat())
        asked.append(SendFullReport() in reply.commands)
    assert asked.count(True) == 3
    assert asked[0]


def test_pages_may_come_doubled_and_in_any_order(driver: Driver) -> None:
    driver.put("a", bytes(range(40)))
    driver.run(2_000)
    node = max(driver.nodes.values(), key=lambda node: len(node.chunks))
    node.page_chunks = 3
    pages = node.pages()
    assert len(pages) > 2
    for page in [*reversed(pages), pages[0], *pages]:
        driver.namenode.full_report(driver.now_ms, page)
        driver.namenode.check_invariants()
    reports = node.reports
    driver.run(3_000)
    assert node.reports == reports
    assert set(driver.replicas("a")) == {3}


def test_pages_of_two_reports_are_not_mixed(driver: Driver) -> None:
    keys = [key_of(bytes([number])) for number in range(4)]
    for key in keys[:2]:
        driver[1].store(key)
    driver.beat(driver[1])

    def page(report: int, index: int, *chunks: ChunkKey) -> FullReport:
        return FullReport(driver[1].id, driver[1].incarnation, report, index, 2, chunks)

    driver.namenode.full_report(driver.now_ms, page(10, 0, keys[2]))
    driver.namenode.full_report(driver.now_ms, page(11, 1, keys[1]))
    driver.namenode.full_report(driver.now_ms, page(10, 1, keys[3]))
    driver.namenode.full_report(driver.now_ms, page(11, 0, keys[0]))
    driver.namenode.check_invariants()
    reports = driver[1].reports
    driver.run(3_000)
    assert driver[1].reports == reports, "the whole of report 11 agrees with the digest"


def test_what_changed_while_a_report_was_on_its_way_is_not_lost(driver: Driver) -> None:
    """The snapshot is taken, a chunk arrives and is told of by heartbeat, and only then the report comes in."""
    driver[1].chunks[key_of(b"stray").id] = 5
    driver.now_ms += 1_000
    reply = driver.namenode.heartbeat(driver.now_ms, driver[1].heartbeat())
    assert SendFullReport() in reply.commands
    pages = driver[1].pages()
    driver[1].store(key_of(b"late"))
    driver.namenode.heartbeat(driver.now_ms + 500, driver[1].heartbeat())
    for page in pages:
        driver.namenode.full_report(driver.now_ms + 600, page)
    driver.run(2_000)
    assert driver[1].reports == 1 + 1, "the one at its start and the one asked for"
    assert driver.namenode.nodes(driver.now_ms)[0].chunks == 2


def test_a_report_of_an_old_process_is_ignored(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    node = driver.nodes[driver.holders(chunk_id)[0]]
    stale = replace(node.pages()[0], chunks=(), report=99)
    node.start()
    driver.beat(node)
    driver.namenode.full_report(driver.now_ms, stale)
    assert len(driver.namenode.info(driver.now_ms, "a", None).chunks[0].replicas) == 3


# --- Failing and recovering -----------------------------------------------------------------------------------------


def test_failing_takes_effect_at_once_and_the_node_is_told_to_stop(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    node_id = driver.holders(chunk_id)[0]
    row = driver.namenode.set_wish(driver.now_ms, "op-fail", node_id, "failed")
    assert (row.state, row.reason) == ("failed", "failed by an operator; recover it to bring it back")
    assert driver.namenode.status(driver.now_ms).under_replicated == 1
    assert driver.namenode.heartbeat(driver.now_ms, driver.nodes[node_id].heartbeat()).commands == (StopServing(),)
    driver.run(15_000)
    assert not driver.nodes[node_id].serving
    assert driver.replicas("a") == [3]
    assert any("was failed by an operator" in text for text in driver.texts())


def test_a_restarted_process_of_a_failed_node_stays_failed(driver: Driver) -> None:
    driver.namenode.set_wish(driver.now_ms, "op-fail", "sn-01", "failed")
    driver[1].start()
    driver.run(3_000)
    assert not driver[1].serving
    assert driver.namenode.nodes(driver.now_ms)[0].state == "failed"


def test_recovering_brings_a_node_and_its_replicas_back(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    driver.namenode.set_wish(driver.now_ms, "op-fail", "sn-01", "failed")
    driver.run(20_000)
    driver.namenode.set_wish(driver.now_ms, "op-recover", "sn-01", "none")
    driver[1].serving = True
    driver.run(6_000)
    assert driver.namenode.nodes(driver.now_ms)[0].state == "up"
    assert driver.replicas("a") == [3]
    assert any("was recovered by an operator" in text for text in driver.texts())


def test_a_repeated_wish_is_applied_once(driver: Driver) -> None:
    driver.namenode.set_wish(driver.now_ms, "op-fail", "sn-01", "failed")
    driver.namenode.set_wish(driver.now_ms, "op-recover", "sn-01", "none")
    row = driver.namenode.set_wish(driver.now_ms, "op-fail", "sn-01", "failed")
    assert row.state == "up", "the doubled call came late and changes nothing"


def test_rates_come_from_the_counters_of_heartbeats(driver: Driver) -> None:
    for second in range(4):
        driver.now_ms += 1_000
        beat = replace(driver[1].heartbeat(), read_bytes=second * 500, written_bytes=second * 1_500)
        driver.namenode.heartbeat(driver.now_ms, beat)
    row = driver.namenode.nodes(driver.now_ms)[0]
    assert row.read_bytes_per_s > 0
    assert row.write_bytes_per_s == 3 * row.read_bytes_per_s


@pytest.mark.parametrize("age", [1, 2])
def test_a_heartbeat_that_comes_again_late_takes_no_order_away(driver: Driver, age: int) -> None:
    """Simulation, seed 70: the answer to a call from long ago, which nobody waits for, carried the node's orders."""
    version = driver.put("a", b"once")
    assert version.chunks == 1
    (chunk_id,) = driver.chunk_ids("a")
    spare = next(node for node in driver.nodes.values() if chunk_id not in node.chunks)
    late = spare.heartbeat()
    driver.namenode.heartbeat(driver.now_ms, late)
    for _ in range(age - 1):
        driver.namenode.heartbeat(driver.now_ms, spare.heartbeat())
    driver.nodes[driver.holders(chunk_id)[0]].kill()
    for _ in range(20):  # the others beat, so that only the one that died goes down
        driver.now_ms += 1_000
        for node in driver.nodes.values():
            if node.works and node is not spare:
                driver.beat(node)
        driver.namenode.heartbeat(driver.now_ms, late)
        driver.namenode.tick(driver.now_ms)
    told = driver.namenode.heartbeat(driver.now_ms, spare.heartbeat()).commands
    assert [command.chunk.id for command in told if isinstance(command, CopyChunk)] == [chunk_id]


# --- Nodes that were given up -----------------------------------------------------------------------------------


def ordered_to_delete(driver: Driver) -> tuple[FakeNode, str]:
    """A node that was ordered to delete a surplus replica, and has not done it."""
    driver.put("a", b"once")
    (chunk_id,) = driver.chunk_ids("a")
    driver.run(2_000)
    away = driver.nodes[driver.holders(chunk_id)[0]]
    away.serving = False
    driver.run(20_000)
    assert driver.replicas("a") == [3]
    driver.ignored = (DeleteChunk,)
    away.serving = True
    driver.run(5_000)
    (victim_id,) = {node_id for node_id, _ in driver.told(DeleteChunk)}
    return driver.nodes[victim_id], chunk_id


def test_a_node_that_was_given_up_takes_back_what_it_was_to_delete(driver: Driver) -> None:
    """It may have been stopped with the order in hand; by now its replica is the last one."""
    victim, chunk_id = ordered_to_delete(driver)
    victim.serving = False
    driver.run(15_000)
    assert driver.namenode.node(driver.now_ms, victim.id).node.state == "down"
    for node in driver.nodes.values():
        if node is not victim:
            node.kill()
    driver.ignored = ()
    victim.serving = True
    victim.told.clear()
    driver.run(20_000)
    assert isinstance(victim.told[0], BeginAnew)
    assert not driver.told(DeleteChunk) or all(node_id != victim.id for node_id, _ in driver.told(DeleteChunk))
    assert driver.holders(chunk_id) == [victim.id]
    assert driver.namenode.info(driver.now_ms, "a", None).chunks[0].replicas == (victim.id,)


def test_it_is_told_until_it_has_begun_anew(driver: Driver) -> None:
    victim, _ = ordered_to_delete(driver)
    victim.serving = False
    driver.run(15_000)
    for _ in range(3):
        driver.now_ms += 1_000
        assert driver.namenode.heartbeat(driver.now_ms, victim.heartbeat()).commands == (BeginAnew(),)
    driver.ignored = ()
    victim.serving = True
    driver.run(15_000)
    assert driver.replicas("a") == [3]
    assert driver.namenode.status(driver.now_ms).chunks == 1


def test_a_namenode_that_was_busy_for_long_has_nobody_begin_anew(driver: Driver) -> None:
    ordered_to_delete(driver)
    driver.now_ms += 60_000
    driver.run(15_000)
    assert not driver.told(BeginAnew)
    driver.ignored = ()
    driver.run(2_000)
    assert driver.replicas("a") == [3]


def test_a_report_that_was_long_on_its_way_lets_no_replica_be_deleted(make_driver: MakeDriver) -> None:
    """It tells of a replica that was deleted since; as one more than wanted that would cost the real one."""
    driver = make_driver(3)
    driver.put("a", b"data", replication=2)
    driver.run(3_000)
    before = driver.holders(key_of(b"data").id)
    late = {node.id: node.pages() for node in driver.nodes.values()}
    driver.namenode.set_replication(driver.now_ms, "operation-replicate", "a", 1)
    driver.run(5_000)
    (last,) = driver.holders(key_of(b"data").id)
    (trimmed,) = set(before) - {last}
    for page in late[trimmed]:
        driver.namenode.full_report(driver.now_ms, page)
    assert trimmed not in driver.namenode._state.redundancy.chunks[key_of(b"data").id].replicas
    for page in late[trimmed]:  # one of a release that does not say when it was made
        driver.namenode.full_report(driver.now_ms, replace(page, sequence=None))
    driver.now_ms += 1_000
    for node in driver.nodes.values():
        if node.id != trimmed:
            driver.beat(node)
    driver.namenode.tick(driver.now_ms)
    driver.beat(driver.nodes[last])
    driver.run(10_000)
    assert driver.holders(key_of(b"data").id) == [last]


@pytest.mark.parametrize("failed_before", [False, True])
def test_a_heartbeat_that_was_long_on_its_way_lets_no_replica_be_deleted(
    make_driver: MakeDriver, failed_before: bool
) -> None:
    """Its node died with its disk, and was healed around. Now it looks alive once more."""
    driver = make_driver(5)
    driver.put("a", b"data", replication=2)
    driver.run(3_000)
    dead, _ = driver.holders(key_of(b"data").id)
    if failed_before:
        driver.namenode.set_wish(driver.now_ms, "operation-fail", dead, "failed")
        driver.run(30_000)
        driver.namenode.set_wish(driver.now_ms, "operation-recover", dead, "none")
        driver.nodes[dead].serving = True
    late = driver.nodes[dead].heartbeat()
    driver.nodes[dead].kill()
    driver.run(20_000)
    driver.namenode.set_replication(driver.now_ms, "operation-replicate", "a", 1)
    driver.run(5_000)
    (last,) = driver.holders(key_of(b"data").id)
    driver.namenode.heartbeat(driver.now_ms, late)
    driver.run(10_000, step_ms=200)
    assert driver.holders(key_of(b"data").id) == [last]


def test_a_node_whose_changes_take_several_heartbeats_is_asked_for_all_when_it_was_silent(driver: Driver) -> None:
    """The digests agree from the first of them on, for they are of what was told."""
    driver.run(2_000)
    node, others = driver[1], [driver[2].id, driver[3].id, driver[4].id]
    for content in (b"once", b"more"):
        driver.namenode.commit(
            driver.now_ms, driver.send(driver.begin(content.decode(), content, replication=1), content, others)
        )
    node.serving = False
    driver.run(20_000)
    told, node.received, node.chunks = node.chunks, [], {}
    commands: list[Command] = []
    for _ in range(3):
        driver.now_ms += 1_000
        commands += driver.namenode.heartbeat(driver.now_ms, node.heartbeat()).commands
        assert not driver.namenode._state.members[node.id].session.verified
    assert SendFullReport() in commands
    node.chunks, node.serving = told, True
    driver.run(20_000)
    assert driver.namenode._state.members[node.id].session.verified
    assert not driver.namenode._state.members[node.id].session.incomplete


def test_a_report_to_an_earlier_namenode_is_none_to_this_one(driver: Driver) -> None:
    driver.put("a", b"data", replication=4)
    driver.run(2_000)
    early = [replace(page, report=99, epoch=driver.namenode.status(driver.now_ms).epoch) for page in driver[1].pages()]
    driver[1].drop(key_of(b"data").id)
    driver.restart_namenode()
    driver.ignored = (SendFullReport,)
    driver.run(1_000)
    for page in early:
        driver.namenode.full_report(driver.now_ms, replace(page, sequence=None))
    assert driver[1].id not in driver.namenode._state.redundancy.chunks[key_of(b"data").id].replicas
