"""Garbage: its time of grace passes over restarts, strangers get a longer one, and uploads hold what they may need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from blake3 import blake3

from core.errors import ArtifactNotFound, LeaseExpired, NotReady
from core.model import Allocation, CommitRequest, DeleteChunk, Lease, StoredChunk
from core.namenode import edits
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, key_of

TEXT = b"one two three four five!"
STRAY = key_of(b"stray")


def held(driver: Driver) -> set[str]:
    return {chunk_id for node in driver.nodes.values() for chunk_id in node.chunks}


def kinds(driver: Driver) -> dict[str, str]:
    return {entry.chunk.id: entry.kind for entry in driver.catalog.garbage()}


def leave_data(driver: Driver) -> None:
    """Let `data` be garbage from now on: a version had it that is gone."""
    driver.put("a", b"data", keep_versions=1)
    driver.put("a", b"new!", "update")


def asked_for(driver: Driver, lease: Lease) -> Allocation:
    """What an upload of `data` is told."""
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"data")], []).chunks
    return allocation


# --- Grace ----------------------------------------------------------------------------------------------------------


def test_the_time_of_grace_passes_over_restarts_of_the_namenode(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=10_000, garbage_grace_ms=120_000)
    driver.put("a", TEXT)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.run(60_000)
    assert set(kinds(driver).values()) == {"counted_down"}
    for _ in range(5):
        driver.restart_namenode()
        driver.run(20_000)
    assert held(driver) == set()
    assert kinds(driver) == {}


def test_the_time_of_grace_passes_while_nothing_runs(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=10_000)
    driver.put("a", TEXT)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.run(60_000)
    driver.now_ms += 3_600_000
    driver.restart_namenode()
    driver.run(15_000)
    assert held(driver) == set()


def test_the_catalog_knows_of_counted_down_chunks_as_soon_as_they_are(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=10_000)
    driver.put("a", TEXT)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    while driver.catalog.totals().trash:
        driver.run(1_000)
    assert set(kinds(driver)) == held(driver)


def test_a_chunk_that_nobody_knows_of_is_kept_for_a_day(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver[1].store(STRAY)
    driver.run(30 * 60_000, step_ms=2_000)
    assert STRAY.id in driver[1].chunks, "the grace of what was counted once is over"
    assert kinds(driver) == {STRAY.id: "unknown"}
    driver.now_ms += 23 * 3_600_000
    driver.restart_namenode()
    driver.run(30_000)
    assert STRAY.id in driver[1].chunks
    driver.now_ms += 3_600_000
    driver.restart_namenode()
    driver.run(30_000)
    assert STRAY.id not in driver[1].chunks
    assert kinds(driver) == {}
    assert driver.replicas("a") == [3] * 6


def test_an_upload_takes_an_unknown_chunk_into_service(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=5_000, unknown_grace_ms=60_000)
    for number in (1, 2, 3):
        driver[number].store(key_of(b"data"))
    driver.run(30_000)
    driver.put("a", b"data")
    driver.run(120_000)
    assert driver.replicas("a") == [3]
    assert kinds(driver) == {}


def test_the_chunks_of_an_abandoned_upload_are_known_although_reported_later(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=20_000)
    lease = driver.begin("a", TEXT)
    driver.send(lease, TEXT)
    driver.namenode.abandon(driver.now_ms, lease)
    driver.run(12_000)
    assert set(kinds(driver).values()) == {"counted_down"}
    driver.run(20_000)
    assert held(driver) == set()
    assert kinds(driver) == {}


def test_an_upload_that_stored_nothing_leaves_nothing_behind(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=20_000)
    lease = driver.begin("a", TEXT)
    driver.namenode.allocate(driver.now_ms, lease, [key_of(TEXT[:4])], [])
    driver.namenode.abandon(driver.now_ms, lease)
    driver.run(50_000)
    assert kinds(driver) == {}


def test_an_upload_that_wants_garbage_again_starts_its_grace_anew(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=30_000)
    leave_data(driver)
    driver.run(25_000)
    lease = driver.begin("b", b"data")
    asked_for(driver, lease)
    driver.namenode.abandon(driver.now_ms, lease)
    driver.run(25_000)
    assert len(driver.holders(key_of(b"data").id)) == 3
    driver.run(25_000)
    assert driver.holders(key_of(b"data").id) == []


def half_deleted(driver: Driver) -> tuple[str, ...]:
    """Delete one replica of `data` as garbage, and answer which nodes have one and are away: bad ones, perhaps."""
    leave_data(driver)
    driver.run(20_000)
    book = driver.namenode._state.redundancy.garbage
    garbage = book.get(key_of(b"data").id)
    assert garbage is not None
    first, *others = driver.holders(key_of(b"data").id)
    driver.run(book.goes_ms(garbage) - driver.now_ms - 5_000)
    for node_id in others:
        driver.nodes[node_id].kill()
    driver.run(8_000)
    assert key_of(b"data").id not in driver.nodes[first].chunks
    return tuple(others)


def come_back(driver: Driver, nodes: Iterable[str]) -> None:
    for node_id in nodes:
        driver.nodes[node_id].start()
    driver.run(3_000)
    assert set(nodes) <= set(driver.holders(key_of(b"data").id))


def test_what_is_left_of_garbage_that_was_being_deleted_is_no_proof_for_an_upload(make_driver: MakeDriver) -> None:
    """Seed 10006142: two replicas were bad and their nodes away, the third was deleted; no good one was there."""
    driver = make_driver(garbage_grace_ms=30_000)
    others = half_deleted(driver)
    redundancy = driver.namenode._state.redundancy
    assert sorted(redundancy.holders(redundancy.chunks[key_of(b"data").id], ("counts",))) == list(others)
    allocation = asked_for(driver, driver.begin("b", b"data"))
    assert not allocation.stored and len(allocation.targets) >= allocation.quorum


@pytest.mark.parametrize("given_up", [False, True])
def test_nor_is_it_after_a_restart_that_forgets_why(make_driver: MakeDriver, given_up: bool) -> None:
    driver = make_driver(garbage_grace_ms=30_000)
    others = half_deleted(driver)
    lease = driver.begin("b", b"data")
    assert not asked_for(driver, lease).stored
    driver.run(12_000)
    if given_up:
        driver.namenode.abandon(driver.now_ms, lease)
    driver.restart_namenode()
    come_back(driver, others)
    assert not asked_for(driver, driver.begin("c", b"data") if given_up else lease).stored


def test_nor_when_it_turns_up_after_an_upload_that_was_given_up(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=30_000)
    others = half_deleted(driver)
    driver.restart_namenode()
    driver.run(2_000)
    lease = driver.begin("b", b"data")
    assert not asked_for(driver, lease).stored
    driver.namenode.abandon(driver.now_ms, lease)
    come_back(driver, others)
    assert not asked_for(driver, driver.begin("c", b"data")).stored


@pytest.mark.parametrize(
    "meanwhile", ["nothing", "another upload", "another upload that is given up", "a restart once it was back"]
)
def test_nor_for_a_commit_that_comes_back_when_it_was_waited_for_long_enough(
    make_driver: MakeDriver, meanwhile: str
) -> None:
    """An earlier NameNode took the chunk for stored, rightly; this one had a replica deleted since."""
    driver = make_driver(garbage_grace_ms=30_000)
    leave_data(driver)
    driver.run(25_000)
    lease = driver.begin("b", b"data")
    assert asked_for(driver, lease).stored
    first, *others = driver.holders(key_of(b"data").id)
    driver.restart_namenode()  # before the catalog hears that the chunk is garbage no more
    for node_id in others:
        driver.nodes[node_id].kill()
    driver.run(40_000)
    assert key_of(b"data").id not in driver.nodes[first].chunks
    if meanwhile.startswith("a restart"):
        driver.namenode.allocate(driver.now_ms, lease, [key_of(b"more")], [])
        lease = replace(lease, renewed_ms=driver.now_ms)
        driver.restart_namenode()
    elif meanwhile != "nothing":
        another = driver.begin("c", b"data")
        assert not asked_for(driver, another).stored
        if meanwhile.endswith("given up"):
            driver.namenode.abandon(driver.now_ms, another)
    for node_id in others:
        driver.nodes[node_id].start()
    driver.run(1_000)
    request = CommitRequest(lease, 4, blake3(b"data").hexdigest(), (StoredChunk(key_of(b"data"), ()),))
    with pytest.raises(LeaseExpired, match="no longer held; start it again"):
        driver.namenode.commit(driver.now_ms, request)


def test_an_upload_that_goes_on_over_a_restart_keeps_the_garbage_that_it_uses_again(make_driver: MakeDriver) -> None:
    """The catalog has not heard that it is none any more, and by its word the time of grace is over at the commit."""
    driver = make_driver(garbage_grace_ms=60_000)
    leave_data(driver)
    driver.run(50_000)
    lease = driver.begin("b", b"datamore")
    assert asked_for(driver, lease).stored
    driver.restart_namenode()
    driver.run(2_000)
    more = driver.send(lease, b"more")
    driver.run(25_000)
    book = driver.namenode._state.redundancy.garbage
    assert book.is_due(key_of(b"data").id, driver.now_ms)
    chunks = (StoredChunk(key_of(b"data"), ()), *more.chunks)
    driver.namenode.commit(driver.now_ms, CommitRequest(more.lease, 8, blake3(b"datamore").hexdigest(), chunks))
    driver.run(60_000)
    assert driver.replicas("b") == [3, 3]


def test_an_upload_may_go_on_after_a_restart_for_longer_than_strangers_are_kept(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=20_000, unknown_grace_ms=60_000, lease_ms=30_000)
    lease = driver.begin("a", TEXT)
    stored: list[StoredChunk] = []
    for start in range(0, len(TEXT), 4):
        request = driver.send(lease, TEXT[start : start + 4])
        lease = request.lease
        stored += request.chunks
        driver.run(2_000)
        if start == 4:
            driver.restart_namenode()
        driver.run(16_000)
    assert driver.namenode._state.redundancy.garbage.is_due(stored[0].chunk.id, driver.now_ms)
    request = CommitRequest(lease, len(TEXT), blake3(TEXT).hexdigest(), tuple(stored))
    driver.namenode.commit(driver.now_ms, request)
    assert driver.replicas("a") == [3] * 6


def test_garbage_on_a_node_that_was_away_goes_when_it_is_back(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=10_000, garbage_grace_ms=20_000, unknown_grace_ms=400_000)
    driver.put("a", TEXT, replication=4)
    driver.run(2_000)
    driver[4].kill()
    driver.run(15_000)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.run(60_000)
    driver.restart_namenode()
    driver.run(60_000)
    assert [len(node.chunks) for node in driver.nodes.values()] == [0, 0, 0, 6]
    driver[4].start()
    driver.run(10_000)
    assert held(driver) == set()


def test_garbage_of_a_node_that_never_returns_is_forgotten(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=10_000, garbage_grace_ms=20_000, unknown_grace_ms=200_000)
    driver.put("a", TEXT, replication=4)
    driver.run(2_000)
    driver[4].kill()
    driver.run(15_000)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.run(40_000)
    driver.restart_namenode()
    driver.run(100_000)
    assert kinds(driver)
    driver.run(150_000)
    assert kinds(driver) == {}


def test_a_clock_that_stepped_back_does_not_keep_garbage_for_ever(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=10_000, garbage_grace_ms=60_000)
    driver.put("a", TEXT)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.run(60_000)
    driver.now_ms -= 30 * 24 * 3_600_000
    driver.restart_namenode()
    driver.run(90_000)
    assert held(driver) == set()


def test_a_counted_chunk_that_is_noted_as_garbage_is_kept_and_its_note_goes(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=1_000)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver.catalog._connection.execute("INSERT INTO garbage SELECT id, size_bytes, 1, 'counted_down' FROM chunks")
    driver.restart_namenode()
    driver.run(300_000, step_ms=5_000)
    assert driver.replicas("a") == [3] * 6
    assert kinds(driver) == {}


def test_a_counted_chunk_that_is_noted_as_garbage_can_be_counted_down(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.catalog._connection.execute("INSERT INTO garbage SELECT id, size_bytes, 1, 'unknown' FROM chunks")
    artifact = driver.catalog.live("a")
    assert artifact is not None
    driver.catalog.apply(edits.PurgeArtifact(artifact))
    driver.catalog.apply(edits.CountDown(artifact, 1, 0, driver.now_ms))
    assert {(entry.kind, entry.since_ms) for entry in driver.catalog.garbage()} == {("counted_down", driver.now_ms)}
    driver.restart_namenode()


# --- Leases of an earlier NameNode -----------------------------------------------------------------------------------


def test_garbage_waits_for_uploads_of_the_former_namenode(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=20_000, unknown_grace_ms=1_000, lease_ms=3_600_000)
    lease = driver.begin("a", TEXT)
    driver.send(lease, TEXT)
    driver.run(2_000)
    driver.restart_namenode()
    driver.run(19_000)
    assert held(driver)
    driver.run(25_000)
    assert held(driver) == set()


def test_garbage_goes_although_the_namenode_restarts_more_often_than_leases_end(make_driver: MakeDriver) -> None:
    """There are uploads under way at each restart, of clients that are gone with it."""
    driver = make_driver(garbage_grace_ms=20_000, unknown_grace_ms=1_000, lease_ms=3_600_000)
    driver[1].store(STRAY)
    for number in range(4):
        driver.send(driver.begin(f"a{number}", TEXT), TEXT)
        driver.run(60_000)
        driver.restart_namenode()
        driver.run(3_000)
    assert STRAY.id not in held(driver)
    driver.run(60_000)
    assert held(driver) == set()


def test_an_upload_the_chunks_of_which_went_after_a_restart_is_refused(make_driver: MakeDriver) -> None:
    """Also by the NameNode after that, before any node has reported to it."""
    driver = make_driver(garbage_grace_ms=20_000, unknown_grace_ms=1_000, lease_ms=3_600_000)
    request = driver.send(driver.begin("a", TEXT), TEXT)
    driver.run(2_000)
    driver.restart_namenode()
    driver.run(60_000)
    assert held(driver) == set()
    driver.restart_namenode()
    for _ in range(10):
        with pytest.raises(NotReady):
            driver.namenode.commit(driver.now_ms, request)
        driver.run(1_000)
    assert driver.namenode.artifacts(driver.now_ms, "") == []


def test_a_promise_of_a_clock_that_was_ahead_is_not_waited_for(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=45_000, unknown_grace_ms=1_000, lease_ms=30_000)
    driver.now_ms += 365 * 24 * 3_600_000
    driver.run(3_000)
    driver.send(driver.begin("a", TEXT), TEXT)
    driver.now_ms -= 365 * 24 * 3_600_000
    driver.restart_namenode()
    driver.run(40_000)
    assert held(driver), "an upload of the former NameNode may go on"
    driver.run(60_000)
    assert held(driver) == set()
    assert driver.catalog.leases_until_ms == 0


def test_nothing_is_waited_for_when_all_uploads_had_ended(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=1_000, trash_retention_ms=1_000)
    driver.put("a", TEXT)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.ignored = (DeleteChunk,)
    driver.run(60_000)
    driver.ignored = ()
    assert held(driver)
    driver.restart_namenode()
    driver.run(10_000)
    assert held(driver) == set()


def test_a_promise_reaches_as_far_as_every_lease_and_is_rarely_renewed(driver: Driver) -> None:
    promises: list[int] = []
    apply = driver.catalog.apply

    def spy(edit: edits.Edit) -> None:
        if isinstance(edit, edits.PromiseLeases):
            promises.append(edit.until_ms)
        apply(edit)

    driver.catalog.apply = spy  # type: ignore[method-assign]
    lease = driver.begin("a", TEXT)
    for _ in range(40):
        driver.now_ms += 5 * 60_000 - 1_000
        driver.run(1_000)
        lease = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"data")], []).lease
        assert driver.catalog.leases_until_ms >= lease.renewed_ms + driver.config.lease_ms
    assert len(promises) == 6, "200 minutes, and each reaches half an hour beyond the lease"
    driver.run(3_000)
    driver.namenode.abandon(driver.now_ms, lease)
    driver.run(60_000)
    assert driver.catalog.leases_until_ms == 0


def test_a_lease_that_returns_after_its_time_is_refused(make_driver: MakeDriver) -> None:
    driver = make_driver(lease_ms=30_000)
    lease = driver.begin("a", TEXT)
    driver.restart_namenode()
    driver.run(31_000)
    with pytest.raises(LeaseExpired):
        driver.namenode.allocate(driver.now_ms, lease, [key_of(b"data")], [])


# --- What is told ----------------------------------------------------------------------------------------------------


def test_the_status_says_how_much_waits_and_when_it_goes(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=10_000, garbage_grace_ms=60_000, unknown_grace_ms=600_000)
    status = driver.namenode.status(driver.now_ms)
    assert (status.garbage_due_ms, status.garbage_chunks, status.unknown_bytes) == (None, 0, 0)
    driver.put("a", TEXT)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    assert driver.namenode.status(driver.now_ms).trash_bytes == len(TEXT)
    while driver.catalog.totals().trash:
        driver.run(1_000)
    purged_ms = driver.now_ms
    driver[1].store(STRAY)
    driver.run(2_000)
    status = driver.namenode.status(driver.now_ms)
    assert (status.garbage_bytes, status.unknown_bytes, status.garbage_chunks) == (3 * len(TEXT) + 5, 5, 7)
    assert (status.garbage_due_ms, status.trash_bytes) == (purged_ms + 60_000, 0)
    driver.run(70_000)
    status = driver.namenode.status(driver.now_ms)
    assert (status.garbage_bytes, status.garbage_chunks) == (5, 1)
    assert status.garbage_due_ms is not None and status.garbage_due_ms > driver.now_ms + 500_000


# --- The trash -------------------------------------------------------------------------------------------------------


def test_a_purge_is_answered_once_and_emptied_a_version_at_a_time(driver: Driver) -> None:
    for number in range(5):
        driver.put("a", bytes([number]), "update" if number else "upload")
    driver.namenode.delete(driver.now_ms, "delete", "a")
    first = driver.namenode.purge(driver.now_ms, "purge", "a")
    assert driver.namenode.purge(driver.now_ms, "purge", "a") == first
    assert driver.namenode.trash(driver.now_ms) == []
    left = [driver.catalog.kept(1).count]
    while driver.catalog.totals().trash:
        driver.namenode.tick(driver.now_ms)
        driver.namenode.check_invariants()
        left.append(len(driver.catalog.history(1)))
    assert left == [5, 4, 3, 2, 1, 0][-len(left) :]
    assert len(kinds(driver)) == 5


def test_what_is_past_its_time_in_the_trash_cannot_come_back(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=60_000)
    driver.put("a", TEXT)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    assert [row.purge_ms for row in driver.namenode.trash(driver.now_ms)] == [driver.now_ms + 60_000]
    driver.now_ms += 60_001
    driver.restart_namenode()
    with pytest.raises(ArtifactNotFound, match="can't be undeleted"):
        driver.namenode.undelete(driver.now_ms, "undelete", "a")


def test_the_number_of_an_artifact_is_never_given_again(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.namenode.purge(driver.now_ms, "purge", "a")
    driver.run(2_000)
    assert driver.catalog.totals().trash == 0
    assert driver.catalog.free_number() == 2
