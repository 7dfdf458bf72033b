"""A process that was stopped and goes on much later does no harm with what it has in hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from core.config import Config
from core.errors import ClusterUnreachable, NodeNotServing
from core.model import (
    BeginAnew,
    ChunkKey,
    Command,
    CopyChunk,
    DeleteChunk,
    GiveUp,
    HeartbeatReply,
    RegistrationReply,
    SendFullReport,
    StopServing,
)
from core.storagenode.conversation import Conversation
from core.storagenode.storagenode import StorageNode

Chunk = Callable[..., tuple[str, bytes]]

DOWN_MS = Config().down_after_ms


@dataclass
class World:
    """A NameNode that answers as it is told, and a monotonic clock."""

    now_ms: int = 5_000
    commands: tuple[Command, ...] = ()
    known: bool = True
    away: bool = False
    stopped_ms: int = 0
    """For so long the process is stopped while it waits for the next heartbeat's answer."""
    asked: list[str] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    """Of the heartbeats."""
    incarnations: list[str] = field(default_factory=list)
    carried_out: list[Command] = field(default_factory=list)

    def ask(self, method: str, *arguments: Any) -> Any:
        self.asked.append(method)
        if self.away:
            raise ClusterUnreachable("away")
        if method == "register":
            self.incarnations.append(arguments[0].incarnation)
            self.known, self.commands = True, ()
            return RegistrationReply("cluster", "sn-01", 1, "none")
        if method == "wish":
            return "none"
        if method == "heartbeat":
            self.sequences.append(arguments[0].sequence)
            self.now_ms += self.stopped_ms
            return HeartbeatReply(1, self.known, self.commands)
        return None

    def clock(self) -> int:
        return self.now_ms


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def conversation(node: StorageNode, world: World) -> Conversation:
    started = Conversation(node, world.ask, "endpoint", 1, world.clock)
    started.step(world.carried_out.append)
    world.asked.clear()
    return started


@pytest.fixture
def chunk_id(node: StorageNode, chunk: Chunk) -> str:
    node.store(*chunk())
    return chunk()[0]


def test_orders_are_obeyed_while_answers_come(
    conversation: Conversation, world: World, node: StorageNode, chunk_id: str
) -> None:
    world.now_ms += DOWN_MS
    world.commands = (DeleteChunk(chunk_id),)
    conversation.step(world.carried_out.append)
    assert node.chunk_ids() == []
    assert len(world.incarnations) == 1


def test_an_order_that_arrives_after_a_long_sleep_is_not_obeyed_and_the_heartbeat_told_again(
    conversation: Conversation, world: World, node: StorageNode, chunk_id: str
) -> None:
    copy = CopyChunk(ChunkKey("b" * 64, 10), ())
    world.commands = (DeleteChunk(chunk_id), copy, SendFullReport())
    world.stopped_ms = DOWN_MS + 1
    conversation.step(world.carried_out.append)
    assert node.chunk_ids() == [chunk_id]
    assert world.carried_out == []
    world.stopped_ms = 0
    world.commands = ()
    conversation.step(world.carried_out.append)
    assert world.asked == ["heartbeat", "heartbeat"]
    assert world.sequences[-1] == world.sequences[-2], "so that the NameNode says again what holds by now"


def test_one_that_was_given_up_begins_anew_when_it_is_told(
    conversation: Conversation, world: World, node: StorageNode, chunk_id: str
) -> None:
    world.now_ms += DOWN_MS + 1
    world.commands = (BeginAnew(),)
    conversation.step(world.carried_out.append)
    assert world.asked == ["heartbeat", "register", "heartbeat"], "who has only registered is given nothing"
    assert len(set(world.incarnations)) == 2
    assert node.incarnation == world.incarnations[-1]
    world.commands = (DeleteChunk(chunk_id),)
    conversation.step(world.carried_out.append)
    assert node.chunk_ids() == [], "decided after it registered anew"


def test_a_namenode_that_was_busy_for_long_is_obeyed_at_once(
    conversation: Conversation, world: World, node: StorageNode, chunk_id: str
) -> None:
    """All nodes were without an answer for as long, and all would begin anew together, each with a full report."""
    world.away = True
    for _ in range(12):
        world.now_ms += 1_000
        with pytest.raises(ClusterUnreachable):
            conversation.step(world.carried_out.append)
    world.away = False
    world.commands = (DeleteChunk(chunk_id),)
    conversation.step(world.carried_out.append)
    assert node.chunk_ids() == []
    assert len(world.incarnations) == 1


def test_one_that_was_replaced_meanwhile_gives_up(
    conversation: Conversation, world: World, node: StorageNode, chunk_id: str
) -> None:
    world.stopped_ms = 600_000
    world.commands = (DeleteChunk(chunk_id), GiveUp())
    conversation.step(world.carried_out.append)
    assert world.carried_out == [GiveUp()]
    assert node.chunk_ids() == [chunk_id]
    assert len(world.incarnations) == 1
    with pytest.raises(NodeNotServing):
        node.read(chunk_id)


def test_one_that_was_failed_meanwhile_stops(conversation: Conversation, world: World, node: StorageNode) -> None:
    world.stopped_ms = 600_000
    world.commands = (StopServing(),)
    conversation.step(world.carried_out.append)
    assert not node.serving


def test_an_unknown_one_just_registers(conversation: Conversation, world: World) -> None:
    world.now_ms += 600_000
    world.known = False
    conversation.step(world.carried_out.append)
    assert world.asked == ["heartbeat", "register", "heartbeat"], "who has only registered is given nothing"
    assert len(world.incarnations) == 2
    assert len(set(world.incarnations)) == 1


def test_a_failed_node_that_comes_back_was_not_silent(
    conversation: Conversation, world: World, node: StorageNode, chunk_id: str
) -> None:
    """It asks whether it may return, and is answered."""
    node.fail()
    world.now_ms += 600_000
    world.commands = (DeleteChunk(chunk_id),)
    conversation.step(world.carried_out.append)
    assert world.asked == ["wish", "heartbeat"]
    assert node.chunk_ids() == []


def test_a_call_meant_for_another_node_is_refused(node: StorageNode) -> None:
    node.check_meant(node.id)
    with pytest.raises(NodeNotServing, match="not the one that was meant"):
        node.check_meant("another")
