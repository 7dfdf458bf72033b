"""Artifacts by name: the trash, lists, history, the map of chunks, and names that would fool a careless store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from blake3 import blake3

from core.config import Config
from core.errors import ArtifactExists, ArtifactNotFound, DameError, InvalidRequest, VersionNotFound
from core.store import ArtifactStore
from tests.contract.conftest import Backend
from tests.hostile import FORBIDDEN_NAMES, HOSTILE_NAMES

# --- The trash --------------------------------------------------------------------------------------------------


def test_a_deleted_artifact_is_gone_with_all_versions(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"one")
    store.update(name, b"two")
    assert store.delete(name).version == 2
    assert store.list(name) == []
    calls: list[Callable[[], object]] = [
        lambda: store.get(name),
        lambda: store.get(name, 1),
        lambda: store.open(name),
        lambda: store.history(name),
        lambda: store.info(name),
        lambda: store.update(name, b"three"),
        lambda: store.delete(name),
    ]
    for call in calls:
        with pytest.raises(ArtifactNotFound):
            call()


def test_undelete_brings_all_versions_back(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"one")
    store.update(name, b"two")
    store.delete(name)
    assert store.undelete(name).version == 2
    assert (store.get(name, 1), store.get(name)) == (b"one", b"two")
    assert store.update(name, b"three").version == 3


def test_undelete_takes_the_one_deleted_last(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"older")
    store.delete(name)
    store.upload(name, b"newer")
    store.delete(name)
    store.undelete(name)
    assert store.get(name) == b"newer"


def test_a_deleted_name_is_free(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"old")
    store.delete(name)
    store.upload(name, b"new")
    assert store.get(name) == b"new"
    assert len(store.history(name)) == 1


def test_undelete_never_replaces_a_live_artifact(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"old")
    store.delete(name)
    store.upload(name, b"new")
    with pytest.raises(ArtifactExists) as refused:
        store.undelete(name)
    assert name in refused.value.message
    assert store.get(name) == b"new"


def test_undelete_of_what_was_never_deleted(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ArtifactNotFound) as refused:
        store.undelete(name)
    assert name in refused.value.message


def test_undelete_twice(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"content")
    store.delete(name)
    store.undelete(name)
    with pytest.raises(DameError):
        store.undelete(name)
    assert store.get(name) == b"content"


# --- Lists ------------------------------------------------------------------------------------------------------


def test_list_shows_the_newest_version(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"one", replication=2)
    newest = store.update(name, b"second", chunk_size_bytes=4)
    (row,) = store.list(name)
    assert (row.name, row.version, row.size_bytes, row.chunks, row.replication) == (name, 2, 6, 2, 2)
    assert (row.digest, row.modified_ms, row.health) == (newest.digest, newest.created_ms, "ok")


def test_list_filters_by_part_of_the_name_or_by_pattern(store: ArtifactStore, name: str) -> None:
    for end in ("/b.txt", "/a.txt", "/a.bin", "/[x]"):
        store.upload(name + end, b"content")

    def found(filter: str) -> list[str]:
        return [artifact.name.removeprefix(name) for artifact in store.list(filter)]

    assert found(name) == ["/[x]", "/a.bin", "/a.txt", "/b.txt"]
    assert found(f"{name}/a") == ["/a.bin", "/a.txt"]
    assert found(name[3:] + "/a.t") == ["/a.txt"]
    assert found(f"{name}/*.txt") == ["/a.txt", "/b.txt"]
    assert found(f"{name}/?.bin") == ["/a.bin"]
    assert found(f"{name}/[ab].txt") == ["/a.txt", "/b.txt"]
    assert found(f"{name}/A.TXT") == found(f"{name}/A.T?T") == ["/a.txt"]
    assert found(f"{name}/c") == []


def test_list_is_in_order_of_names(store: ArtifactStore, name: str) -> None:
    for end in ("z", "A", "a", "é", "-"):
        store.upload(name + end, b"")
    names = [artifact.name for artifact in store.list(name)]
    assert names == sorted(names) and len(names) == 5


# --- History and info -------------------------------------------------------------------------------------------


def test_history_is_newest_first(store: ArtifactStore, name: str) -> None:
    stored = [store.upload(name, b"one"), store.update(name, b"three", chunk_size_bytes=4)]
    history = store.history(name)
    # What was acknowledged with less than was asked for is told once, in the answer to the upload.
    assert history == [replace(version, warnings=()) for version in reversed(stored)]
    assert history[0].created_ms >= history[1].created_ms


def test_info_maps_every_chunk(store: ArtifactStore, name: str) -> None:
    content = b"aaaabbbbcc"
    version = store.upload(name, content, chunk_size_bytes=4)
    store.update(name, b"other")
    info = store.info(name, 1)
    assert (info.name, info.version, info.versions, info.size_bytes) == (name, 1, 2, 10)
    assert (info.digest, info.created_ms, info.chunk_size_bytes) == (version.digest, version.created_ms, 4)
    assert [(chunk.index, chunk.id, chunk.size_bytes) for chunk in info.chunks] == [
        (index, blake3(piece).hexdigest(), len(piece)) for index, piece in enumerate((b"aaaa", b"bbbb", b"cc"))
    ]
    nodes = {node.id for node in store.nodes()}
    for chunk in info.chunks:
        assert len(chunk.replicas) == len(set(chunk.replicas)) == 3
        assert set(chunk.replicas) <= nodes
    assert info.health == "ok"


def test_an_empty_artifact_has_no_chunks_and_is_well(store: ArtifactStore, name: str) -> None:
    version = store.upload(name, b"")
    info = store.info(name)
    assert (version.chunks, info.chunks, info.health) == (0, (), "ok")
    assert version.digest == blake3(b"").hexdigest()


@pytest.mark.parametrize("replication", [1, 2, 4])
def test_as_many_replicas_as_asked_for(store: ArtifactStore, name: str, replication: int) -> None:
    store.upload(name, f"content of {name}", replication=replication)
    (chunk,) = store.info(name).chunks
    assert len(set(chunk.replicas)) == replication
    store.delete(name)
    store.purge(name)  # the cluster is shared, and others destroy replicas: the only one is not to be among them


# --- Names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_names_that_are_hostile_and_allowed(store: ArtifactStore, hostile: str) -> None:
    store.upload(hostile, hostile)
    try:
        assert store.get(hostile) == hostile.encode()
        assert store.info(hostile).name == hostile
        assert hostile in [artifact.name for artifact in store.list()]
        assert store.update(hostile, b"two").name == hostile
        assert store.delete(hostile).name == hostile
        assert store.undelete(hostile).name == hostile
    finally:
        store.delete(hostile)


@pytest.mark.parametrize("forbidden", FORBIDDEN_NAMES, ids=range(len(FORBIDDEN_NAMES)))
def test_names_that_no_store_takes(store: ArtifactStore, forbidden: str) -> None:
    with pytest.raises(InvalidRequest):
        store.upload(forbidden, b"content")
    assert forbidden not in [artifact.name for artifact in store.list()]


def test_names_that_are_too_long_or_empty(store: ArtifactStore, name: str) -> None:
    longest = name + "x" * (1024 - len(name))
    store.upload(longest, b"content")
    assert store.get(longest) == b"content"
    with pytest.raises(InvalidRequest) as refused:
        store.upload(f"{longest}x", b"content")
    assert "1025" in refused.value.message and "1024" in refused.value.message
    with pytest.raises(InvalidRequest):
        store.upload("", b"content")


def test_names_that_look_alike_are_different(store: ArtifactStore, name: str) -> None:
    for end in ("é", "e\u0301", "E", "e"):
        store.upload(name + end, end)
    for end in ("é", "e\u0301", "E", "e"):
        assert store.get(name + end) == end.encode()


# --- What is in the trash ---------------------------------------------------------------------------------------


def test_the_trash_says_what_is_in_it_and_when_it_goes(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"one")
    store.update(name, b"three")
    assert [row for row in store.trash() if row.name == name] == []
    store.delete(name)
    (row,) = [row for row in store.trash() if row.name == name]
    assert (row.version, row.versions, row.size_bytes) == (2, 2, 8)
    assert row.purge_ms - row.deleted_ms == Config().trash_retention_ms
    status = store.status()
    assert status.trash >= 1
    assert status.trash_bytes >= 8
    store.undelete(name)
    assert [row for row in store.trash() if row.name == name] == []


def test_what_is_purged_is_gone_for_good(backend: Backend, name: str) -> None:
    store = backend.store
    with pytest.raises(ArtifactNotFound):
        store.purge(name)
    store.upload(name, b"one")
    store.update(name, b"two")
    with pytest.raises(ArtifactNotFound):
        store.purge(name)
    store.delete(name)
    before = store.status().trash
    assert store.purge(name).version == 2
    assert [row for row in store.trash() if row.name == name] == []
    for call in (store.undelete, store.purge, store.get):
        with pytest.raises(ArtifactNotFound):
            call(name)
    backend.eventually(lambda: store.status().trash < before)


def test_purge_takes_the_one_deleted_last(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"older")
    store.delete(name)
    store.upload(name, b"newer")
    store.delete(name)
    store.purge(name)
    store.undelete(name)
    assert store.get(name) == b"older"


# --- Replication -----------------------------------------------------------------------------------------------


def test_the_replication_of_what_is_stored_can_be_changed(backend: Backend, name: str) -> None:
    store = backend.store
    store.upload(name, name.encode())
    store.update(name, name.encode() * 2)

    def copies() -> set[int]:
        return {len(chunk.replicas) for chunk in store.info(name).chunks}

    for number in (4, 2):
        version = store.replicate(name, number)
        assert (version.version, version.replication) == (2, number)
        backend.eventually(lambda number=number: copies() == {number})  # type: ignore[misc]
    assert {version.replication for version in store.history(name)} == {2}
    assert store.get(name) == name.encode() * 2
    assert store.update(name, b"").replication == 2
    for impossible in (0, 99):
        with pytest.raises(InvalidRequest):
            store.replicate(name, impossible)
    with pytest.raises(ArtifactNotFound):
        store.replicate(f"{name}/none", 2)


# --- Versions that are kept -------------------------------------------------------------------------------------


def test_only_so_many_versions_are_kept(backend: Backend, name: str) -> None:
    store = backend.store
    store.upload(name, b"one", keep_versions=2)
    store.update(name, b"two")
    store.update(name, b"three")
    backend.eventually(lambda: [version.version for version in store.history(name)] == [3, 2])
    assert (store.get(name), store.get(name, 2)) == (b"three", b"two")
    with pytest.raises(VersionNotFound):
        store.get(name, 1)
    info = store.info(name)
    assert (info.version, info.newest, info.versions, info.keep_versions) == (3, 3, 2, 2)


def test_as_many_versions_are_kept_as_can_be(store: ArtifactStore, name: str) -> None:
    with pytest.raises(InvalidRequest):
        store.upload(name, b"one", keep_versions=-1)
    store.upload(name, b"one")
    store.update(name, b"two", keep_versions=0)
    assert len(store.history(name)) == 2
