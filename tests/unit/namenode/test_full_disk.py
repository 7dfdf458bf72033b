"""The catalog on a full disk: nothing new is stored, and what frees room can be written."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.config import Config
from core.errors import ReadOnly
from core.namenode import Catalog, NameNode, edits
from core.namenode.ballast import FILE_NAME, Ballast
from tests.disks import small_disk
from tests.unit.namenode.driver import CLUSTER_ID, Driver
from tests.unit.namenode.test_catalog import chunks, publish

MIB = 1024 * 1024
TEXT = b"one two three four five!"


def limit(catalog: Catalog, pages_more: int) -> None:
    """Let SQLite believe that the disk has room for so many pages more."""
    (pages,) = catalog._connection.execute("PRAGMA page_count").fetchone()
    catalog._connection.execute(f"PRAGMA max_page_count = {pages + pages_more}")


def fill(catalog: Catalog) -> None:
    """Publish until the disk is full."""
    limit(catalog, 2)
    with pytest.raises(ReadOnly):
        for number in range(1_000):
            catalog.apply(publish(f"fill-{number}", 100 + number, f"fill-{number}", 1, chunks(b"x" * number)))


def test_what_does_not_grow_is_written_with_the_room_of_the_ballast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog.open(tmp_path, CLUSTER_ID, ballast_bytes=MIB)
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    assert (tmp_path / FILE_NAME).stat().st_size == MIB
    fill(catalog)
    assert "is full: nothing is stored until it has 2.0 MiB free" in catalog.writer.read_only
    release = catalog.writer._ballast.release

    def release_and_give_room() -> bool:
        limit(catalog, 1_000)
        return release()

    monkeypatch.setattr(catalog.writer._ballast, "release", release_and_give_room)
    limit(catalog, 0)
    for number in range(200):
        catalog.apply(edits.DeleteArtifact(f"delete-{number}", 1, 5_000, catalog.newest(1)))
        catalog.apply(edits.UndeleteArtifact(f"undelete-{number}", 1, 5_000, catalog.newest(1)))
    assert (tmp_path / FILE_NAME).stat().st_size < MIB, "the deletes needed it"
    with pytest.raises(ReadOnly, match="nothing is stored"):
        catalog.apply(publish("op-2", 1, "a", 2, chunks(b"two")))
    catalog.writer.look_for_room()
    assert (catalog.writer.read_only, (tmp_path / FILE_NAME).stat().st_size) == ("", MIB)
    catalog.apply(publish("op-2", 1, "a", 2, chunks(b"two")))
    catalog.close()


def test_without_a_ballast_the_disk_is_asked_each_time(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path, CLUSTER_ID)
    fill(catalog)
    assert catalog.writer.read_only == ""
    limit(catalog, 1_000)
    catalog.apply(publish("op-2", 1, "a", 1, chunks(b"two")))
    catalog.close()


# --- On a small disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_place(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", 24 * MIB):
        yield tmp_path / "small"


class SmallDisk:
    """A NameNode whose catalog is on a small disk, and a file that fills the disk."""

    def __init__(self, place: Path) -> None:
        self.driver = Driver(place / "namenode", 3, Config(chunk_size_bytes=4, trash_retention_ms=1_000))
        self.driver.catalog.close()
        self.filler = place / "filler"
        self.open()

    def open(self) -> None:
        driver = self.driver
        driver.catalog = Catalog.open(driver.directory, CLUSTER_ID, ballast_bytes=4 * MIB)
        driver.namenode = NameNode(driver.catalog, driver.config, random.Random(1), driver.now_ms)
        driver.run(3_000)

    def fill(self) -> None:
        with self.filler.open("ab", buffering=0) as stream, suppress(OSError):
            while stream.write(bytes(4096)):
                pass
        assert free_bytes(self.filler) == 0


def free_bytes(path: Path) -> int:
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


def test_a_full_disk_takes_deletes_and_is_told_of(small_place: Path) -> None:
    disk = SmallDisk(small_place)
    driver = disk.driver
    for number in range(20):
        driver.put(f"a{number}", TEXT + bytes([number]))
    disk.fill()
    with pytest.raises(ReadOnly):
        for number in range(2_000):
            driver.put(f"more{number}", bytes([number % 256, number // 256]) * 50)
    for number in range(20):
        driver.namenode.delete(driver.now_ms, f"delete-{number}", f"a{number}")
    driver.run(15_000)
    status = driver.namenode.status(driver.now_ms)
    assert "The disk of the catalog" in status.read_only
    assert status.trash == 0, "the trash was emptied"
    with pytest.raises(ReadOnly, match="nothing is stored until"):
        driver.begin("b", TEXT)
    assert any("is full" in text for text in driver.texts())
    driver.namenode.set_wish(driver.now_ms, "drain", "sn-01", "draining")

    driver.catalog.close()
    disk.fill()
    disk.open()
    assert driver.namenode.status(driver.now_ms).read_only, "a full disk keeps it from storing, not from starting"
    driver.namenode.artifacts(driver.now_ms, "")

    disk.filler.unlink()
    driver.run(12_000)
    assert driver.namenode.status(driver.now_ms).read_only == ""
    assert "the catalog can be written again" in driver.texts()
    driver.put("b", TEXT)
    driver.namenode.check_invariants()
    driver.close()


def test_a_disk_that_filled_up_while_nothing_ran_is_started_on(small_place: Path) -> None:
    disk = SmallDisk(small_place)
    driver = disk.driver
    driver.put("a", TEXT)
    driver.run(3_000)
    driver.catalog.close()
    disk.fill()
    disk.open()
    assert driver.namenode.status(driver.now_ms).read_only
    assert len(driver.namenode.locate(driver.now_ms, "a", None, 0, 10).chunks) == 6
    driver.namenode.delete(driver.now_ms, "delete", "a")
    driver.close()


def test_a_ballast_on_a_disk_that_was_made_read_only_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it refuses is an answer, and no reason for the NameNode to end."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    ballast = Ballast(tmp_path, MIB)
    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    assert not ballast.make()
