"""The scrubber: finds what went bad behind the node's back, keeps its time, and goes on where it was."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from core.config import DAY_MS, MIB, Config
from core.model import DeleteChunk, HeartbeatReply, ScrubAll, ScrubState
from core.storagenode.chunkstore import ChunkStore
from core.storagenode.pace import REPLICA_COST_BYTES, YIELD, bytes_per_s, cost_bytes, round_ms
from core.storagenode.scrubber import FILE_NAME, IDLE_MS, SAVE_MS
from core.storagenode.storagenode import StorageNode

Open = Callable[..., StorageNode]
Chunk = Callable[..., tuple[str, bytes]]
PathOf = Callable[[StorageNode, str], Path]

NOW_MS = 1_700_000_000_000


def ask(node: StorageNode, order: int = 1) -> None:
    node.obey(HeartbeatReply(0, True, (ScrubAll(order),)))


def run(node: StorageNode, now_ms: int = NOW_MS, duration_ms: int = 60_000) -> int:
    """Let the scrubber work until it rests; the time then."""
    end_ms = now_ms + duration_ms
    while now_ms < end_ms:
        pause_ms = node.look_after(now_ms)
        if pause_ms == IDLE_MS:
            return now_ms
        now_ms += pause_ms
    raise AssertionError("it never rests")


def state_of(node: StorageNode) -> ScrubState:
    return node.heartbeat().scrub


@pytest.fixture
def full_node(node: StorageNode, chunk: Chunk) -> StorageNode:
    for seed in range(4):
        node.store(*chunk(seed))
    return node


# --- What it finds ----------------------------------------------------------------------------------------------


def test_an_empty_node_is_through_at_once(node: StorageNode) -> None:
    run(node)
    assert state_of(node) == ScrubState(finished_ms=NOW_MS)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def unreadable(path: Path) -> None:
    """As a bad disk does, also to root: a loop of links can't be followed."""
    path.unlink()
    path.symlink_to(path)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [flipped, lambda path: os.truncate(path, 500), unreadable, a_directory])
def test_what_went_bad_is_quarantined_and_told(
    full_node: StorageNode, chunk_path: PathOf, spoil: Callable[[Path], None]
) -> None:
    victim = full_node.chunk_ids()[2]
    spoil(chunk_path(full_node, victim))
    run(full_node)
    heartbeat = full_node.heartbeat()
    assert (heartbeat.corrupt, heartbeat.removed) == ((victim,), ())
    assert (heartbeat.scrub.done, heartbeat.scrub.bad) == (heartbeat.scrub.total, 1)
    assert victim not in full_node.chunk_ids()
    assert os.path.lexists(full_node.directory / "quarantine" / f"{victim}.0")


def test_what_was_deleted_behind_its_back_is_told_as_removed(full_node: StorageNode, chunk_path: PathOf) -> None:
    victim = full_node.chunk_ids()[0]
    chunk_path(full_node, victim).unlink()
    run(full_node)
    heartbeat = full_node.heartbeat()
    assert (heartbeat.corrupt, heartbeat.removed, heartbeat.scrub.bad) == ((), (victim,), 1)
    assert victim not in full_node.chunk_ids()


def test_what_is_deleted_on_command_meanwhile_is_not_bad(full_node: StorageNode) -> None:
    full_node.look_after(NOW_MS)
    full_node.obey(HeartbeatReply(0, True, tuple(DeleteChunk(chunk_id) for chunk_id in full_node.chunk_ids())))
    run(full_node)
    assert (state_of(full_node).done, state_of(full_node).bad) == (4, 0)


def test_a_replica_that_the_disk_once_refused_to_let_go_counts_again(
    full_node: StorageNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the simulation, seed 400743: such a file took room, and nobody knew of it until a restart."""
    victim = full_node.chunk_ids()[1]
    with monkeypatch.context() as refusing:
        for name in ("unlink", "rename"):
            refusing.setattr(os, name, refused)
        full_node.obey(HeartbeatReply(0, True, (DeleteChunk(victim),)))
    told = full_node.heartbeat()
    full_node.confirmed(told.sequence)
    assert told.corrupt == (victim,)
    run(full_node)
    assert [key.id for key in full_node.heartbeat().received] == [victim]
    assert (victim in full_node.chunk_ids(), state_of(full_node).bad) == (True, 0)


def refused(*_: object, **__: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_directory_that_cannot_be_listed_keeps_no_replica_from_being_read(
    full_node: StorageNode, monkeypatch: pytest.MonkeyPatch, chunk_path: PathOf
) -> None:
    flipped(chunk_path(full_node, full_node.chunk_ids()[2]))
    with monkeypatch.context() as refusing:
        refusing.setattr(os, "scandir", refused)
        run(full_node)
    assert (state_of(full_node).done, state_of(full_node).bad) == (4, 1)
    assert state_of(full_node).finished_ms > NOW_MS


def test_a_file_that_is_deleted_while_it_is_listed_is_no_failure(
    full_node: StorageNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = full_node.chunk_ids()[0]
    scandir = os.scandir

    @contextmanager
    def late(folder: Path) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            listed = list(entries)
        if victim in {entry.name for entry in listed}:
            full_node.obey(HeartbeatReply(0, True, (DeleteChunk(victim),)))
        yield listed

    monkeypatch.setattr(os, "scandir", late)
    report = full_node.walk()
    assert (report.replicas, report.removed, report.corrupt) == (3, 0, 0)


def test_a_file_that_appears_is_not_trusted(node: StorageNode, chunk: Chunk, chunk_path: PathOf) -> None:
    """Neither served, nor reported, nor taken for a stored chunk."""
    chunk_id, data = chunk()
    path = chunk_path(node, chunk_id)
    path.parent.mkdir()
    path.write_bytes(bytes(64 + len(data)))
    run(node)
    assert node.chunk_ids() == []
    node.store(chunk_id, data)
    assert node.read(chunk_id) == data


# --- When it works ----------------------------------------------------------------------------------------------


def test_every_replica_is_re_read_within_the_period(
    full_node: StorageNode, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that are stored in between, whatever their place in the order, and when much is added to little."""
    period_ms = Config().scrub_period_ms
    seen: dict[str, int] = dict.fromkeys(full_node.chunk_ids(), NOW_MS)
    verify = ChunkStore.verify
    now_ms = NOW_MS
    longest_ms = 0

    def watched(store: ChunkStore, chunk_id: str) -> bool:
        nonlocal longest_ms
        longest_ms = max(longest_ms, now_ms - seen[chunk_id])
        seen[chunk_id] = now_ms
        return verify(store, chunk_id)

    monkeypatch.setattr(ChunkStore, "verify", watched)
    while now_ms < NOW_MS + 4 * period_ms:
        pause_ms = full_node.look_after(now_ms)
        now_ms += pause_ms if pause_ms != IDLE_MS else 3_600_000
        if len(seen) < 40 and now_ms > NOW_MS + len(seen) * period_ms // 16:
            chunk_id, data = chunk(len(seen) + 100)
            full_node.store(chunk_id, data)
            seen[chunk_id] = now_ms
    assert len(seen) == 40
    assert all(now_ms - time_ms <= period_ms for time_ms in seen.values())
    assert longest_ms <= period_ms


def test_the_next_round_begins_by_itself(full_node: StorageNode) -> None:
    end_ms = run(full_node)
    assert full_node.look_after(end_ms + DAY_MS) == IDLE_MS
    assert state_of(full_node).done == 4
    full_node.look_after(NOW_MS + round_ms(Config()))
    assert (state_of(full_node).done, state_of(full_node).finished_ms) == (1, end_ms)


def test_a_clock_that_steps_back_stops_nothing(full_node: StorageNode) -> None:
    run(full_node)
    earlier_ms = NOW_MS - 1000 * DAY_MS
    full_node.look_after(earlier_ms)
    assert state_of(full_node).done == 4
    full_node.look_after(earlier_ms + round_ms(Config()))
    assert state_of(full_node).done == 1


def test_the_pace_fits_what_is_left_within_its_bounds() -> None:
    config = Config(scrub_bytes_per_s_min=10, scrub_bytes_per_s_max=1000)
    assert bytes_per_s(500, 1_000, config, hurry=False, busy=False) == 500
    assert bytes_per_s(1, 1_000, config, hurry=False, busy=False) == 10
    assert bytes_per_s(10**9, 1_000, config, hurry=False, busy=False) == 1000
    assert bytes_per_s(1, 0, config, hurry=False, busy=False) == 1000
    assert bytes_per_s(1, -5, config, hurry=False, busy=False) == 1000
    assert bytes_per_s(1, 1_000, config, hurry=True, busy=False) == 1000
    assert bytes_per_s(1, 1_000, config, hurry=True, busy=True) == 1000 // YIELD
    assert bytes_per_s(1, 1_000, replace(config, scrub_bytes_per_s_min=1), hurry=False, busy=True) == 1


def test_a_small_node_is_through_soon_and_an_ordered_round_goes_as_fast_as_it_may(full_node: StorageNode) -> None:
    config = Config()
    assert full_node.look_after(NOW_MS) == YIELD * cost_bytes(1000) * 1000 // config.scrub_bytes_per_s_min
    assert full_node.look_after(NOW_MS + 5_000) == cost_bytes(1000) * 1000 // config.scrub_bytes_per_s_min
    ask(full_node)
    assert full_node.look_after(NOW_MS + 5_000) == cost_bytes(1000) * 1000 // config.scrub_bytes_per_s_max
    assert run(full_node, NOW_MS + 5_000) - NOW_MS - 5_000 < 4 * REPLICA_COST_BYTES * 1000 // MIB


def test_it_yields_while_the_node_serves(full_node: StorageNode) -> None:
    full_node.look_after(NOW_MS)
    quiet_ms = full_node.look_after(NOW_MS + 10_000)
    full_node.read(full_node.chunk_ids()[0])
    busy_ms = full_node.look_after(NOW_MS + 20_000)
    assert YIELD * quiet_ms - YIELD < busy_ms <= YIELD * (quiet_ms + 1)
    assert full_node.look_after(NOW_MS + 30_000) == quiet_ms


def test_a_failed_node_is_left_alone_and_scrubbed_on_when_it_is_back(full_node: StorageNode) -> None:
    full_node.look_after(NOW_MS)
    full_node.fail()
    assert full_node.look_after(NOW_MS) == IDLE_MS
    assert state_of(full_node).done == 1
    full_node.recover()
    full_node.look_after(NOW_MS)
    assert state_of(full_node).done == 2


# --- Orders -----------------------------------------------------------------------------------------------------


def test_an_order_begins_anew_once(full_node: StorageNode) -> None:
    full_node.look_after(NOW_MS)
    full_node.look_after(NOW_MS)
    ask(full_node, order=7)
    assert (state_of(full_node).order, state_of(full_node).ordered, state_of(full_node).done) == (7, True, 0)
    full_node.look_after(NOW_MS)
    ask(full_node, order=7)
    ask(full_node, order=3)
    full_node.look_after(NOW_MS)
    assert (state_of(full_node).order, state_of(full_node).done) == (7, 2)
    run(full_node)
    assert (state_of(full_node).order, state_of(full_node).ordered, state_of(full_node).done) == (7, False, 4)


def test_an_order_finds_what_went_bad_after_the_round_had_passed_it(full_node: StorageNode, chunk_path: PathOf) -> None:
    first = full_node.chunk_ids()[0]
    for _ in range(3):
        full_node.look_after(NOW_MS)
    flipped(chunk_path(full_node, first))
    ask(full_node)
    run(full_node)
    assert full_node.heartbeat().corrupt == (first,)


# --- Restarts ---------------------------------------------------------------------------------------------------


@pytest.fixture
def restarted(open_node: Open, chunk: Chunk) -> StorageNode:
    """A node whose process ended after two of four replicas, a while after it had written down where it was."""
    node = open_node()
    for seed in range(4):
        node.store(*chunk(seed))
    ask(node, order=5)
    node.look_after(NOW_MS)
    node.look_after(NOW_MS + SAVE_MS)
    node.close()
    return open_node()


def test_a_restarted_node_goes_on(restarted: StorageNode) -> None:
    state = state_of(restarted)
    assert (state.order, state.ordered, state.done, state.total) == (5, True, 2, 4)
    end_ms = run(restarted, NOW_MS + SAVE_MS)
    assert state_of(restarted) == replace(state, ordered=False, done=4, bytes_per_s=400, finished_ms=end_ms)


def test_a_restarted_node_remembers_when_it_was_through(open_node: Open, node: StorageNode) -> None:
    run(node)
    node.close()
    again = open_node()
    assert state_of(again).finished_ms == NOW_MS
    again.look_after(NOW_MS + DAY_MS)
    assert state_of(again).finished_ms == NOW_MS


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{}", b'{"after": 1}', b'{"order": "1"}', b'{"newer": true}']
)
def test_a_place_that_can_not_be_read_only_repeats_work(
    open_node: Open, node: StorageNode, chunk: Chunk, content: bytes
) -> None:
    node.store(*chunk())
    run(node)
    node.close()
    (node.directory / FILE_NAME).write_bytes(content)
    again = open_node()
    run(again, NOW_MS + 5)
    assert (state_of(again).done, state_of(again).total) == (1, 1)


def test_the_place_is_written_rarely(full_node: StorageNode) -> None:
    path = full_node.directory / FILE_NAME
    full_node.look_after(NOW_MS)
    begun = path.read_bytes()
    full_node.look_after(NOW_MS + SAVE_MS - 1)
    assert path.read_bytes() == begun
    full_node.look_after(NOW_MS + SAVE_MS)
    assert json.loads(path.read_bytes())["after"] == full_node.chunk_ids()[2]


def test_a_full_disk_does_not_stop_it(full_node: StorageNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    run(full_node)
    assert state_of(full_node).done == 4
    assert not (full_node.directory / FILE_NAME).exists()
