"""The hard state: durable, locked, replayable, counted right."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import DirectoryFailure, ReadOnly
from core.model import ChunkKey, Version
from core.namenode import edits
from core.namenode.catalog import Catalog, Done, Kept, KnownNode
from core.namenode.garbage import Garbage
from tests.unit.namenode.driver import key_of


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.open(tmp_path / "catalog", "cluster-1")
    yield opened
    opened.check()
    opened.close()


def chunks(*contents: bytes) -> tuple[ChunkKey, ...]:
    return tuple(key_of(content) for content in contents)


def publish(
    operation: str,
    artifact: int,
    name: str,
    version: int,
    keys: tuple[ChunkKey, ...],
    replication: int = 3,
    keep_versions: int = 0,
) -> edits.PublishVersion:
    size_bytes = sum(key.size_bytes for key in keys)
    made = Version(name, version, size_bytes, len(keys), 4, replication, "digest", 1000 + version)
    return edits.PublishVersion(
        operation, artifact, made, keys, replace(made, warnings=("only 2 of 3 copies",)), keep_versions
    )


def wanted(catalog: Catalog) -> dict[str, int]:
    return {need.chunk.id: need.wanted for need in catalog.needs()}


def test_what_was_applied_is_there_after_reopening(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path, "cluster-1")
    catalog.apply(edits.StartEpoch(1))
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one", b"two")))
    before = catalog.dump()
    catalog.close()
    again = Catalog.open(tmp_path, "another id, which is not used")
    assert again.dump() == before
    assert again.cluster_id == "cluster-1"
    assert again.epoch == 1
    assert again.chunk_list(1, 1) == list(chunks(b"one", b"two"))
    again.close()


def test_what_was_applied_survives_a_crash(tmp_path: Path, catalog: Catalog) -> None:
    """The files as they are on disk while the catalog is open are all that a crash leaves."""
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in catalog.directory.iterdir():
        if not file.name.endswith("-shm"):
            (crashed / file.name).write_bytes(file.read_bytes())
    copy = Catalog.open(crashed, "")
    assert copy.dump() == catalog.dump()
    copy.close()


def test_the_file_is_opened_for_durability(catalog: Catalog) -> None:
    pragma = {
        name: catalog._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_second_opener_is_refused_by_name(catalog: Catalog) -> None:
    with pytest.raises(DirectoryFailure, match=r"in use by another process \(pid \d+\)") as refusal:
        Catalog.open(catalog.directory, "cluster-2")
    assert str(catalog.directory) in refusal.value.message


def test_a_refused_opening_leaves_the_directory_free(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"this is not a database, whatever its name says" * 100)
    for _ in range(2):
        with pytest.raises(DirectoryFailure, match="can't be opened"):
            Catalog.open(tmp_path, "cluster-1")
    (tmp_path / "catalog.sqlite").unlink()
    Catalog.open(tmp_path, "cluster-1").close()


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    Catalog.open(tmp_path, "cluster-1").close()
    with sqlite3.connect(tmp_path / "catalog.sqlite") as connection:
        connection.execute("UPDATE facts SET value = '2' WHERE key = 'format_version'")
    connection.close()
    with pytest.raises(DirectoryFailure, match="format 2; this DAME reads format 1"):
        Catalog.open(tmp_path, "cluster-1")


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DirectoryFailure, match="can't be used"):
        Catalog.open(tmp_path / "file", "cluster-1")


def test_a_full_disk_refuses_the_edit_whole_and_reads_go_on(catalog: Catalog) -> None:
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    before = catalog.dump()
    pages = catalog._connection.execute("PRAGMA page_count").fetchone()[0]
    catalog._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = tuple(key_of(str(number).encode()) for number in range(5_000))
    with pytest.raises(ReadOnly, match="full"):
        catalog.apply(publish("op-2", 1, "a", 2, many))
    assert catalog.dump() == before
    assert catalog.done("op-2") is None
    catalog._connection.execute("PRAGMA max_page_count = 1000000")
    catalog.apply(publish("op-2", 1, "a", 2, many))
    assert catalog.newest(1).version == 2


def test_a_read_only_catalog_refuses_edits(catalog: Catalog) -> None:
    catalog._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(ReadOnly):
        catalog.apply(edits.StartEpoch(5))
    assert catalog.epoch == 0


def test_an_edit_that_contradicts_the_catalog_is_a_bug_and_changes_nothing(catalog: Catalog) -> None:
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    before = catalog.dump()
    with pytest.raises(AssertionError):
        catalog.apply(publish("op-2", 1, "a", 1, chunks(b"two")))
    assert catalog.dump() == before
    catalog.apply(publish("op-3", 1, "a", 2, chunks(b"two")))
    assert catalog.newest(1).version == 2


def test_a_repeated_operation_answers_the_same_and_applies_nothing(catalog: Catalog) -> None:
    edit = publish("op-1", 1, "a", 1, chunks(b"one"))
    catalog.apply(edit)
    before, revision = catalog.dump(), catalog.revision
    catalog.apply(edit)
    assert catalog.dump() == before
    assert catalog.revision == revision
    assert catalog.done("op-1") == Done("PublishVersion", edit.result)
    assert catalog.newest(1) == edit.version


def test_operations_are_forgotten_by_age(catalog: Catalog) -> None:
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    catalog.apply(publish("op-2", 1, "a", 2, chunks(b"two")))
    assert catalog.operations_to_forget(0, 2) is None
    assert catalog.operations_to_forget(0, 1) == 1002, "the newest one is left"
    assert catalog.operations_to_forget(1002, 9) == 1002
    catalog.apply(edits.ForgetOperations(1002))
    assert catalog.operations_to_forget(1002, 9) is None
    assert catalog.done("op-1") is None
    assert catalog.done("op-2") is not None


def count_down(catalog: Catalog, time_ms: int, entries: int = 1) -> None:
    """All that is left of versions that are gone, so many entries of a chunk list at a time."""
    while (left := catalog.leftover()) is not None:
        first = max(0, left.entries - entries)
        catalog.apply(edits.CountDown(left.artifact, left.version, first, time_ms))
        catalog.check()


def test_references_are_counted_through_update_delete_and_purge(catalog: Catalog) -> None:
    shared, first, second = chunks(b"shared", b"first", b"second")
    catalog.apply(publish("op-1", 1, "a", 1, (shared, first, shared), replication=2))
    catalog.apply(publish("op-2", 1, "a", 2, (shared, second), replication=5))
    catalog.apply(publish("op-3", 2, "b", 1, (shared,), replication=3))
    assert wanted(catalog) == {shared.id: 5, first.id: 2, second.id: 5}
    newest = catalog.newest(1)
    catalog.apply(edits.DeleteArtifact("op-4", 1, 2000, newest))
    assert wanted(catalog) == {shared.id: 5, first.id: 2, second.id: 5}, "the trash still counts"
    catalog.check()
    assert set(catalog.chunks_of(1)) == {shared, first, second}
    catalog.apply(edits.PurgeArtifact(1))
    count_down(catalog, 5000)
    assert wanted(catalog) == {shared.id: 3}
    assert catalog.wanted(first.id) == 0
    assert catalog.totals().trash == 0


def test_old_versions_are_pruned_and_their_chunks_counted_down(catalog: Catalog) -> None:
    shared, first, second, third = chunks(b"shared", b"first", b"second", b"third")
    catalog.apply(publish("op-1", 1, "a", 1, (shared, first), replication=5))
    catalog.apply(publish("op-2", 1, "a", 2, (shared, second)))
    assert list(catalog.prunable()) == []
    catalog.apply(publish("op-3", 1, "a", 3, (shared, third), keep_versions=2))
    assert list(catalog.prunable()) == [(1, Kept(1, 3, 2))]
    catalog.apply(edits.PruneVersions(1, 2))
    assert wanted(catalog)[first.id] == 5, "counted down later"
    catalog.check()
    count_down(catalog, 5000)
    catalog.check()
    assert list(catalog.prunable()) == []
    assert [version.version for version in catalog.history(1)] == [3, 2]
    assert wanted(catalog) == {shared.id: 3, second.id: 3, third.id: 3}
    assert catalog.version(1, 1) is None
    assert catalog.chunk_list(1, 1) == []


def test_what_nothing_counts_is_garbage_until_something_does(catalog: Catalog) -> None:
    shared, first, stray = chunks(b"shared", b"first", b"stray")
    catalog.apply(publish("op-1", 1, "a", 1, (shared, first)))
    catalog.apply(publish("op-2", 2, "b", 1, (shared,)))
    catalog.apply(edits.NoteGarbage((Garbage(stray, 6000, "unknown"),)))
    catalog.apply(edits.PurgeArtifact(1))
    count_down(catalog, 5000)
    assert list(catalog.garbage()) == [Garbage(first, 5000, "counted_down"), Garbage(stray, 6000, "unknown")]
    catalog.apply(publish("op-3", 3, "c", 1, (stray,)))
    assert list(catalog.garbage()) == [Garbage(first, 5000, "counted_down")]
    catalog.apply(edits.ForgetGarbage((first.id,)))
    assert list(catalog.garbage()) == []


def test_a_name_is_free_after_a_delete_and_comes_back_with_undelete(catalog: Catalog) -> None:
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    catalog.apply(edits.DeleteArtifact("op-2", 1, 2000, catalog.newest(1)))
    assert catalog.live("a") is None
    catalog.apply(publish("op-3", 2, "a", 1, chunks(b"two")))
    catalog.apply(edits.DeleteArtifact("op-4", 2, 3000, catalog.newest(2)))
    assert catalog.deleted_last("a", 0) == 2
    assert catalog.deleted_last("a", 3001) is None
    catalog.apply(edits.UndeleteArtifact("op-5", 2, 4000, catalog.newest(2)))
    assert catalog.live("a") == 2
    assert catalog.deleted_last("a", 0) == 1
    assert [artifact for artifact, _ in catalog.deleted_before(2001)] == [1]
    assert not list(catalog.deleted_before(2000))


def test_totals_count_live_versions_only(catalog: Catalog) -> None:
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    catalog.apply(publish("op-2", 1, "a", 2, chunks(b"one", b"two2")))
    catalog.apply(publish("op-3", 2, "b", 1, ()))
    totals = catalog.totals()
    assert (totals.artifacts, totals.versions, totals.logical_bytes, totals.trash) == (2, 3, 10, 0)
    catalog.apply(edits.DeleteArtifact("op-4", 1, 2000, catalog.newest(1)))
    totals = catalog.totals()
    assert (totals.artifacts, totals.versions, totals.logical_bytes, totals.trash) == (1, 1, 0, 1)


def test_users_of_chunks_are_newest_versions_of_live_artifacts(catalog: Catalog) -> None:
    old, new, other = chunks(b"old", b"new", b"other")
    catalog.apply(publish("op-1", 1, "a", 1, (old, new)))
    catalog.apply(publish("op-2", 1, "a", 2, (new, new, other)))
    catalog.apply(publish("op-3", 2, "b", 1, (new,)))
    assert catalog.users_of([old.id]) == {}
    assert catalog.users_of([new.id, other.id]) == {("a", 2): 2, ("b", 1): 1}
    catalog.apply(edits.DeleteArtifact("op-4", 1, 2000, catalog.newest(1)))
    assert catalog.users_of([new.id, other.id]) == {("b", 1): 1}


def test_nodes_and_wishes_are_kept(catalog: Catalog) -> None:
    catalog.apply(edits.JoinNode("id-1", "sn-01", "host-1", 1000))
    catalog.apply(edits.JoinNode("id-2", "sn-02", "host-2", 1000))
    catalog.apply(edits.MoveNode("id-1", "host-9"))
    catalog.apply(edits.SetWish("op-1", "id-2", "failed", 2000))
    assert catalog.nodes() == [
        KnownNode("id-1", "sn-01", "host-9", "none"),
        KnownNode("id-2", "sn-02", "host-2", "failed"),
    ]
    assert catalog.done("op-1") == Done("SetWish", "id-2")


def test_questions_sqlite_could_not_take_are_answered(catalog: Catalog) -> None:
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    assert catalog.version(1, 10**30) is None
    assert catalog.version(1, -1) is None
    assert catalog.chunk_list(1, 1, 10**30, 10**30) == []
    assert catalog.live("\udc80") is None


def random_edits(seed: int) -> Iterator[edits.Edit]:
    """A random but possible history; the consumer applies each edit before asking for the next one."""
    rng = random.Random(seed)
    live: dict[int, int] = {}
    trash: list[int] = []
    for step in range(120):
        operation = f"op-{step}"
        keys = tuple(key_of(bytes([rng.randrange(12)])) for _ in range(rng.randrange(6)))
        dice = rng.random()
        if dice < 0.4 or not live:
            number = step + 1
            live[number] = 1
            yield publish(operation, number, f"name-{number}", 1, keys, rng.randint(1, 4))
        elif dice < 0.7:
            number = rng.choice(sorted(live))
            live[number] += 1
            keep = rng.randrange(3)
            yield publish(operation, number, f"name-{number}", live[number], keys, rng.randint(1, 4), keep)
            if keep and rng.random() < 0.7:
                oldest = max(1, live[number] - keep + 1)
                yield edits.PruneVersions(number, oldest)
                yield from (
                    edits.CountDown(number, gone, 0, step)
                    for gone in range(max(1, oldest - 1), oldest)
                    if rng.random() < 0.7
                )
        elif dice < 0.78:
            number = rng.choice(sorted(live))
            result = Version(f"name-{number}", live[number], 0, 0, 4, 3, "digest", 0)
            yield edits.SetReplication(operation, number, rng.randint(1, 4), step, result)
        elif dice < 0.85:
            number = rng.choice(sorted(live))
            result = Version(f"name-{number}", live.pop(number), 0, 0, 4, 3, "digest", 0)
            trash.append(number)
            yield edits.DeleteArtifact(operation, number, step, result)
        elif dice < 0.9:
            yield edits.NoteGarbage(tuple(Garbage(key_of(bytes([99, step, n])), step, "unknown") for n in range(3)))
            yield edits.ForgetGarbage((key_of(bytes([99, step, 1])).id,))
            yield edits.PromiseLeases(step)
            yield edits.SpareTrash(step // 2)
        elif trash:
            yield edits.PurgeArtifact(trash.pop(0))
        else:
            yield edits.ForgetOperations(1002)


@pytest.mark.parametrize("seed", range(5))
def test_replaying_the_edits_on_another_catalog_gives_the_same(tmp_path: Path, catalog: Catalog, seed: int) -> None:
    history: list[edits.Edit] = []
    for edit in random_edits(seed):
        catalog.apply(edit)
        catalog.check()
        history.append(edit)
    replica = Catalog.open(tmp_path / "replica", "cluster-1")
    for edit in history:
        replica.apply(edit)
    assert replica.dump() == catalog.dump()
    replica.close()


def test_large_versions_take_one_transaction(catalog: Catalog) -> None:
    many = tuple(ChunkKey(f"{number:064x}", 1) for number in range(100_000))
    catalog.apply(publish("op-1", 1, "big", 1, many))
    assert catalog.chunk_list(1, 1, 99_998, 10) == list(many[-2:])
    assert len(wanted(catalog)) == 100_000
