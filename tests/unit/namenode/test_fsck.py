"""The NameNode's check of all chunks: nothing wrong is left out, nothing right is told, no page is too large."""

from __future__ import annotations

import random

import pytest

from core.errors import InvalidRequest, NotReady
from core.model import ChunkFinding, DeleteChunk, FsckPage
from core.namenode import fsck
from core.namenode.catalogcheck import artifact_faults, chunk_faults, garbage_faults, table_faults
from core.namenode.fsck import LISTED_MAX
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, key_of

TEXT = b"abcdefghijkl"


def pages(driver: Driver, count: int = 1_000) -> list[FsckPage]:
    found, cursor = [], ""
    while True:
        page = driver.namenode.fsck(driver.now_ms, cursor, count)
        found.append(page)
        cursor = page.next
        if not cursor:
            return found


def findings(driver: Driver, count: int = 1_000) -> list[ChunkFinding]:
    return [finding for page in pages(driver, count) for finding in page.findings]


def test_a_healthy_cluster_has_no_findings(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.run(2_000)
    found = pages(driver)
    assert sum(page.chunks for page in found) == 3
    assert all(page == FsckPage(page.next, chunks=page.chunks) for page in found)


def test_missing_chunks_are_told_with_who_had_them_and_whose_they_are(driver: Driver) -> None:
    driver.put("a", b"once", replication=1)
    driver.put("b", b"once", replication=1)
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    (holder,) = driver.holders(chunk_id)
    driver.nodes[holder].kill()
    driver.run(15_000)
    (found,) = findings(driver)
    name = driver.namenode.node(driver.now_ms, holder).node.name
    assert (found.problem, found.chunk, found.wanted, found.replicas) == ("missing", chunk_id, 1, 0)
    assert (found.nodes, found.note) == ((name,), f"last known on {name} (down)")
    assert (found.artifacts, found.artifacts_total) == (("a", "b"), 2)
    assert [page.short for page in pages(driver) if page.missing] == [(chunk_id,)]


def test_a_chunk_that_no_node_has_is_missing(driver: Driver) -> None:
    driver.put("a", b"once", replication=1)
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    driver.nodes[driver.holders(chunk_id)[0]].spoil(chunk_id)
    driver.run(1_000)
    (found,) = findings(driver)
    assert (found.problem, found.nodes, found.note) == ("missing", (), "no node that is known had it")


def test_chunks_short_of_replicas_are_told(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver.run(15_000)
    found = findings(driver)
    assert [(item.problem, item.wanted, item.replicas, item.nodes) for item in found] == [
        ("under", 3, 2, ("sn-02", "sn-03"))
    ] * 3
    assert sum(page.under for page in pages(driver)) == 3


def test_surplus_is_told(driver: Driver) -> None:
    """One that is not trimmed at once, since an upload holds the chunk."""
    driver.put("a", b"once")
    driver.run(2_000)
    driver.send(driver.begin("b", b"once"), b"once")
    for node in driver.nodes.values():
        node.store(key_of(b"once"))
    driver.run(2_000)
    (found,) = findings(driver)
    assert (found.problem, found.wanted, found.replicas) == ("surplus", 3, 4)
    assert not driver.told(DeleteChunk)


def test_orphans_are_told_with_their_time(driver: Driver) -> None:
    driver[1].store(key_of(b"who?"))
    driver.run(1_000)
    (found,) = findings(driver)
    assert (found.problem, found.wanted, found.replicas, found.nodes) == ("orphaned", 0, 1, ("sn-01",))
    assert "unknown to the catalog" in found.note and "deleted in" in found.note
    assert sum(page.orphaned_bytes for page in pages(driver)) == 4


def test_what_an_upload_holds_is_no_orphan(driver: Driver) -> None:
    lease = driver.begin("a", TEXT)
    driver.send(lease, TEXT)
    driver.run(1_000)
    assert findings(driver) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1_000])
def test_pages_of_any_size_tell_the_same(make_driver: MakeDriver, count: int) -> None:
    driver = make_driver(3)
    rng = random.Random(3)
    driver.put("a", rng.randbytes(40))
    for _ in range(5):
        driver[2].store(key_of(rng.randbytes(4)))
    driver.run(2_000)
    driver[1].kill()
    driver.run(15_000)
    whole = pages(driver)
    cut = pages(driver, count)
    assert sum(page.chunks for page in cut) == 10
    for total in ("chunks", "missing", "under", "surplus", "orphaned", "orphaned_bytes"):
        assert sum(getattr(page, total) for page in cut) == sum(getattr(page, total) for page in whole)
    assert sorted(item.chunk for page in cut for item in page.findings) == sorted(
        item.chunk for page in whole for item in page.findings
    )
    assert all(page.chunks + page.orphaned <= 2 * count for page in cut)


def test_a_page_lists_so_many_and_counts_all(make_driver: MakeDriver) -> None:
    driver = make_driver(1, chunk_size_bytes=1)
    rng = random.Random(3)
    for _ in range(LISTED_MAX + 5):
        driver[1].store(key_of(rng.randbytes(8)))
    driver.run(2_000)
    last = pages(driver)[-1]
    assert (last.orphaned, len(last.findings)) == (LISTED_MAX + 5, LISTED_MAX)


@pytest.mark.parametrize("cursor", ["chunks", "tables:", "tables:-1", "chunks:xyz", "else:1", "chunks:" + "a" * 63])
def test_a_cursor_that_nobody_gave_is_refused(driver: Driver, cursor: str) -> None:
    if cursor == "chunks":
        cursor = "chunks: "
    with pytest.raises(InvalidRequest):
        driver.namenode.fsck(driver.now_ms, cursor, 10)


def test_nothing_is_said_before_the_reports_are_in(driver: Driver) -> None:
    driver.restart_namenode()
    with pytest.raises(NotReady):
        driver.namenode.fsck(driver.now_ms, "", 10)
    with pytest.raises(NotReady):
        driver.namenode.fsck_repair(driver.now_ms)


# --- The catalog ------------------------------------------------------------------------------------------------


def broken(driver: Driver, statement: str) -> list[str]:
    """Faults that are told after something was changed past `apply`; the change is taken back."""
    connection = driver.catalog._connection
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN")
    connection.execute(statement)
    try:
        select = driver.catalog.select
        return [*chunk_faults(select), *artifact_faults(select), *garbage_faults(select)]
    finally:
        connection.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE chunks SET refs = refs + 1 WHERE id = (SELECT min(id) FROM chunks)", "counted 2 times"),
        ("UPDATE chunks SET wanted = 5 WHERE id = (SELECT min(id) FROM chunks)", "for 5 replicas"),
        ("DELETE FROM chunks WHERE id = (SELECT max(id) FROM chunks)", "counted 0 times"),
        ("UPDATE artifacts SET newest = 2", "'a' does not have all versions"),
        ("DELETE FROM chunk_lists WHERE position = 1", "does not have the chunks"),
        ("INSERT INTO garbage SELECT id, 1, 1, 'unknown' FROM chunks LIMIT 1", "noted as garbage"),
    ],
)
def test_contradictions_in_the_catalog_are_sentences(driver: Driver, statement: str, word: str) -> None:
    driver.put("a", TEXT)
    assert any(word in fault for fault in broken(driver, statement))


def test_a_damaged_table_is_told(driver: Driver) -> None:
    driver.put("a", TEXT)
    connection = driver.catalog._connection
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("INSERT INTO versions VALUES (99, 1, 0, 0, 1, 1, '', 0)")
    assert any("name what is not there" in fault for fault in table_faults(driver.catalog.select, "versions"))
    assert any("versions" in fault for page in pages(driver) for fault in page.catalog)
    connection.execute("DELETE FROM versions WHERE artifact = 99")
    assert not any(page.catalog for page in pages(driver))


# --- Repair -----------------------------------------------------------------------------------------------------


def test_a_repair_ends_the_wait(make_driver: MakeDriver) -> None:
    driver = make_driver(5)
    driver.put("a", TEXT)
    driver.run(2_000)
    driver[1].kill()
    driver[2].kill()
    driver.run(15_000)
    assert driver.namenode.status(driver.now_ms).healing_waits
    started = driver.namenode.fsck_repair(driver.now_ms)
    assert "vanished together" in started.wait_ended
    assert driver.namenode.status(driver.now_ms).healing_waits == ""
    driver.run(5_000)
    assert driver.replicas("a") == [3] * 3
    assert any("fsck" in text for text in driver.texts())


def test_nodes_that_vanish_later_are_waited_for_again(make_driver: MakeDriver) -> None:
    driver = make_driver(8)
    for number in (1, 2, 3):
        driver[number].kill()
    driver.run(15_000)
    driver.namenode.fsck_repair(driver.now_ms)
    driver.run(70_000)
    for number in (4, 5):
        driver[number].kill()
    driver.run(15_000)
    assert driver.namenode.status(driver.now_ms).healing_waits


def test_a_repair_deletes_garbage_that_is_due_and_no_other(make_driver: MakeDriver) -> None:
    driver = make_driver(unknown_grace_ms=600_000, garbage_grace_ms=600_000)
    driver[1].store(key_of(b"old"))
    driver.run(601_000, step_ms=1_000)
    driver[1].store(key_of(b"new"))
    driver.run(1_000)
    driver.namenode.fsck_repair(driver.now_ms)
    driver.run(3_000)
    assert list(driver[1].chunks) == [key_of(b"new").id]


def test_pages_are_bounded(driver: Driver) -> None:
    assert fsck.COUNT_MAX < 100_000
    driver.put("a", TEXT)
    assert driver.namenode.fsck(driver.now_ms, "chunks:", 10**9).chunks == 3
