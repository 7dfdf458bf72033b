"""A node compares its directory with what it believes to hold, after somebody else has been at it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import NodeNotServing
from core.model import ChunkKey, QuarantineUsage
from core.storagenode import walker
from core.storagenode.storagenode import StorageNode

Open = Callable[..., StorageNode]
Chunk = Callable[..., tuple[str, bytes]]
PathOf = Callable[[StorageNode, str], Path]


@pytest.fixture
def full_node(node: StorageNode, chunk: Chunk) -> StorageNode:
    for seed in range(4):
        node.store(*chunk(seed))
    node.confirmed(node.heartbeat().sequence)
    return node


def test_nothing_is_different(full_node: StorageNode) -> None:
    report = full_node.walk()
    assert (report.replicas, report.removed, report.added, report.corrupt) == (4, 0, 0, 0)
    assert full_node.heartbeat().received == ()


def test_a_file_that_is_gone_is_told_as_removed(full_node: StorageNode, chunk_path: PathOf) -> None:
    victim = full_node.chunk_ids()[1]
    chunk_path(full_node, victim).unlink()
    report = full_node.walk()
    assert (report.replicas, report.removed, report.added, report.corrupt) == (3, 1, 0, 0)
    heartbeat = full_node.heartbeat()
    assert (heartbeat.removed, heartbeat.corrupt, heartbeat.chunks) == ((victim,), (), 3)
    assert heartbeat.usage.used_bytes == 3000


def test_a_whole_directory_that_is_gone_is_found(full_node: StorageNode, chunk_path: PathOf) -> None:
    for chunk_id in full_node.chunk_ids():
        path = chunk_path(full_node, chunk_id)
        path.unlink()
        path.parent.rmdir()
    assert full_node.walk().removed == 4
    assert full_node.heartbeat().usage.used_bytes == 0


@pytest.mark.parametrize("file_bytes", [0, 10, 64, 500, 3000])
def test_a_file_of_another_size_is_quarantined(full_node: StorageNode, chunk_path: PathOf, file_bytes: int) -> None:
    victim = full_node.chunk_ids()[1]
    os.truncate(chunk_path(full_node, victim), file_bytes)
    report = full_node.walk()
    assert (report.replicas, report.removed, report.added, report.corrupt) == (3, 0, 0, 1)
    assert report.quarantine == QuarantineUsage(1, file_bytes)
    assert [(kept.chunk, kept.size_bytes) for kept in report.quarantined] == [(victim, file_bytes)]
    assert full_node.heartbeat().corrupt == (victim,)


def test_a_good_file_that_appears_is_verified_and_counts(
    full_node: StorageNode, chunk: Chunk, chunk_path: PathOf, open_node: Open, tmp_path: Path
) -> None:
    other = open_node(tmp_path / "other")
    chunk_id, data = chunk(9)
    other.store(chunk_id, data)
    path = chunk_path(full_node, chunk_id)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(chunk_path(other, chunk_id).read_bytes())
    report = full_node.walk()
    assert (report.replicas, report.added, report.corrupt) == (5, 1, 0)
    heartbeat = full_node.heartbeat()
    assert heartbeat.received == (ChunkKey(chunk_id, 1000),)
    assert heartbeat.usage.used_bytes == 5000
    assert full_node.read(chunk_id) == data


def test_a_bad_file_that_appears_is_quarantined(full_node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    chunk_id, data = chunk(9)
    path = chunk_path(full_node, chunk_id)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(64) + data)
    report = full_node.walk()
    assert (report.replicas, report.added, report.corrupt) == (4, 0, 1)
    assert full_node.heartbeat().corrupt == (chunk_id,)
    assert not path.exists()


def test_foreign_names_are_left_alone(full_node: StorageNode) -> None:
    chunks = full_node.directory / "chunks"
    (chunks / "note").write_text("mine")
    (chunks / full_node.chunk_ids()[0][:2] / "note").write_text("mine")
    assert full_node.walk().replicas == 4
    assert (chunks / "note").exists()


def test_a_failed_node_is_not_walked(full_node: StorageNode) -> None:
    full_node.fail()
    with pytest.raises(NodeNotServing):
        full_node.walk()
    with pytest.raises(NodeNotServing):
        full_node.bring_back(())


def test_the_list_is_bounded_and_the_total_is_not(
    full_node: StorageNode, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walker, "QUARANTINED_MAX", 2)
    for chunk_id in full_node.chunk_ids():
        os.truncate(chunk_path(full_node, chunk_id), 70)
    report = full_node.walk()
    assert (len(report.quarantined), report.quarantine.replicas) == (2, 4)


# --- Back from quarantine ---------------------------------------------------------------------------------------


def test_what_was_unreadable_only_for_a_while_comes_back(
    full_node: StorageNode, chunk: Chunk, chunk_path: PathOf, open_node: Open
) -> None:
    victim = full_node.chunk_ids()[1]
    path = chunk_path(full_node, victim)
    kept = path.with_suffix(".away")
    path.rename(kept)
    path.symlink_to(path)
    assert not full_node.verify(victim)
    (full_node.directory / "quarantine" / f"{victim}.0").unlink()
    kept.rename(full_node.directory / "quarantine" / f"{victim}.0")
    full_node.close()
    again = open_node()
    assert again.heartbeat().quarantine.replicas == 1
    assert again.bring_back((chunk(77)[0], victim)) == 1
    heartbeat = again.heartbeat()
    assert heartbeat.quarantine == QuarantineUsage()
    assert heartbeat.usage.used_bytes == 4000
    assert again.verify(victim)
    assert path.exists()


def test_what_is_bad_stays(full_node: StorageNode, chunk_path: PathOf) -> None:
    victim = full_node.chunk_ids()[1]
    path = chunk_path(full_node, victim)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert not full_node.verify(victim)
    assert full_node.bring_back((victim,)) == 0
    assert victim not in full_node.chunk_ids()
    assert full_node.heartbeat().quarantine.replicas == 1


def test_the_good_one_of_several_is_found(full_node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    chunk_id, data = chunk(1)
    path = chunk_path(full_node, chunk_id)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\0")
    assert not full_node.verify(chunk_id)
    full_node.store(chunk_id, data)
    path.write_bytes(good[:-1])
    assert not full_node.verify(chunk_id)
    (full_node.directory / "quarantine" / f"{chunk_id}.1").write_bytes(good)
    assert full_node.bring_back((chunk_id,)) == 1
    assert full_node.read(chunk_id) == data


def test_one_that_is_held_again_is_left_in_quarantine(full_node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    chunk_id, data = chunk(1)
    os.truncate(chunk_path(full_node, chunk_id), 70)
    assert not full_node.verify(chunk_id)
    full_node.store(chunk_id, data)
    assert full_node.bring_back((chunk_id,)) == 0
    assert full_node.heartbeat().quarantine.replicas == 1
