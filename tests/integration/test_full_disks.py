"""Real file systems that fill up: what is there can be read and deleted, what does not fit is refused whole."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.integration.processes import Loader, Up, assert_same, dame, dame_json, eventually, fetch
from tests.integration.wholeness import MIB, content

pytestmark = pytest.mark.ray

KEPT = content(60, MIB)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster of three storage nodes that share one small file system, with its catalog on another one."""
    directory = tmp_path_factory.mktemp("small") / "data"
    with ExitStack() as stack:
        stack.enter_context(small_disk(directory / "storage", 96 * MIB))
        stack.enter_context(small_disk(directory / "namenode", 64 * MIB))
        up = Up(directory, "--nodes", "3", environment={"DAME_DISK_RESERVE_BYTES": str(2 * MIB)})
        stack.callback(up.kill)
        source = directory / "kept"
        source.write_bytes(KEPT)
        dame_json("upload", "kept", "--file", str(source), data_dir=directory)
        yield directory


@contextmanager
def filled(path: Path, left_bytes: int = 0) -> Iterator[None]:
    """Someone else's file takes the room, to the last byte or almost."""
    filler = path / f"someone-elses-file-{left_bytes}"
    with filler.open("wb") as file:
        while not _grown(file.fileno(), left_bytes):
            pass
    try:
        yield
    finally:
        filler.unlink()


def _grown(descriptor: int, left_bytes: int) -> bool:
    """False if somebody took some of the room in between."""
    disk = os.fstatvfs(descriptor)
    size_bytes = disk.f_bavail * disk.f_frsize - left_bytes
    try:
        if size_bytes > 0:
            os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return False
        raise
    return True


def names(directory: Path) -> list[str]:
    return [row["name"] for row in dame_json("list", data_dir=directory)]


def test_a_full_storage_disk(directory: Path) -> None:
    storage = directory / "storage"
    with filled(storage):
        eventually(lambda: all(node["free_bytes"] == 0 for node in dame_json("nodes", data_dir=directory)))
        for source in (KEPT[::-1], os.urandom(3 * MIB)):
            refused = dame("upload", "too much", "--file", "-", data_dir=directory, stdin=source)
            assert refused.returncode == 1
            assert b"full" in refused.stderr or b"room" in refused.stderr, refused.stderr.decode()
            assert b"add storage" in refused.stderr and b"Traceback" not in refused.stderr
        assert_same(fetch("kept", data_dir=directory), KEPT)
        assert dame_json("delete", "kept", data_dir=directory)["version"] == 1
        assert names(directory) == []
        assert dame_json("undelete", "kept", data_dir=directory)["version"] == 1
        assert not list(storage.glob("slot-*/incoming/*")), "nothing half-written"
    assert names(directory) == ["kept"]
    eventually(lambda: dame("upload", "fits again", "content", data_dir=directory).returncode == 0)
    assert dame_json("status", data_dir=directory)["nodes"]["up"] == 3


def test_a_storage_disk_that_fills_during_an_upload(directory: Path) -> None:
    """Of unknown size, so that it can't be refused before its first byte."""
    storage = directory / "storage"
    with filled(storage, left_bytes=20 * MIB):
        refused = dame(
            "upload", "grows", "--file", "-", "--chunk-size", "1MiB", data_dir=directory, stdin=os.urandom(30 * MIB)
        )
        assert refused.returncode == 1
        assert b"nothing was published" in refused.stderr or b"room" in refused.stderr, refused.stderr.decode()
        assert "grows" not in names(directory)
        assert not list(storage.glob("slot-*/incoming/*")), "nothing half-written"
        assert_same(fetch("kept", data_dir=directory), KEPT)


def test_a_full_catalog_disk(directory: Path) -> None:
    """Nothing new is stored; reading, deleting and a restart of the NameNode find the room that was kept for them."""
    catalog = directory / "namenode"
    dame_json("upload", "in the way", "content", data_dir=directory)
    with filled(catalog):
        # Room that SQLite has already may take a few small edits.
        refused = next(
            done
            for number in range(20)
            if (done := dame("upload", f"unknown {number}", "x", data_dir=directory)).returncode != 0
        )
        assert refused.returncode == 1
        assert b"full" in refused.stderr and b"Free" in refused.stderr, refused.stderr.decode()
        before = names(directory)
        assert_same(fetch("kept", data_dir=directory), KEPT)
        assert dame_json("delete", "in the way", data_dir=directory)["version"] == 1
        assert "in the way" not in names(directory)

        epoch = dame_json("status", data_dir=directory)["epoch"]
        os.kill(int((catalog / "lock").read_text()), signal.SIGKILL)
        assert_same(fetch("kept", data_dir=directory), KEPT)
        eventually(lambda: dame_json("status", data_dir=directory)["nodes"]["up"] == 3)
        assert dame_json("status", data_dir=directory)["epoch"] == epoch + 1
        assert dame("upload", "still unknown", "x", data_dir=directory).returncode == 1
    eventually(lambda: dame("upload", "known", "x", data_dir=directory).returncode == 0)
    assert names(directory) == sorted({*before, "known"} - {"in the way"})


def test_clients_lose_nothing_on_disks_that_fill_and_have_room_again(directory: Path) -> None:
    """Both of them; what does not fit is refused, and what was acknowledged is found again."""
    with Loader(directory) as loader:
        with filled(directory / "storage", left_bytes=64 * MIB):  # however much clients store, there is room to heal it
            eventually(lambda: len(names(directory)) > 6)
            with filled(directory / "storage"):
                time.sleep(5)
            with filled(directory / "namenode"):
                time.sleep(5)
        told = loader.finish()
    assert told["done"]["upload"] > 3 and told["refused"], told
    assert_same(fetch("kept", data_dir=directory), KEPT)
