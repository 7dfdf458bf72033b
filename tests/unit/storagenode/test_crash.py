"""The process may end at any call to the system, and the machine right after: a chunk is whole or absent, and what was
acknowledged is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import ChunkMissing
from core.model import DeleteChunk, HeartbeatReply
from core.storagenode.storagenode import StorageNode

Open = Callable[..., StorageNode]
Chunk = Callable[..., tuple[str, bytes]]

CALLS = [
    (os, "open"),
    (os, "write"),
    (os, "writev"),
    (os, "fsync"),
    (Path, "rename"),
    (Path, "unlink"),
    (Path, "mkdir"),
    (Path, "stat"),
]


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def calls_to_the_disk(monkeypatch: pytest.MonkeyPatch, before_each: Callable[[str, object], None]) -> Iterator[None]:
    with monkeypatch.context() as watched:
        for owner, name in CALLS:
            watched.setattr(owner, name, _watched(getattr(owner, name), name, before_each))
        yield


def _watched(real: Callable[..., object], name: str, before: Callable[[str, object], None]) -> Callable[..., object]:
    def call(*arguments: object, **named: object) -> object:
        before(name, arguments[0])
        return real(*arguments, **named)

    return call


def crashes(monkeypatch: pytest.MonkeyPatch, at: int, action: Callable[[], object]) -> bool:
    """Run the action; the call numbered `at` and all after it, those of clean-up too, never happen."""
    done = 0

    def count(_: str, __: object) -> None:
        nonlocal done
        done += 1
        if done > at:
            raise Crash

    with calls_to_the_disk(monkeypatch, count):
        try:
            action()
        except Crash:
            return True
    return False


def states_after_each_crash(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    open_node: Open,
    prepare: Callable[[StorageNode], object],
    action: Callable[[StorageNode], object],
) -> Iterator[tuple[bool, StorageNode]]:
    """For every call at which the action may be cut off: whether it was, and the node as it is opened next."""
    for at in range(100):
        directory = tmp_path / f"crash-{at}"
        node = open_node(directory)
        prepare(node)
        crashed = crashes(monkeypatch, at, lambda node=node: action(node))  # type: ignore[misc]
        node.close()
        yield crashed, open_node(directory)
        if not crashed:
            assert at > 0
            return
    raise AssertionError("the action never ends")


def test_a_store_that_is_cut_off(
    tmp_path: Path, open_node: Open, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    seen = set()
    for crashed, node in states_after_each_crash(
        monkeypatch, tmp_path, open_node, lambda _: None, lambda node: node.store(chunk_id, data)
    ):
        held = chunk_id in node.chunk_ids()
        assert held or crashed
        if held:
            assert node.read(chunk_id) == data
            assert node.verify(chunk_id)
        else:
            with pytest.raises(ChunkMissing):
                node.read(chunk_id)
        assert list((node.directory / "incoming").iterdir()) == []
        seen.add((crashed, held))
        node.store(chunk_id, data)
        assert node.read(chunk_id) == data
    assert seen == {(True, False), (True, True), (False, True)}


def test_a_replacement_that_is_cut_off(
    tmp_path: Path, open_node: Open, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()

    def truncate(node: StorageNode) -> None:
        node.store(chunk_id, data)
        os.truncate(node.directory / "chunks" / chunk_id[:2] / chunk_id, 300)

    for crashed, node in states_after_each_crash(
        monkeypatch, tmp_path, open_node, truncate, lambda node: node.store(chunk_id, data)
    ):
        whole = node.verify(chunk_id)
        assert whole or crashed


def test_a_delete_that_is_cut_off(
    tmp_path: Path, open_node: Open, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    for crashed, node in states_after_each_crash(
        monkeypatch,
        tmp_path,
        open_node,
        lambda node: node.store(chunk_id, data),
        lambda node: node.obey(HeartbeatReply(0, True, (DeleteChunk(chunk_id),))),
    ):
        if chunk_id in node.chunk_ids():
            assert crashed
            assert node.verify(chunk_id)


def test_a_quarantine_that_is_cut_off(
    tmp_path: Path, open_node: Open, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bad replica is never served as good, and never vanishes."""
    chunk_id, data = chunk()

    def rot(node: StorageNode) -> None:
        node.store(chunk_id, data)
        path = node.directory / "chunks" / chunk_id[:2] / chunk_id
        path.write_bytes(path.read_bytes()[:-1] + b"\0")

    for crashed, node in states_after_each_crash(
        monkeypatch, tmp_path, open_node, rot, lambda node: node.verify(chunk_id)
    ):
        if chunk_id in node.chunk_ids():
            assert crashed
            assert not node.verify(chunk_id)
        assert [path.name for path in (node.directory / "quarantine").iterdir()] == [f"{chunk_id}.0"]


def test_a_first_opening_that_is_cut_off(tmp_path: Path, open_node: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The identity is written once: whoever opens next is the same node, or the first."""
    for at in range(100):
        directory = tmp_path / f"crash-{at}"
        crashed = crashes(monkeypatch, at, lambda directory=directory: open_node(directory))  # type: ignore[misc]
        if not crashed:
            assert at > 0
            return
        written = (directory / "identity.json").exists() and (directory / "identity.json").read_text()
        node = open_node(directory)
        if written:
            assert node.id in written
    raise AssertionError("opening never ends")


def events_of(monkeypatch: pytest.MonkeyPatch, directory: Path, action: Callable[[], object]) -> list[str]:
    """What the action asks of the disk, in order, with paths below the directory."""
    events: list[str] = []

    def record(name: str, subject: object) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{subject}")) if isinstance(subject, int) else Path(str(subject))  # noqa: PTH115
        if not path.is_relative_to(directory):
            return
        where = path.relative_to(directory)
        events.append(f"{name} {where if where.parts[:1] != ('incoming',) else 'incoming file'}")

    with calls_to_the_disk(monkeypatch, record):
        action()
    return [event for event in events if event.split()[0] in ("writev", "fsync", "rename", "mkdir")]


def test_a_chunk_is_synced_before_it_is_visible_and_its_directories_before_it_counts(
    node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    events = events_of(monkeypatch, node.directory, lambda: node.store(chunk_id, data))
    assert events == [
        "writev incoming file",
        "fsync incoming file",
        f"mkdir chunks/{chunk_id[:2]}",
        "fsync chunks",
        "rename incoming file",
        f"fsync chunks/{chunk_id[:2]}",
    ]


def test_a_chunk_that_was_there_is_made_durable_once_more(
    node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever renamed it may have died before the fsync of its directory."""
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    events = events_of(monkeypatch, node.directory, lambda: node.store(chunk_id, data))
    assert events == [f"fsync chunks/{chunk_id[:2]}"]


def test_what_is_found_at_opening_is_made_durable_before_it_counts(
    open_node: Open, chunk: Chunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    node = open_node()
    node.store(chunk_id, data)
    node.close()
    events = events_of(monkeypatch, node.directory, open_node)
    assert {"fsync chunks", f"fsync chunks/{chunk_id[:2]}"} <= set(events)


def test_a_quarantined_replica_stays_there(node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    path = node.directory / "chunks" / chunk_id[:2] / chunk_id
    path.write_bytes(path.read_bytes()[:-1])
    events = events_of(monkeypatch, node.directory, lambda: node.verify(chunk_id))
    assert events == [f"rename chunks/{chunk_id[:2]}/{chunk_id}", "fsync quarantine", f"fsync chunks/{chunk_id[:2]}"]
