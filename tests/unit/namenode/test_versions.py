"""Old versions beyond those an artifact keeps are removed, and what is said of the others is right."""

from __future__ import annotations

import pytest

from core.errors import VersionNotFound
from core.namenode import housekeeping, readings
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver


def versions(driver: Driver, name: str = "a") -> list[int]:
    return [version.version for version in driver.namenode.history(driver.now_ms, name)]


def test_only_so_many_versions_are_kept(driver: Driver) -> None:
    driver.put("a", b"one", keep_versions=2)
    for content in (b"two", b"three", b"four"):
        driver.put("a", content, "update")
    driver.run(12_000)
    assert versions(driver) == [4, 3]
    info = driver.namenode.info(driver.now_ms, "a", None)
    assert (info.version, info.newest, info.versions, info.keep_versions) == (4, 4, 2, 2)
    assert driver.namenode.locate(driver.now_ms, "a", 3, 0, 10).version.version == 3


def test_a_version_that_was_removed_is_refused_in_other_words_than_one_that_never_was(driver: Driver) -> None:
    driver.put("a", b"one", keep_versions=2)
    for content in (b"two", b"three"):
        driver.put("a", content, "update")
    driver.run(12_000)
    with pytest.raises(VersionNotFound) as gone:
        driver.namenode.locate(driver.now_ms, "a", 1, 0, 10)
    assert gone.value.message == (
        "'a' has version 1 no more: older ones than the newest 2 are removed; there are versions 2 to 3."
    )
    with pytest.raises(VersionNotFound, match="'a' has no version 4; there are versions 2 to 3"):
        driver.namenode.info(driver.now_ms, "a", 4)


def test_an_update_may_change_how_many_are_kept(driver: Driver) -> None:
    driver.put("a", b"one", keep_versions=1)
    driver.put("a", b"two", "update", keep_versions=0)
    driver.put("a", b"three", "update")
    driver.run(12_000)
    assert versions(driver) == [3, 2, 1], "all of them, also after an update that does not say"
    driver.put("a", b"four", "update", keep_versions=1)
    driver.run(12_000)
    assert versions(driver) == [4]
    with pytest.raises(VersionNotFound, match="there is version 4"):
        driver.namenode.info(driver.now_ms, "a", 3)


def test_a_new_artifact_keeps_as_many_as_the_cluster_says(make_driver: MakeDriver) -> None:
    driver = make_driver(keep_versions=1)
    driver.put("a", b"one")
    driver.put("a", b"two", "update")
    driver.put("b", b"one", keep_versions=0)
    driver.put("b", b"two", "update")
    driver.run(12_000)
    assert (versions(driver, "a"), versions(driver, "b")) == ([2], [2, 1])


def test_an_upload_remembers_it_over_a_restart_of_the_namenode(driver: Driver) -> None:
    lease = driver.begin("a", b"one", keep_versions=1)
    request = driver.send(lease, b"one")
    driver.restart_namenode()
    driver.run(2_000)
    driver.namenode.commit(driver.now_ms, request)
    assert driver.namenode.info(driver.now_ms, "a", None).keep_versions == 1


def test_the_chunks_of_pruned_versions_are_removed_after_their_grace(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=20_000)
    driver.put("a", b"same" + b"old1", keep_versions=1)
    shared, old = driver.chunk_ids("a")
    driver.put("a", b"same" + b"new1", "update")
    driver.run(15_000)
    assert len(driver.holders(old)) == 3
    driver.run(30_000)
    assert driver.holders(old) == []
    assert len(driver.holders(shared)) == 3
    assert driver.replicas("a") == [3, 3]


def test_many_old_versions_go_one_in_each_call(driver: Driver) -> None:
    for number in range(30):
        driver.put("a", bytes([number]), "update" if number else "upload")
    driver.put("a", b"last", "update", keep_versions=1)
    driver.run(20_000)
    before = len(versions(driver))
    driver.namenode.tick(driver.now_ms)
    assert before - len(versions(driver)) <= 2
    driver.run(30_000)
    assert versions(driver) == [31]


def test_the_chunk_list_of_a_large_version_is_counted_down_over_many_calls(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "COUNTED_DOWN_MAX", 5)
    driver.put("a", bytes(range(200)), keep_versions=1)
    driver.put("b", bytes(range(100, 140)))
    driver.put("a", b"new", "update")
    driver.now_ms += 20_000
    counts = []
    for _ in range(12):
        driver.namenode.tick(driver.now_ms)
        driver.namenode.check_invariants()
        counts.append(driver.namenode.status(driver.now_ms).chunks)
    assert versions(driver) == [2], "it is gone at once"
    assert counts[0] == 51 - 2 * 5, "and its chunks count no more, a few in each call; there are two in a round"
    assert counts[-1] == 11
    driver.restart_namenode()
    driver.run(5_000)
    assert driver.replicas("b") == [3] * 10


def test_counting_down_goes_on_after_a_restart(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "COUNTED_DOWN_MAX", 1)
    driver.put("a", bytes(range(200)))
    driver.put("b", bytes(range(100)))
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.namenode.purge(driver.now_ms, "purge", "a")
    driver.namenode.tick(driver.now_ms)
    assert driver.catalog.leftover() is not None
    driver.restart_namenode()
    driver.run(60_000)
    assert driver.catalog.leftover() is None
    assert driver.namenode.status(driver.now_ms).chunks == 25


# --- Readings under way ----------------------------------------------------------------------------------------------


def test_a_reading_goes_on_after_a_delete(driver: Driver) -> None:
    driver.put("a", b"one two!")
    page = driver.namenode.locate(driver.now_ms, "a", None, 0, 1)
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.put("a", b"another one")
    rest = driver.namenode.locate(driver.now_ms, "a", 1, 1, 1, page.artifact)
    assert (rest.version, rest.chunks[0].index) == (page.version, 1)
    assert driver.namenode.locate(driver.now_ms, "a", 1, 1, 1).version != page.version


def test_a_version_that_is_being_read_is_not_pruned(driver: Driver) -> None:
    driver.put("a", b"one two!", keep_versions=1)
    driver.put("b", b"other", keep_versions=1)
    driver.namenode.locate(driver.now_ms, "a", None, 0, 1)
    driver.put("a", b"new", "update")
    driver.put("b", b"new", "update")
    driver.run(60_000)
    assert (versions(driver), versions(driver, "b")) == ([2, 1], [2])
    driver.namenode.locate(driver.now_ms, "a", 1, 1, 1)
    driver.run(12_000)
    assert versions(driver) == [2], "that was its last chunk"


def test_a_reading_that_was_given_up_holds_nothing_for_long(driver: Driver) -> None:
    driver.put("a", b"one two!", keep_versions=1)
    driver.namenode.locate(driver.now_ms, "a", None, 0, 1)
    driver.put("a", b"new", "update")
    driver.run(590_000, step_ms=2_000)
    assert versions(driver) == [2, 1]
    driver.run(30_000)
    assert versions(driver) == [2]


def test_trash_that_is_being_read_is_not_emptied(driver: Driver) -> None:
    for name in ("a", "b"):
        driver.put(name, b"one two!")
    page = driver.namenode.locate(driver.now_ms, "a", None, 0, 1)
    for name in ("a", "b"):
        driver.namenode.delete(driver.now_ms, f"delete {name}", name)
        driver.namenode.purge(driver.now_ms, f"purge {name}", name)
    driver.run(60_000)
    assert driver.catalog.totals().trash == 1, "that of the other one"
    assert driver.namenode.locate(driver.now_ms, "a", 1, 1, 1, page.artifact).chunks
    driver.run(12_000)
    assert driver.catalog.totals().trash == 0, "that was its last chunk"


def test_versions_that_are_being_read_hide_no_others(driver: Driver) -> None:
    """Once only the first hundred were looked at."""
    names = [f"a{number}" for number in range(120)]
    for name in (*names, "last"):
        driver.put(name, b"one two!", keep_versions=1)
    for name in names:
        driver.namenode.locate(driver.now_ms, name, None, 0, 1)
    for name in (*names, "last"):
        driver.put(name, b"new", "update")
    driver.run(12_000)
    assert versions(driver, "last") == [2]
    assert versions(driver, "a7") == [2, 1]


def test_readings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "READINGS_MAX", 10)
    known = readings.Readings()
    for number in range(100):
        known.asked(number, 1, True, number)
    assert len(known) == 10
    assert known.under_way(99, 1, 100)
    assert not known.under_way(89, 1, 100)
