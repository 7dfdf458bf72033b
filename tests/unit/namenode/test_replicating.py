"""How many replicas are wanted of what is stored, changed afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import Config
from core.errors import ArtifactNotFound, InvalidRequest
from tests.unit.namenode.driver import Driver

CONTENT = b"abcdefgh"


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path, nodes=5, config=Config(chunk_size_bytes=4))


def replicate(driver: Driver, name: str, replication: int, operation: str | None = None) -> int:
    found = driver.namenode.set_replication(driver.now_ms, operation or driver.operation(), name, replication)
    driver.namenode.check_invariants()
    return found.replication


def test_missing_copies_are_made_and_surplus_ones_go(driver: Driver) -> None:
    driver.put("a", CONTENT)
    assert driver.replicas("a") == [3, 3]
    assert replicate(driver, "a", 5) == 5
    assert driver.namenode.status(driver.now_ms).under_replicated == 2
    driver.run(5_000)
    assert driver.replicas("a") == [5, 5]
    replicate(driver, "a", 2)
    driver.run(10_000)
    assert driver.replicas("a") == [2, 2]
    assert driver.namenode.status(driver.now_ms).under_replicated == 0


def test_all_versions_change_and_later_ones_take_it_over(driver: Driver) -> None:
    driver.put("a", b"old.")
    driver.put("a", b"new.", mode="update")
    replicate(driver, "a", 2)
    driver.put("a", b"next", mode="update")
    assert [version.replication for version in driver.namenode.history(driver.now_ms, "a")] == [2, 2, 2]
    assert driver.namenode.artifacts(driver.now_ms, "a")[0].replication == 2


def test_a_chunk_keeps_what_another_artifact_wants(driver: Driver) -> None:
    driver.put("a", b"same")
    driver.put("b", b"same")
    replicate(driver, "a", 1)
    driver.run(10_000)
    assert driver.replicas("a") == [3]
    replicate(driver, "b", 2)
    driver.run(10_000)
    assert driver.replicas("a") == [2]


def test_it_holds_after_a_restart_and_in_what_fsck_derives(driver: Driver) -> None:
    driver.put("a", CONTENT)
    replicate(driver, "a", 4)
    driver.restart_namenode()
    driver.run(40_000)
    assert driver.replicas("a") == [4, 4]
    page = driver.namenode.fsck(driver.now_ms, "", 100)
    assert (page.catalog, page.findings) == ((), ())


def test_a_repeated_request_is_answered_and_not_applied_again(driver: Driver) -> None:
    driver.put("a", CONTENT)
    assert replicate(driver, "a", 2, "once") == 2
    replicate(driver, "a", 4)
    assert replicate(driver, "a", 2, "once") == 2
    assert driver.namenode.info(driver.now_ms, "a", None).replication == 4
    assert driver.texts().count("2 copies of 'a' wanted from now on") == 1
    with pytest.raises(InvalidRequest, match="used for another change"):
        driver.namenode.delete(driver.now_ms, "once", "a")


@pytest.mark.parametrize("replication", [0, -1, 17, 6])
def test_what_is_not_possible_is_refused_and_changes_nothing(driver: Driver, replication: int) -> None:
    driver.put("a", CONTENT)
    edits = driver.catalog.edits
    with pytest.raises(InvalidRequest):
        replicate(driver, "a", replication)
    assert driver.catalog.edits == edits


def test_only_what_is_live_can_be_changed(driver: Driver) -> None:
    driver.put("a", CONTENT)
    driver.namenode.delete(driver.now_ms, driver.operation(), "a")
    for name in ("a", "never", "\x01catalog"):
        with pytest.raises(ArtifactNotFound):
            replicate(driver, name, 2)


def test_an_update_under_way_does_not_take_it_back(driver: Driver) -> None:
    driver.put("a", b"old.")
    lease = driver.begin("a", b"new.", "update")
    request = driver.send(lease, b"new.")
    replicate(driver, "a", 4)
    assert driver.namenode.commit(driver.now_ms, request).replication == 4
    driver.namenode.check_invariants()
    driver.run(5_000)
    assert driver.replicas("a") == [4]
    assert driver.put("a", b"next", mode="update").replication == 4
