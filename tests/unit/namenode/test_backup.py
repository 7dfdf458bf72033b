"""A copy of the catalog while it is used; the count of edits; versions that are dropped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import DirectoryFailure
from core.model import CHECKPOINT_NAME
from core.namenode import edits
from core.namenode.backup import copy_catalog
from core.namenode.catalog import Catalog, Checkpoint
from tests.unit.namenode.test_catalog import chunks, publish, wanted


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.open(tmp_path / "catalog", "cluster-1")
    opened.apply(edits.StartEpoch(1))
    yield opened
    opened.check()
    opened.close()


def reopened(path: Path) -> Catalog:
    directory = path.parent / "as-catalog"
    directory.mkdir()
    path.rename(directory / "catalog.sqlite")
    return Catalog.open(directory, "")


def no_pause() -> None:
    pass


def fill(catalog: Catalog, first: int, count: int) -> None:
    for number in range(first, first + count):
        keys = chunks(*(b"%d of %d" % (part, number) for part in range(50)))
        catalog.apply(publish(f"op-{number}", number, f"artifact {number} " + "x" * 500, 1, keys))


def test_every_edit_counts_once(catalog: Catalog) -> None:
    assert catalog.edits == 1
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    assert catalog.edits == 2, "one that was applied before is not applied again"
    catalog.apply(edits.PurgeArtifact(1))
    assert catalog.edits == 3


def test_an_edit_that_fails_does_not_count(catalog: Catalog) -> None:
    catalog.apply(publish("op-1", 1, "a", 1, chunks(b"one")))
    with pytest.raises(AssertionError):
        catalog.apply(publish("op-2", 1, "a", 1, chunks(b"one")))
    assert catalog.edits == 2


def test_what_a_checkpoint_brings_about_does_not_count(catalog: Catalog) -> None:
    before = catalog.edits
    for version in (1, 2, 3):
        catalog.apply(publish(f"op-{version}", 1, CHECKPOINT_NAME, version, chunks(b"same", b"%d" % version)))
    catalog.apply(edits.NoteCheckpoint(1, 3, 3, before, 1_234))
    for version in (1, 2):
        catalog.apply(edits.CountDown(1, version, 0, 5_000))
    assert catalog.edits == before
    assert catalog.checkpoint == Checkpoint(1, 3, before, 1_234)
    assert wanted(catalog) == {key.id: 3 for key in chunks(b"same", b"3")}
    assert [version.version for version in catalog.history(1)] == [3]
    assert {entry.chunk for entry in catalog.garbage()} == {*chunks(b"1", b"2")}
    catalog.apply(edits.ForgetGarbage(tuple(key.id for key in chunks(b"1", b"2"))))
    catalog.apply(edits.PromiseLeases(9_000))
    assert catalog.edits == before, "what follows from a checkpoint does not call for the next"
    catalog.apply(edits.NoteCheckpoint(1, 3, 3, before + 1, 2_345))
    assert catalog.checkpoint == Checkpoint(1, 3, before + 1, 2_345)


def test_the_copy_is_the_catalog_and_the_catalog_is_not_changed(catalog: Catalog, tmp_path: Path) -> None:
    fill(catalog, 1, 30)
    before = catalog.dump()
    copy = copy_catalog(catalog.directory, tmp_path / "copy", 0, no_pause)
    assert (copy.cluster_id, copy.epoch, copy.edits) == ("cluster-1", 1, 31)
    again = reopened(copy.path)
    assert again.dump() == before == catalog.dump()
    again.check()
    again.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["as-catalog", "catalog"], "and nothing beside it"


def test_the_copy_is_of_one_moment_while_edits_go_on(catalog: Catalog, tmp_path: Path) -> None:
    """An edit between any two steps of the copy neither shows in it nor makes it begin anew."""
    fill(catalog, 1, 150)
    steps, before = 0, catalog.dump()

    def edit() -> None:
        nonlocal steps
        steps += 1
        fill(catalog, 1_000 + steps, 1)

    copy = copy_catalog(catalog.directory, tmp_path / "copy", 0, edit)
    assert 2 <= steps <= 2 + copy.path.stat().st_size // (256 * 4096)
    assert copy.edits == 151
    again = reopened(copy.path)
    assert again.dump() == before
    again.close()


def test_the_copy_is_made_in_another_thread(catalog: Catalog, tmp_path: Path) -> None:
    copies = []
    thread = threading.Thread(
        target=lambda: copies.append(copy_catalog(catalog.directory, tmp_path / "copy", 0, no_pause))
    )
    thread.start()
    fill(catalog, 1, 30)
    thread.join()
    again = reopened(copies[0].path)
    assert again.edits == copies[0].edits
    again.check()
    again.close()


def test_a_copy_that_fails_leaves_nothing(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(DirectoryFailure, match="kept in reserve"):
        copy_catalog(catalog.directory, tmp_path / "copy", 1 << 60, no_pause)
    with pytest.raises(DirectoryFailure, match="can't be copied"):
        copy_catalog(tmp_path / "nowhere", tmp_path / "copy", 0, no_pause)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_catalog(catalog.directory, tmp_path / "copy", 0, stop)
    assert not (tmp_path / "copy").exists()
