"""What a storage node's shell does over and over: talk to the NameNode, and pull the copies it orders.

Only the order of the messages is here. How they travel, and in which thread, is the shell's business, so that the
same steps run on Ray and in a simulation.

A process can be stopped at any moment and go on much later, unaware (SIGSTOP, a machine that sleeps, a disk that
hangs). What it then still has in hand must do no harm:

- Reads need no fence: a chunk is named by its hash, and clients check it.
- Stores need none either: a client's word that a node confirmed a chunk counts only while the NameNode itself believes
  the node up, at the moment of the commit. A store meant for another node is refused, since after a restart a node may
  be found at another's address.
- Copies made late are replicas more than wanted; they are told, and trimmed.
- Deletions ordered by an older NameNode are refused by their epoch. Those in hand from the present one are safe as
  such: from the moment it sends the order, the NameNode counts that replica no more until this process says what
  became of it, and no other process can open the directory while this one lives. Still, a picture of long ago is behind
  them: by now that replica may be the last one. So an answer that took as long as it takes to be given up for DOWN, by
  this process' own monotonic clock, is not obeyed: the process may have stood still since it came. The heartbeat is
  told again. And a NameNode that gave this node up with deletions under way has it begin anew, as a new process: it
  then takes them back, and orders no other before a full report is in. One that was merely busy gave up nobody.
- If another process has become this node meanwhile, the first heartbeat is answered with GiveUp, which is obeyed first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from core.errors import StorageNodeError, Superseded
from core.model import BeginAnew, Command, CopyChunk, GiveUp, HeartbeatReply, NodeRef, SendFullReport, StopServing
from core.storagenode.chunkfile import Buffer
from core.storagenode.storagenode import StorageNode

log = logging.getLogger("dame")

AskNameNode = Callable[..., Any]
"""The name of one of the NameNode's methods and its arguments: one call, tried once. Raises DameError."""
ReadFrom = Callable[[NodeRef, str], Buffer]
"""A chunk's bytes from another storage node. Raises StorageNodeError."""


class Conversation:
    """One process' words with the NameNode; belongs to one thread."""

    def __init__(
        self,
        node: StorageNode,
        ask: AskNameNode,
        endpoint: str,
        pid: int,
        monotonic_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        """monotonic_ms: tells how long answers take; time that stands still if the process can't stop."""
        self._node = node
        self._ask = ask
        self._endpoint = endpoint
        self._pid = pid
        self._registered = False
        self._monotonic_ms = monotonic_ms

    def step(self, carry_out: Callable[[Command], None]) -> None:
        """Register, if that is still to be done; then beat, or ask whether a failed node may return.

        carry_out: begins what was ordered and is not the node's own to do. Raises what a call raises; the next step
        goes on from there.
        """
        try:
            self._talk(carry_out)
            if not self._registered:
                self._talk(carry_out)  # who has only registered is given nothing
        except Superseded:
            # Perhaps wrongly: registrations of several processes can arrive in any order. A process that ends is
            # followed by one that registers last.
            carry_out(GiveUp())

    def _talk(self, carry_out: Callable[[Command], None]) -> None:
        if not self._registered:
            self._register()
        if not self._node.serving:
            self._return_when_recovered()
        if self._node.serving:
            self._beat(carry_out)

    def _register(self) -> None:
        self._node.registered(self._ask("register", self._node.registration(self._endpoint, self._pid)))
        self._registered = True

    def _return_when_recovered(self) -> None:
        """A failed node is silent, so that word of its recovery may have missed it: ask what is wanted of it."""
        if self._ask("wish", self._node.id) != "failed":
            self._node.recover()

    def _beat(self, carry_out: Callable[[Command], None]) -> None:
        node = self._node
        heartbeat = node.heartbeat()
        asked_ms = self._monotonic_ms()
        reply: HeartbeatReply = self._ask("heartbeat", heartbeat)
        if not reply.known:
            self._registered = False
            return
        late = self._monotonic_ms() - asked_ms > node.down_after_ms
        if late:
            log.warning("the NameNode's answer is more than %s ms old; asking again", node.down_after_ms)
            ends = tuple(command for command in reply.commands if isinstance(command, (GiveUp, StopServing)))
            reply = replace(reply, commands=ends)
        elif reply.epoch >= node.epoch:
            node.confirmed(heartbeat.sequence)
        self._carry_out_all(node.obey(reply), carry_out)

    def _carry_out_all(self, commands: list[Command], carry_out: Callable[[Command], None]) -> None:
        """What the node leaves to do of what was ordered."""
        for command in commands:
            if not isinstance(command, (BeginAnew, SendFullReport)):
                carry_out(command)
        if BeginAnew() in commands:
            log.warning("the NameNode had given this storage node up, and takes deletes back; registering anew")
            self._node.begin_anew()
            self._registered = False
        elif SendFullReport() in commands:  # last, since it may fail: what was ordered beside it has begun by then
            self._report()

    def _report(self) -> None:
        for page in self._node.full_report():
            self._ask("full_report", page)


def pull(node: StorageNode, command: CopyChunk, read: ReadFrom) -> bool:
    """Take a replica from the first source that has a good one. False if there is none, which the node tells."""
    pulled = any(_pull_from(source, node, command, read) for source in command.sources)
    if pulled:
        node.copied(command.chunk.id)
    else:
        node.copy_failed(command.chunk.id)
    return pulled


def _pull_from(source: NodeRef, node: StorageNode, command: CopyChunk, read: ReadFrom) -> bool:
    try:
        node.store(command.chunk.id, read(source, command.chunk.id))
    except StorageNodeError as error:
        about = {"chunk": command.chunk.id, "source": source.id}
        log.warning("copying a chunk from %s failed: %s", source.name, error, extra={"ids": about})
        return False
    return True
