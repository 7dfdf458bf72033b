"""Who a directory is: kept, never guessed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import DirectoryFailure
from core.model import RegistrationReply
from core.storagenode.storagenode import StorageNode

Open = Callable[..., StorageNode]
Chunk = Callable[..., tuple[str, bytes]]

JOINED = RegistrationReply("cluster-1", "sn-01", 7, "none")


def test_a_new_directory_becomes_a_new_node(open_node: Open, tmp_path: Path) -> None:
    node = open_node(tmp_path / "a" / "b")
    registration = node.registration("endpoint", 42)
    assert registration.node_id == "id-1"
    assert registration.incarnation == "id-2"
    assert registration.cluster_id == ""
    assert (registration.endpoint, registration.host, registration.pid) == ("endpoint", "host", 42)
    assert registration.directory == str(tmp_path / "a" / "b")
    assert node.name == "id-1"


def test_the_next_process_is_the_same_node_and_another_incarnation(open_node: Open) -> None:
    first = open_node()
    assert first.registered(JOINED)
    first.close()
    second = open_node()
    assert (second.id, second.cluster_id, second.name, second.epoch) == (first.id, "cluster-1", "sn-01", 7)
    assert second.incarnation != first.incarnation


def test_a_directory_has_one_process(open_node: Open) -> None:
    first = open_node()
    with pytest.raises(DirectoryFailure, match="is in use by another process"):
        open_node()
    first.close()
    open_node()


def test_a_refused_opening_gives_the_directory_back(open_node: Open, tmp_path: Path) -> None:
    identity = write_identity(tmp_path / "node", {"format": 2})
    with pytest.raises(DirectoryFailure):
        open_node()
    identity.unlink()
    open_node()


def test_a_copied_directory_is_the_same_node_in_another_incarnation(open_node: Open, tmp_path: Path) -> None:
    """The NameNode tells them apart by incarnation and lets one of them give up."""
    node = open_node()
    shutil.copytree(node.directory, tmp_path / "copy")
    copy = open_node(tmp_path / "copy")
    assert copy.id == node.id
    assert copy.incarnation != node.incarnation


def write_identity(directory: Path, document: Any) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / "identity.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_a_newer_format_is_left_alone(open_node: Open, tmp_path: Path) -> None:
    path = write_identity(tmp_path / "node", {"format": 2, "something": "else"})
    before = path.read_bytes()
    with pytest.raises(DirectoryFailure, match=r"newer DAME .*upgrade"):
        open_node()
    assert path.read_bytes() == before
    assert not (tmp_path / "node" / "chunks").exists()


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "\x00" * 100,
        "[]",
        "{}",
        {"format": "1"},
        {"format": True},
        {"format": 1, "node_id": 5, "cluster_id": "", "name": "", "epoch": 0},
        {"format": 1, "node_id": "n", "cluster_id": "", "name": "", "epoch": None},
    ],
)
def test_a_broken_identity_is_never_replaced_by_a_new_one(open_node: Open, tmp_path: Path, document: Any) -> None:
    path = write_identity(tmp_path / "node", document)
    before = path.read_bytes()
    with pytest.raises(DirectoryFailure, match="can't be understood"):
        open_node()
    assert path.read_bytes() == before


def test_chunks_without_an_identity_are_not_adopted(open_node: Open, chunk: Chunk) -> None:
    node = open_node()
    node.store(*chunk())
    node.close()
    (node.directory / "identity.json").unlink()
    with pytest.raises(DirectoryFailure, match=r"holds chunks but no identity\.json"):
        open_node()


def test_an_identity_that_cannot_be_read(open_node: Open, tmp_path: Path) -> None:
    (tmp_path / "node" / "identity.json").mkdir(parents=True)
    with pytest.raises(DirectoryFailure, match="Is a directory"):
        open_node()


def test_a_directory_that_cannot_be_made(open_node: Open, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryFailure, match="Not a directory"):
        open_node(tmp_path / "file" / "node")


def no_writes(*_: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_directory_that_cannot_be_written(open_node: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", no_writes)
    with pytest.raises(DirectoryFailure, match="Read-only file system"):
        open_node()


def test_another_cluster_is_refused(open_node: Open) -> None:
    node = open_node()
    node.registered(JOINED)
    with pytest.raises(DirectoryFailure, match="belongs to cluster cluster-1 and can't serve cluster cluster-2"):
        node.registered(RegistrationReply("cluster-2", "sn-09", 9, "none"))
    assert (node.cluster_id, node.name, node.epoch) == ("cluster-1", "sn-01", 7)


def test_an_older_namenodes_registration_is_ignored(open_node: Open) -> None:
    node = open_node()
    node.registered(JOINED)
    assert not node.registered(RegistrationReply("cluster-1", "sn-99", 6, "failed"))
    assert node.serving
    assert node.name == "sn-01"


def test_a_full_disk_does_not_keep_a_node_from_the_next_namenode(
    node: StorageNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletions that make room must not wait for it."""
    node.registered(JOINED)
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", no_writes)
        assert node.registered(RegistrationReply("cluster-1", "sn-01", JOINED.epoch + 1, "none"))
    assert node.heartbeat().epoch == JOINED.epoch + 1


def test_a_membership_that_cannot_be_written_is_no_membership(open_node: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    node = open_node()
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", no_writes)
        with pytest.raises(DirectoryFailure):
            node.registered(JOINED)
    assert node.cluster_id == ""
    assert node.registered(JOINED)
