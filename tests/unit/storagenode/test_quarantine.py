"""Quarantine: what is found bad is kept within bounds, counted as used, and told."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.config import DAY_MS, MIB, Config
from core.errors import DiskFailure
from core.model import QuarantineUsage
from core.storagenode import chunkfile, quarantine
from core.storagenode.chunkstore import ChunkStore
from core.storagenode.quarantine import PUT_OFF_MS
from core.storagenode.storagenode import StorageNode

Open = Callable[..., StorageNode]
Chunk = Callable[..., tuple[str, bytes]]
PathOf = Callable[[StorageNode, str], Path]

SMALL = Config(disk_reserve_bytes=0, chunk_size_bytes=1000, chunk_size_bytes_max=2500, quarantine_bytes_max=2500)
FILE_BYTES = 1064


def spoil(node: StorageNode, chunk_path: PathOf, chunk: Chunk, seed: int) -> str:
    """Store a chunk, let it rot, and find that out."""
    chunk_id, data = chunk(seed)
    node.store(chunk_id, data)
    path = chunk_path(node, chunk_id)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert not node.verify(chunk_id)
    return chunk_id


def kept(node: StorageNode) -> set[str]:
    return {path.name for path in (node.directory / "quarantine").iterdir()}


def now_ms() -> int:
    """The file system's clock says since when a file is there."""
    return time.time_ns() // 1_000_000


def test_it_counts_once_when_its_name_cannot_be_synced(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(quarantine, "sync_directory", fail)
        spoil(node, chunk_path, chunk, 1)
    node.walk()
    assert node.heartbeat().usage.used_bytes == FILE_BYTES


def test_it_is_told_and_counts_as_used(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    spoil(node, chunk_path, chunk, 1)
    node.store(*chunk(2))
    heartbeat = node.heartbeat()
    assert heartbeat.quarantine == QuarantineUsage(1, FILE_BYTES)
    assert heartbeat.usage.used_bytes == 1000 + FILE_BYTES


def test_it_counts_against_the_nodes_own_limit(open_node: Open, chunk: Chunk, chunk_path: PathOf) -> None:
    node = open_node(config=Config(disk_reserve_bytes=0, storage_capacity_bytes=5000))
    spoil(node, chunk_path, chunk, 1)
    assert node.heartbeat().usage.free_bytes == 5000 - FILE_BYTES


def test_the_oldest_are_dropped_and_never_more_than_needed(open_node: Open, chunk: Chunk, chunk_path: PathOf) -> None:
    node = open_node(config=SMALL)
    first, second = (spoil(node, chunk_path, chunk, seed) for seed in (1, 2))
    node.look_after(now_ms())
    assert kept(node) == {f"{first}.0", f"{second}.0"}
    third = spoil(node, chunk_path, chunk, 3)
    node.look_after(now_ms())
    assert kept(node) == {f"{second}.0", f"{third}.0"}
    assert node.heartbeat().quarantine == QuarantineUsage(2, 2 * FILE_BYTES)


def test_what_is_there_for_too_long_is_dropped(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    chunk_id = spoil(node, chunk_path, chunk, 1)
    retention_ms = Config().quarantine_retention_ms
    node.look_after(now_ms() + retention_ms - DAY_MS)
    assert kept(node) == {f"{chunk_id}.0"}
    node.look_after(now_ms() + retention_ms + 1)
    assert kept(node) == set()
    assert node.heartbeat().quarantine == QuarantineUsage()


def test_an_old_chunk_that_is_found_bad_now_stays(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    """Not the age of the file counts, but since when it is in quarantine."""
    chunk_id, data = chunk(1)
    node.store(chunk_id, data)
    path = chunk_path(node, chunk_id)
    path.write_bytes(bytes(FILE_BYTES))
    os.utime(path, (1, 1))
    assert not node.verify(chunk_id)
    node.look_after(now_ms())
    assert kept(node) == {f"{chunk_id}.0"}


def test_it_is_found_again_by_the_next_process_in_the_same_order(
    open_node: Open, chunk: Chunk, chunk_path: PathOf
) -> None:
    node = open_node(config=SMALL)
    for seed in (1, 2):
        spoil(node, chunk_path, chunk, seed)
        time.sleep(0.02)  # file systems count time in ticks
    (node.directory / "quarantine" / "a note of somebody").write_text("keep")
    node.close()
    again = open_node(config=SMALL)
    assert again.heartbeat().quarantine == QuarantineUsage(2, 2 * FILE_BYTES)
    third = spoil(again, chunk_path, chunk, 3)
    again.look_after(now_ms())
    assert kept(again) == {f"{chunk(2)[0]}.0", f"{third}.0", "a note of somebody"}


def test_the_same_chunk_may_go_bad_twice(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    for _ in range(2):
        chunk_id = spoil(node, chunk_path, chunk, 1)
    assert kept(node) == {f"{chunk_id}.0", f"{chunk_id}.1"}
    assert node.heartbeat().quarantine.replicas == 2


def test_a_file_that_can_not_be_dropped_stays_counted_and_stops_nothing(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(node, chunk_path, chunk, 1)
    later_ms = now_ms() + 400 * DAY_MS

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", refuse)
        node.look_after(later_ms)
    assert node.heartbeat().quarantine.replicas == 1
    node.look_after(later_ms + PUT_OFF_MS - 1)
    assert node.heartbeat().quarantine.replicas == 1
    node.look_after(later_ms + PUT_OFF_MS)
    assert node.heartbeat().quarantine.replicas == 0


def test_what_is_good_after_all_is_not_dropped_but_comes_back(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf
) -> None:
    """A disk that could not be read for a while made it look bad, and it may be the last one."""
    chunk_id, data = chunk(1)
    node.store(chunk_id, data)
    good = chunk_path(node, chunk_id).read_bytes()
    spoil(node, chunk_path, chunk, 1)
    (node.directory / "quarantine" / f"{chunk_id}.0").write_bytes(good)
    node.look_after(now_ms() + 400 * DAY_MS)
    assert node.read(chunk_id) == data
    assert kept(node) == set()


def test_what_can_not_be_read_is_not_dropped(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id = spoil(node, chunk_path, chunk, 1)

    def unreadable(_: int) -> str:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(chunkfile, "hash_payload", unreadable)
        node.look_after(now_ms() + 400 * DAY_MS)
    assert kept(node) == {f"{chunk_id}.0"}


def test_what_a_person_removed_is_no_longer_counted_once_its_time_is_up(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf
) -> None:
    chunk_id = spoil(node, chunk_path, chunk, 1)
    (node.directory / "quarantine" / f"{chunk_id}.0").unlink()
    node.look_after(now_ms() + 400 * DAY_MS)
    assert node.heartbeat().quarantine == QuarantineUsage()
    assert node.heartbeat().usage.used_bytes == 0


def test_what_a_person_removed_is_not_looked_for_again(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    chunk_id = spoil(node, chunk_path, chunk, 1)
    (node.directory / "quarantine" / f"{chunk_id}.0").unlink()
    assert node.bring_back((chunk_id,)) == 0
    assert node.heartbeat().quarantine == QuarantineUsage()


@pytest.mark.parametrize("whole_directory", [False, True])
def test_a_walk_tells_what_a_person_removed_from_quarantine(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, whole_directory: bool
) -> None:
    gone, stays = (spoil(node, chunk_path, chunk, seed) for seed in (1, 2))
    quarantine = node.directory / "quarantine"
    if whole_directory:
        shutil.rmtree(quarantine)
    else:
        (quarantine / f"{gone}.0").unlink()
    report = node.walk()
    left = [] if whole_directory else [stays]
    assert [kept.chunk for kept in report.quarantined] == left
    assert report.quarantine == QuarantineUsage(len(left), len(left) * FILE_BYTES)


def test_a_quarantine_that_can_not_be_listed_is_counted_as_before(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(node, chunk_path, chunk, 1)
    scandir = os.scandir

    def unreadable(path: Path) -> object:
        if path.name == "quarantine":
            raise OSError(errno.EIO, "Input/output error")
        return scandir(path)

    with monkeypatch.context() as broken:
        broken.setattr(os, "scandir", unreadable)
        with pytest.raises(DiskFailure, match="list its quarantine"):
            node.walk()
    assert node.heartbeat().quarantine.replicas == 1


def test_one_whose_chunk_is_held_again_needs_no_second_look(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(node, chunk_path, chunk, 1)
    node.store(*chunk(1))
    monkeypatch.setattr(ChunkStore, "is_surely_bad", lambda *_: pytest.fail("it was read"))
    node.look_after(now_ms() + 400 * DAY_MS)
    assert kept(node) == set()


def test_the_limit_leaves_room_for_a_chunk() -> None:
    assert Config().quarantine_bytes_max >= Config().chunk_size_bytes_max >= MIB
