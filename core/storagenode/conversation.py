"""What a storage node's shell does over and over: talk to the NameNode, and pull the copies it orders.

Only the order of the messages is here. How they travel, and in which thread, is the shell's business, so that the
same steps run on Ray and in a simulation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from core.errors import StorageNodeError
from core.model import Command, CopyChunk, NodeRef, SendFullReport
from core.storagenode.chunkfile import Buffer
from core.storagenode.storagenode import StorageNode

log = logging.getLogger("dame")

AskNameNode = Callable[..., Any]
"""The name of one of the NameNode's methods and its arguments: one call, tried once. Raises DameError."""
ReadFrom = Callable[[NodeRef, str], Buffer]
"""A chunk's bytes from another storage node. Raises StorageNodeError."""


class Conversation:
    """One process' words with the NameNode; belongs to one thread."""

    def __init__(self, node: StorageNode, ask: AskNameNode, endpoint: str, pid: int) -> None:
        self._node = node
        self._ask = ask
        self._endpoint = endpoint
        self._pid = pid
        self._registered = False

    def step(self, carry_out: Callable[[Command], None]) -> None:
        """Register, if that is still to be done; then beat, or ask whether a failed node may return.

        carry_out: begins what was ordered and is not the node's own to do. Raises what a call raises; the next step
        goes on from there.
        """
        if not self._registered:
            self._register()
            self._registered = True
        if not self._node.serving:
            self._return_when_recovered()
        if self._node.serving:
            self._beat(carry_out)

    def _register(self) -> None:
        self._node.registered(self._ask("register", self._node.registration(self._endpoint, self._pid)))

    def _return_when_recovered(self) -> None:
        """A failed node is silent, so that word of its recovery may have missed it: ask what is wanted of it."""
        if self._ask("wish", self._node.id) != "failed":
            self._node.recover()

    def _beat(self, carry_out: Callable[[Command], None]) -> None:
        node = self._node
        heartbeat = node.heartbeat()
        reply = self._ask("heartbeat", heartbeat)
        if not reply.known:
            self._register()
            return
        if reply.epoch >= node.epoch:
            node.confirmed(heartbeat.sequence)
        commands = node.obey(reply)
        for command in commands:
            if not isinstance(command, SendFullReport):
                carry_out(command)
        if SendFullReport() in commands:  # last, since it may fail: what was ordered beside it has begun by then
            self._report()

    def _report(self) -> None:
        for page in self._node.full_report():
            self._ask("full_report", page)


def pull(node: StorageNode, command: CopyChunk, read: ReadFrom) -> None:
    """Take a replica from the first source that has a good one; tell at once when there is nothing left to pull."""
    if any(_pull_from(source, node, command, read) for source in command.sources):
        node.copied(command.chunk.id)
    else:
        node.copy_failed(command.chunk.id)


def _pull_from(source: NodeRef, node: StorageNode, command: CopyChunk, read: ReadFrom) -> bool:
    try:
        node.store(command.chunk.id, read(source, command.chunk.id))
    except StorageNodeError as error:
        log.warning("copy of %s from %s failed: %s", command.chunk.id[:12], source.name, error)
        return False
    return True
