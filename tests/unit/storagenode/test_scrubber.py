"""The scrubber: every replica once a round, the bad ones out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import NodeNotServing
from core.model import DeleteChunk, HeartbeatReply
from core.storagenode.scrubber import Scrubber, ScrubProgress
from core.storagenode.storagenode import StorageNode

Chunk = Callable[..., tuple[str, bytes]]
PathOf = Callable[[StorageNode, str], Path]


@pytest.fixture
def full_node(node: StorageNode, chunk: Chunk) -> StorageNode:
    for seed in range(4):
        node.store(*chunk(seed))
    return node


def test_an_empty_node_is_scrubbed_at_once(node: StorageNode) -> None:
    scrubber = Scrubber(node)
    assert not scrubber.step()
    scrubber.start_round()
    assert not scrubber.step()
    assert scrubber.progress == ScrubProgress(0, 0, 0, False)


def test_a_round_finds_what_is_bad(full_node: StorageNode, chunk_path: PathOf) -> None:
    first, second, third, fourth = full_node.chunk_ids()
    path = chunk_path(full_node, second)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    chunk_path(full_node, third).unlink()
    scrubber = Scrubber(full_node)
    scrubber.start_round()
    assert scrubber.progress == ScrubProgress(0, 4, 0, True)
    assert [scrubber.step() for _ in range(5)] == [True, True, True, False, False]
    assert scrubber.progress == ScrubProgress(4, 4, 1, False)
    heartbeat = full_node.heartbeat()
    assert (heartbeat.corrupt, heartbeat.removed) == ((second,), (third,))
    assert full_node.chunk_ids() == [first, fourth]


def test_what_is_deleted_meanwhile_is_not_bad(full_node: StorageNode) -> None:
    scrubber = Scrubber(full_node)
    scrubber.start_round()
    full_node.obey(HeartbeatReply(0, True, tuple(DeleteChunk(chunk_id) for chunk_id in full_node.chunk_ids())))
    while scrubber.step():
        pass
    assert scrubber.progress == ScrubProgress(4, 4, 0, False)


def test_a_failed_node_is_scrubbed_on_when_it_is_back(full_node: StorageNode) -> None:
    scrubber = Scrubber(full_node)
    scrubber.start_round()
    scrubber.step()
    full_node.fail()
    with pytest.raises(NodeNotServing):
        scrubber.step()
    full_node.recover()
    assert scrubber.progress.done == 1
    scrubber.step()
    assert scrubber.progress.done == 2


def test_a_round_can_be_begun_anew(full_node: StorageNode) -> None:
    scrubber = Scrubber(full_node)
    scrubber.start_round()
    scrubber.step()
    scrubber.start_round()
    assert scrubber.progress == ScrubProgress(0, 4, 0, True)
