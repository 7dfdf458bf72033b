"""Manifests of checkpoints on a storage node's disk."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from core.checkpoint import manifest as manifests
from core.checkpoint.manifest import Manifest
from core.errors import DiskFull, InvalidRequest, NodeNotServing, StorageNodeError
from core.model import ChunkKey, RegistrationReply
from core.storagenode import checkpoints
from core.storagenode.storagenode import StorageNode

MADE = Manifest("cluster", 2, 10, 1_000, 3, "d" * 64, (ChunkKey("a" * 64, 3),))


@pytest.fixture
def member(node: StorageNode) -> StorageNode:
    node.registered(RegistrationReply("cluster", "sn-01", 2, "none"))
    return node


def kept(node: StorageNode) -> list[Manifest]:
    return [manifests.decode(path.read_bytes()) for path in manifests.files(node.directory)]


def test_the_newest_two_are_kept_whatever_the_order(member: StorageNode) -> None:
    for edits in (10, 30, 20, 5, 30):
        member.keep_checkpoint(replace(MADE, edits=edits))
    assert [each.edits for each in kept(member)] == [30, 20]
    member.keep_checkpoint(replace(MADE, epoch=3, edits=1))
    assert [(each.epoch, each.edits) for each in kept(member)] == [(3, 1), (2, 30)]


def test_what_a_crash_left_half_written_goes(member: StorageNode) -> None:
    member.keep_checkpoint(MADE)
    (member.directory / manifests.FOLDER / ".half.json.tmp").write_bytes(b"half")
    member.keep_checkpoint(replace(MADE, edits=11))
    assert len(list((member.directory / manifests.FOLDER).iterdir())) == 2


def test_only_the_newest_namenode_of_its_own_cluster_is_obeyed(member: StorageNode) -> None:
    for stranger in (replace(MADE, epoch=1), replace(MADE, cluster_id="another")):
        with pytest.raises(StorageNodeError, match="keeps no checkpoint"):
            member.keep_checkpoint(stranger)
    assert kept(member) == []


def test_a_failed_node_keeps_none(member: StorageNode) -> None:
    member.fail()
    with pytest.raises(NodeNotServing):
        member.keep_checkpoint(MADE)


def test_one_that_is_too_large_is_refused(member: StorageNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "SIZE_BYTES_MAX", 100)
    with pytest.raises(InvalidRequest, match="at most 100"):
        member.keep_checkpoint(MADE)


def test_a_full_disk_is_named_and_the_old_ones_stay(member: StorageNode, monkeypatch: pytest.MonkeyPatch) -> None:
    member.keep_checkpoint(MADE)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="could not keep a checkpoint"):
        member.keep_checkpoint(replace(MADE, edits=11))
    assert kept(member) == [MADE]


def test_a_folder_whose_name_could_not_be_synced_is_synced_before_it_keeps_anything(
    member: StorageNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(checkpoints, "sync_directory", failing)
    with pytest.raises(StorageNodeError, match="could not keep"):
        member.keep_checkpoint(MADE)
    synced: list[Path] = []
    monkeypatch.setattr(checkpoints, "sync_directory", synced.append)
    member.keep_checkpoint(MADE)
    member.keep_checkpoint(replace(MADE, edits=11))
    assert synced == [member.directory]


def test_they_are_no_chunks_and_outlive_the_process(member: StorageNode, open_node: object, tmp_path: Path) -> None:
    member.keep_checkpoint(MADE)
    member.close()
    again = open_node()  # type: ignore[operator]
    assert again.chunk_ids() == []
    assert kept(again) == [MADE]
