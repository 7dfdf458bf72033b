"""The process may end at any call to the system, and the machine right after: a chunk is whole or absent, and what was
acknowledged is there."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from core.config import Config
from core.model import DeleteChunk, HeartbeatReply
from core.storagenode import identity
from core.storagenode.storagenode import StorageNode
from tests.simulation.disk import Disk, Disks, SimulatedCrash

Open = Callable[..., StorageNode]
Chunk = Callable[..., tuple[str, bytes]]

DATA = blake3(b"data").digest(length=3000)
CHUNK_ID = blake3(DATA).hexdigest()
TRIES = 12
"""For each call at which the process may end; half of them with a power cut, which leaves something else each time."""

numbers = itertools.count(1)


@contextmanager
def opened(disk: Disk) -> Iterator[StorageNode]:
    node = StorageNode.open(
        disk.directory, Config(disk_reserve_bytes=0), host="host", new_id=lambda: f"id-{next(numbers)}"
    )
    try:
        yield node
    finally:
        node.close()


@contextmanager
def new_disk(root: Path, seed: int) -> Iterator[Disk]:
    with Disks(root / f"disks-{seed}", random.Random(seed)) as disks:
        yield disks.disk("disk")


def cut_off(
    root: Path, prepare: Callable[[StorageNode], object], action: Callable[[StorageNode], object]
) -> Iterator[tuple[bool, Disk]]:
    """For each call at which the process may end, with the power or without: whether it ended early, and the disk."""
    for at in range(1, 100):
        early = False
        for seed in range(at * TRIES, (at + 1) * TRIES):
            with new_disk(root, seed) as disk:
                with opened(disk) as node:
                    prepare(node)
                    disk.crash_after = at
                    try:
                        action(node)
                        ended = False
                    except SimulatedCrash:
                        ended = early = True
                    if seed % 2:
                        disk.crash()
                    else:
                        disk.process_killed()
                yield ended, disk
        if not early:
            assert at > 1
            return
    raise AssertionError("the action never ends")


def nothing(_: StorageNode) -> None:
    pass


def store(node: StorageNode) -> None:
    node.store(CHUNK_ID, DATA)


def test_a_store_leaves_a_chunk_whole_or_absent_and_there_once_acknowledged(tmp_path: Path) -> None:
    seen = set()
    for ended, disk in cut_off(tmp_path, nothing, store):
        with opened(disk) as node:
            held = node.chunk_ids() == [CHUNK_ID]
            # A chunk whose bytes were lost after its fsync would be a bad disk; before its rename it has no name.
            assert not held or node.verify(CHUNK_ID)
            assert held or ended
            assert list((disk.directory / "incoming").iterdir()) == []
            seen.add((ended, held))
            node.store(CHUNK_ID, DATA)
            assert bytes(node.read(CHUNK_ID)) == DATA
            assert disk.is_durable(disk.directory / "chunks" / CHUNK_ID[:2] / CHUNK_ID)
    assert seen == {(True, False), (True, True), (False, True)}


def test_a_delete_that_is_cut_off_leaves_a_whole_chunk_or_none(tmp_path: Path) -> None:
    delete = HeartbeatReply(0, True, (DeleteChunk(CHUNK_ID),))
    came_back = False
    for ended, disk in cut_off(tmp_path, store, lambda node: node.obey(delete)):
        with opened(disk) as node:
            assert node.chunk_ids() in ([], [CHUNK_ID])
            assert not node.chunk_ids() or node.verify(CHUNK_ID)
            came_back |= bool(node.chunk_ids()) and not ended
    assert came_back


def cut_short(node: StorageNode) -> None:
    """Store a chunk, and let its file rot durably."""
    store(node)
    descriptor = os.open(node.directory / "chunks" / CHUNK_ID[:2] / CHUNK_ID, os.O_WRONLY)
    os.ftruncate(descriptor, 500)
    os.fsync(descriptor)
    os.close(descriptor)


def test_a_replacement_that_is_cut_off_leaves_a_whole_chunk_once_acknowledged(tmp_path: Path) -> None:
    for ended, disk in cut_off(tmp_path, cut_short, store):
        with opened(disk) as node:
            # What was rotten is set aside when the directory is opened.
            assert node.chunk_ids() == [CHUNK_ID] or ended
            assert not node.chunk_ids() or node.verify(CHUNK_ID)


def test_a_quarantined_replica_never_vanishes(tmp_path: Path) -> None:
    for _, disk in cut_off(tmp_path, cut_short, lambda node: node.verify(CHUNK_ID)):
        with opened(disk) as node:
            assert node.chunk_ids() == []
            assert list((disk.directory / "quarantine").iterdir())


def test_an_identity_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    seen = set()

    def save(node: StorageNode) -> None:
        identity.save(node.directory, identity.Identity("node", "cluster", "sn-01", 2))

    for ended, disk in cut_off(tmp_path, nothing, save):
        found = identity.load(disk.directory)
        assert found is not None
        assert ended or found.epoch == 2
        seen.add((ended, found.epoch))
    assert seen == {(True, 0), (True, 2), (False, 2)}


def test_a_first_opening_can_be_cut_off_anywhere_and_an_identity_once_written_stays(tmp_path: Path) -> None:
    for seed in itertools.count():
        with new_disk(tmp_path, seed) as disk:
            disk.crash_after = seed // 4 + 1
            try:
                with opened(disk):
                    break
            except SimulatedCrash:
                disk.crash()
            written = identity.load(disk.directory)
            with opened(disk) as node:
                assert written is None or written.node_id == node.id
                node.store(CHUNK_ID, DATA)
    assert seed > 40


CALLS = [(os, "writev"), (os, "fsync"), (Path, "rename"), (Path, "mkdir")]


def events_of(monkeypatch: pytest.MonkeyPatch, directory: Path, action: Callable[[], object]) -> list[str]:
    """What the action asks of the disk, in order, with paths below the directory."""
    events: list[str] = []

    def watched(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(subject: object, *arguments: object, **named: object) -> object:
            path = Path(os.readlink(f"/proc/self/fd/{subject}")) if isinstance(subject, int) else Path(str(subject))  # noqa: PTH115
            if path.is_relative_to(directory):
                where = path.relative_to(directory)
                events.append(f"{name} {where if where.parts[:1] != ('incoming',) else 'incoming file'}")
            return real(subject, *arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for owner, name in CALLS:
            patched.setattr(owner, name, watched(name, getattr(owner, name)))
        action()
    return events


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
    """Whoever renamed it may have died before the fsync of its directory, or was somebody who synced nothing."""
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    events = events_of(monkeypatch, node.directory, lambda: node.store(chunk_id, data))
    assert events == [f"fsync chunks/{chunk_id[:2]}/{chunk_id}", f"fsync chunks/{chunk_id[:2]}"]


def test_a_file_that_somebody_put_there_is_made_durable_before_it_counts(
    node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    path = node.directory / "chunks" / chunk_id[:2] / chunk_id
    copied = path.read_bytes()
    path.unlink()
    assert node.walk().removed == 1
    path.write_bytes(copied)
    events = events_of(monkeypatch, node.directory, node.walk)
    assert events == [f"fsync chunks/{chunk_id[:2]}/{chunk_id}", f"fsync chunks/{chunk_id[:2]}"]
    assert node.chunk_ids() == [chunk_id]


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
