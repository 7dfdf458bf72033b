"""The storage node: what it serves, what it tells, whom it obeys."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.errors import ChunkCorrupt, ChunkMissing, DiskFailure, DiskFull, InvalidRequest, NodeNotServing
from core.model import (
    ChunkKey,
    Command,
    CopyChunk,
    DeleteChunk,
    GiveUp,
    HeartbeatReply,
    NodeRef,
    RegistrationReply,
    ScrubAll,
    SendFullReport,
    StopServing,
    inventory_token,
)
from core.storagenode import chunkstore
from core.storagenode.chunkstore import ChunkStore
from core.storagenode.storagenode import StorageNode

Open = Callable[..., StorageNode]
Chunk = Callable[..., tuple[str, bytes]]
PathOf = Callable[[StorageNode, str], Path]

SOURCE = NodeRef("id-9", "sn-09", "host", "endpoint", "/nowhere")


def reply(*commands: Command, epoch: int = 1) -> HeartbeatReply:
    return HeartbeatReply(epoch, True, commands)


def copy_of(chunk_id: str) -> CopyChunk:
    return CopyChunk(ChunkKey(chunk_id, 1000), (SOURCE,))


def asks_after(end: Callable[[str], None], chunk_id: str, node: StorageNode) -> bool:
    """Whether a copy's end makes the node ask for more."""
    end(chunk_id)
    return node.asks_for_more()


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


# --- Data -------------------------------------------------------------------------------------------------------


def test_a_chunk_is_stored_told_and_read(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    assert node.read(chunk_id) == data
    heartbeat = node.heartbeat()
    assert heartbeat.received == (ChunkKey(chunk_id, 1000),)
    assert (heartbeat.chunks, heartbeat.inventory_digest) == (1, inventory_token(chunk_id))
    assert (heartbeat.read_bytes, heartbeat.written_bytes) == (1000, 1000)
    assert heartbeat.usage.used_bytes == 1000


def test_a_chunk_stored_twice_is_written_once_and_told_again(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    node.confirmed(node.heartbeat().sequence)
    node.store(chunk_id, data)
    heartbeat = node.heartbeat()
    assert heartbeat.received == (ChunkKey(chunk_id, 1000),)
    assert (heartbeat.chunks, heartbeat.written_bytes) == (1, 1000)


def test_wrong_bytes_and_wrong_names_are_refused(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, _ = chunk()
    with pytest.raises(ChunkCorrupt):
        node.store(chunk_id, b"other")
    with pytest.raises(InvalidRequest):
        node.store("../" + chunk_id[3:], b"other")
    assert node.chunk_ids() == []
    assert node.heartbeat().received == ()


def test_what_it_does_not_hold_is_missing(node: StorageNode, chunk: Chunk) -> None:
    for call in (node.read, node.verify):
        with pytest.raises(ChunkMissing):
            call(chunk()[0])
    assert node.heartbeat().removed == ()


def test_inventory_survives_the_process(open_node: Open, chunk: Chunk) -> None:
    node = open_node()
    for seed in range(5):
        node.store(*chunk(seed))
    held = node.chunk_ids()
    digest = node.heartbeat().inventory_digest
    node.close()
    again = open_node()
    assert again.chunk_ids() == held
    heartbeat = again.heartbeat()
    assert (heartbeat.chunks, heartbeat.inventory_digest, heartbeat.received) == (5, digest, ())


@pytest.mark.parametrize("file_bytes", [10, 64, 500, 2000])
def test_a_replica_seen_bad_when_read_is_set_aside_and_told(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, file_bytes: int
) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    os.truncate(chunk_path(node, chunk_id), file_bytes)
    with pytest.raises(ChunkCorrupt):
        node.read(chunk_id)
    heartbeat = node.heartbeat()
    assert (heartbeat.corrupt, heartbeat.removed, heartbeat.chunks) == ((chunk_id,), (), 0)
    with pytest.raises(ChunkMissing):
        node.read(chunk_id)
    node.store(chunk_id, data)
    assert node.read(chunk_id) == data


def rot(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x10
    path.write_bytes(content)


def test_verify_finds_rot(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    assert node.verify(chunk_id)
    rot(chunk_path(node, chunk_id))
    assert not node.verify(chunk_id)
    assert node.heartbeat().corrupt == (chunk_id,)
    assert [path.name for path in (node.directory / "quarantine").iterdir()] == [f"{chunk_id}.0"]
    heartbeat = node.heartbeat()
    assert heartbeat.usage.used_bytes == heartbeat.quarantine.bytes == 1064


@pytest.mark.parametrize("call", ["read", "verify"])
def test_a_file_that_vanished_is_told_as_removed(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, call: str
) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    chunk_path(node, chunk_id).unlink()
    with pytest.raises(ChunkMissing):
        getattr(node, call)(chunk_id)
    heartbeat = node.heartbeat()
    assert (heartbeat.removed, heartbeat.corrupt, heartbeat.chunks) == ((chunk_id,), (), 0)


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_a_replica_that_cannot_be_read_is_told_as_corrupt(
    node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    with monkeypatch.context() as broken:
        broken.setattr(os, "pread", failing(code))
        with pytest.raises(DiskFailure):
            node.read(chunk_id)
    assert node.heartbeat().corrupt == (chunk_id,)
    assert node.chunk_ids() == []


def test_a_directory_in_the_place_of_a_replica(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    chunk_path(node, chunk_id).unlink()
    chunk_path(node, chunk_id).mkdir()
    with pytest.raises(DiskFailure):
        node.read(chunk_id)
    assert node.heartbeat().corrupt == (chunk_id,)
    node.store(chunk_id, data)
    assert node.read(chunk_id) == data


def test_a_passing_failure_costs_no_replica(node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at once more before it is given up."""
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    pread, failures = os.pread, iter([errno.EIO])

    def fail_once(descriptor: int, count: int, offset: int) -> bytes:
        if code := next(failures, 0):
            raise OSError(code, os.strerror(code))
        return pread(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", fail_once)
    with pytest.raises(DiskFailure):
        node.read(chunk_id)
    assert node.read(chunk_id) == data
    assert node.heartbeat().corrupt == ()


def test_a_process_out_of_descriptors_gives_up_no_replica(
    node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    with monkeypatch.context() as broken:
        broken.setattr(os, "open", failing(errno.EMFILE))
        for call in (node.read, node.verify):
            with pytest.raises(DiskFailure):
                call(chunk_id)
    assert node.read(chunk_id) == data
    assert node.heartbeat().corrupt == ()


def test_a_bad_file_that_cannot_be_moved_is_neither_served_nor_trusted(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    rot(chunk_path(node, chunk_id))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", failing(errno.EROFS))
        assert not node.verify(chunk_id)
    assert node.heartbeat().corrupt == (chunk_id,)
    with pytest.raises(ChunkMissing):
        node.read(chunk_id)
    node.store(chunk_id, data)
    assert node.read(chunk_id) == data
    assert node.heartbeat().usage.used_bytes == 1000


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EIO, DiskFailure)])
def test_a_store_that_fails_is_not_told(
    node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    chunk_id, data = chunk()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing(code))
        with pytest.raises(kind):
            node.store(chunk_id, data)
    heartbeat = node.heartbeat()
    assert (heartbeat.received, heartbeat.chunks, heartbeat.written_bytes) == ((), 0, 0)


@pytest.mark.parametrize("fails", ["sync", "sync of its name", "room"])
def test_a_replica_that_turns_out_bad_in_a_store_that_fails_counts_no_more(
    open_node: Open, chunk: Chunk, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """The NameNode would count it, and remove the good one that the client stored elsewhere as one more than wanted."""
    capacity_bytes = 1_500 if fails == "room" else 0
    node = open_node(config=Config(disk_reserve_bytes=0, storage_capacity_bytes=capacity_bytes))
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    node.confirmed(node.heartbeat().sequence)
    rot(chunk_path(node, chunk_id))
    with monkeypatch.context() as broken:
        if fails == "sync":
            broken.setattr(os, "fsync", failing(errno.EIO))
        elif fails == "sync of its name":
            broken.setattr(chunkstore, "sync_directory", failing(errno.EIO))
        with pytest.raises((DiskFailure, DiskFull)):
            node.store(chunk_id, data)
    heartbeat = node.heartbeat()
    assert chunk_id in heartbeat.corrupt + heartbeat.removed
    assert heartbeat.chunks == 0
    assert node.chunk_ids() == []


def test_two_threads_storing_the_same_chunk_both_end_well(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, data = chunk(size_bytes=500_000)
    together = threading.Barrier(8)

    def store(_: int) -> None:
        together.wait()
        node.store(chunk_id, data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store, range(8)))
    assert node.read(chunk_id) == data
    heartbeat = node.heartbeat()
    assert (heartbeat.chunks, heartbeat.usage.used_bytes, heartbeat.written_bytes) == (1, 500_000, 500_000)
    assert list((node.directory / "incoming").iterdir()) == []


def test_stores_and_deletes_of_one_chunk_never_disagree_with_the_disk(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf
) -> None:
    chunks = [chunk(seed, size_bytes=200) for seed in range(3)]

    def store(turn: int) -> None:
        node.store(*chunks[turn % 3])

    def delete(turn: int) -> None:
        node.obey(reply(DeleteChunk(chunks[turn % 3][0])))

    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(delete if turn % 2 else store, turn) for turn in range(120)]
        for call in done:
            call.result()
    held = [chunk_id for chunk_id, _ in chunks if chunk_path(node, chunk_id).exists()]
    assert node.chunk_ids() == sorted(held)
    assert node.heartbeat().usage.used_bytes == 200 * len(held)


def test_a_delete_waits_for_a_store_of_the_same_chunk(
    node: StorageNode, chunk: Chunk, chunk_path: PathOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the rename and the inventory it would remove the file of a chunk that is then told as held."""
    chunk_id, data = chunk()
    delete = threading.Thread(target=lambda: node.obey(reply(DeleteChunk(chunk_id))))
    write = ChunkStore.write

    def and_a_delete_comes(store: ChunkStore, *arguments: Any, **named: Any) -> bool:
        written = write(store, *arguments, **named)
        delete.start()
        delete.join(timeout=0.1)
        return written

    monkeypatch.setattr(ChunkStore, "write", and_a_delete_comes)
    node.store(chunk_id, data)
    delete.join()
    assert node.chunk_ids() == []
    assert not chunk_path(node, chunk_id).exists()
    assert node.heartbeat().removed == (chunk_id,)


# --- Failed and recovered ---------------------------------------------------------------------------------------


def test_a_failed_node_refuses_and_comes_back(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    node.registered(RegistrationReply("cluster", "sn-02", 1, "none"))
    node.fail()
    assert not node.serving
    for call in (lambda: node.store(chunk_id, data), lambda: node.read(chunk_id), lambda: node.verify(chunk_id)):
        with pytest.raises(NodeNotServing, match="sn-02 has been failed by an operator; recover it"):
            call()
    node.recover()
    assert node.serving
    assert node.read(chunk_id) == data


def test_an_operators_wish_outlives_the_process(node: StorageNode) -> None:
    node.registered(RegistrationReply("cluster", "sn-02", 1, "failed"))
    assert not node.serving


def test_a_closed_node_refuses(open_node: Open, chunk: Chunk) -> None:
    node = open_node()
    node.close()
    with pytest.raises(NodeNotServing, match="no longer run by this process"):
        node.store(*chunk())
    node.recover()
    assert not node.serving


# --- Heartbeats -------------------------------------------------------------------------------------------------


def test_an_unconfirmed_heartbeat_is_repeated_with_fresh_figures(node: StorageNode, chunk: Chunk) -> None:
    node.store(*chunk(1))
    first = node.heartbeat()
    node.store(*chunk(2))
    repeated = node.heartbeat()
    assert (repeated.sequence, repeated.received, repeated.inventory_digest) == (
        first.sequence,
        first.received,
        first.inventory_digest,
    )
    assert repeated.usage.used_bytes == 2000
    node.confirmed(first.sequence)
    second = node.heartbeat()
    assert second.sequence == first.sequence + 1
    assert [received.id for received in second.received] == [chunk(2)[0]]
    assert second.chunks == 2


def test_changes_beyond_the_limit_wait(open_node: Open, chunk: Chunk) -> None:
    node = open_node(config=Config(disk_reserve_bytes=0, changes_per_heartbeat_max=2))
    for seed in range(3):
        node.store(*chunk(seed))
    heartbeat = node.heartbeat()
    assert len(heartbeat.received) == heartbeat.chunks == 2


def test_a_full_report_comes_in_pages(open_node: Open, chunk: Chunk) -> None:
    node = open_node(config=Config(disk_reserve_bytes=0, report_page_chunks_max=2))
    assert [(page.page, page.pages, page.chunks) for page in node.full_report()] == [(0, 1, ())]
    for seed in range(5):
        node.store(*chunk(seed))
    pages = node.full_report()
    assert [(page.report, page.page, page.pages, len(page.chunks)) for page in pages] == [
        (2, 0, 3, 2),
        (2, 1, 3, 2),
        (2, 2, 3, 1),
    ]
    assert [held.id for page in pages for held in page.chunks] == node.chunk_ids()
    heartbeat = node.heartbeat()
    assert (heartbeat.received, heartbeat.chunks) == ((), 5)


def test_a_full_report_takes_the_place_of_an_unconfirmed_heartbeat(node: StorageNode, chunk: Chunk) -> None:
    node.store(*chunk(1))
    first = node.heartbeat()
    node.full_report()
    second = node.heartbeat()
    assert second.sequence == first.sequence + 1
    assert second.received == ()
    node.confirmed(first.sequence)
    assert node.heartbeat().sequence == second.sequence


# --- Commands ---------------------------------------------------------------------------------------------------


def test_a_delete_is_done_and_told(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    node.confirmed(node.heartbeat().sequence)
    assert node.obey(reply(DeleteChunk(chunk_id))) == []
    assert not chunk_path(node, chunk_id).exists()
    heartbeat = node.heartbeat()
    assert (heartbeat.removed, heartbeat.chunks, heartbeat.usage.used_bytes) == ((chunk_id,), 0, 0)


def test_a_delete_of_what_is_not_there_is_told_too(node: StorageNode, chunk: Chunk) -> None:
    node.obey(reply(DeleteChunk(chunk()[0])))
    assert node.heartbeat().removed == (chunk()[0],)


def test_a_delete_that_the_disk_refuses_is_told_as_corrupt(
    node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, data), (second, other) = chunk(1), chunk(2)
    node.store(first, data)
    node.store(second, other)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", failing(errno.EIO))
        node.obey(reply(DeleteChunk(first), SendFullReport()))
    heartbeat = node.heartbeat()
    assert heartbeat.corrupt == (first,)
    assert node.chunk_ids() == [second]


def test_the_shell_gets_what_is_not_for_the_node(node: StorageNode, chunk: Chunk) -> None:
    copy = copy_of(chunk()[0])
    assert node.obey(reply(SendFullReport(), copy, ScrubAll(1))) == [SendFullReport(), copy]
    assert node.heartbeat().copying == 1


def test_a_copy_is_begun_once_and_may_be_begun_again_after(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    copy = copy_of(chunk_id)
    assert node.obey(reply(copy, copy)) == [copy]
    assert node.obey(reply(copy)) == []
    node.copy_failed(chunk_id)
    assert node.heartbeat().failed_copies == (chunk_id,)
    node.confirmed(1)
    assert node.obey(reply(copy)) == [copy]
    node.store(chunk_id, data)
    node.copied(chunk_id)
    heartbeat = node.heartbeat()
    assert (heartbeat.received, heartbeat.failed_copies, heartbeat.copying) == ((ChunkKey(chunk_id, 1000),), (), 0)


def test_more_is_asked_for_when_half_of_what_was_ordered_is_done(node: StorageNode, chunk: Chunk) -> None:
    ids = [chunk(number)[0] for number in range(9)]
    node.obey(reply(*map(copy_of, ids[:6])))
    assert [asks_after(node.copied, chunk_id, node) for chunk_id in ids[:3]] == [False, False, True]
    assert not node.asks_for_more(), "once"
    node.obey(reply(*map(copy_of, ids[6:8])))
    assert not asks_after(node.copied, ids[3], node)
    assert not asks_after(node.copy_failed, ids[4], node)
    assert [asks_after(node.copied, chunk_id, node) for chunk_id in ids[5:8]] == [True, False, False]


def test_more_is_asked_for_when_the_last_copy_is_done(node: StorageNode, chunk: Chunk) -> None:
    ids = [chunk(number)[0] for number in range(3)]
    node.obey(reply(*map(copy_of, ids)))
    assert not asks_after(node.copied, ids[0], node)
    assert asks_after(node.copy_failed, ids[1], node)
    node.obey(reply())
    assert asks_after(node.copied, ids[2], node), "the answer had nothing to add"


def test_what_was_pulled_is_told_apart_from_what_clients_wrote(node: StorageNode, chunk: Chunk) -> None:
    node.store(*chunk(1))
    chunk_id, data = chunk(2)
    node.obey(reply(copy_of(chunk_id)))
    node.store(chunk_id, data)
    node.copied(chunk_id)
    heartbeat = node.heartbeat()
    assert (heartbeat.written_bytes, heartbeat.copied_bytes) == (2000, 1000)


def test_a_copy_of_what_is_held_is_told_again(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    node.confirmed(node.heartbeat().sequence)
    assert node.obey(reply(copy_of(chunk_id))) == []
    heartbeat = node.heartbeat()
    assert (heartbeat.received, heartbeat.copying, heartbeat.chunks) == ((ChunkKey(chunk_id, 1000),), 0, 1)


def test_stop_serving(node: StorageNode) -> None:
    assert node.obey(reply(StopServing())) == []
    assert not node.serving


def test_a_node_that_gives_up_touches_nothing_more(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    assert node.obey(reply(DeleteChunk(chunk_id), GiveUp())) == [GiveUp()]
    assert node.chunk_ids() == [chunk_id]
    with pytest.raises(NodeNotServing):
        node.read(chunk_id)


def test_an_older_namenode_is_not_obeyed(node: StorageNode, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    node.obey(reply(epoch=5))
    assert node.obey(reply(DeleteChunk(chunk_id), StopServing(), GiveUp(), epoch=4)) == []
    assert node.read(chunk_id) == data


def test_the_highest_epoch_outlives_the_process(open_node: Open) -> None:
    node = open_node()
    node.obey(reply(epoch=5))
    node.close()
    again = open_node()
    assert again.epoch == 5
    assert again.obey(reply(StopServing(), epoch=4)) == []
    assert again.serving


def test_a_full_disk_does_not_keep_it_from_deleting(
    open_node: Open, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epoch can't be written down just then; it is by the next reply."""
    node = open_node()
    chunk_id, data = chunk()
    node.store(chunk_id, data)
    with monkeypatch.context() as full:
        full.setattr(os, "write", failing(errno.ENOSPC))
        node.obey(reply(DeleteChunk(chunk_id), epoch=5))
    assert node.chunk_ids() == []
    assert node.epoch == 5
    node.obey(reply(epoch=5))
    node.close()
    assert open_node().epoch == 5
