"""Promises compared with the disks, at the moment they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from core.config import write_quorum
from core.model import Command, CommitRequest, DeleteChunk, HeartbeatReply
from core.namenode import edits
from core.storagenode import chunkfile
from core.storagenode.chunkfile import HEADER_BYTES
from core.storagenode.storagenode import StorageNode
from tests.simulation.filesystem import content_of
from tests.simulation.oracle import require

if TYPE_CHECKING:
    from tests.simulation.processes import Machine, NameNodeProcess
    from tests.simulation.world import World

CHUNKS_FOR_EVERY_CHECK = 40
"""With fewer chunks, every change of the NameNode's state is followed by a look at all of it; with twice as many every
second one, and so on."""

HEARTBEATS_FOR_A_LOOK = 10
"""After so many of all nodes, the inventory of one is compared with its disk."""

DOOMED_MS = 15_000
"""A delete that was sent may arrive this much later."""
DOOMED_ON_SLOW_DISKS_MS = 60_000
"""Where others are carried out before it, each as slow as the disk."""


class Checks:
    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: tuple[Any, ...] = ()
        self._changes = 0
        self._heartbeats = 0
        self._destroyed: dict[str, set[str]] = {}
        """By chunk, the places where a fault destroyed a replica that may count for good all the same."""
        self._deleted_bad: dict[str, set[str]] = {}
        """By chunk, the places where such a replica was deleted by order; a power cut may bring it back."""
        self._node_ids: dict[str, str] = {}
        """By place, the node that it is, or was until it was lost."""
        self._doomed: dict[tuple[str, str], int] = {}
        """Node id and chunk of each delete that was sent, and when."""
        self._drained: set[str] = set()

    # --- Replicas on disks --------------------------------------------------------------------------------------------

    def is_good(self, machine: Machine, chunk_id: str) -> bool:
        """Whether the machine's disk holds the chunk, byte for byte, also after a power cut that came now."""
        path = self.path(machine, chunk_id)
        try:
            content = content_of(path)
        except FileNotFoundError:
            return False
        payload = content[HEADER_BYTES:]
        whole = content[:HEADER_BYTES] == chunkfile._header(len(payload), bytes.fromhex(chunk_id))
        whole = whole and blake3(payload).hexdigest() == chunk_id
        return whole and machine.disk.is_synced(("chunks", chunk_id[:2], chunk_id))

    def path(self, machine: Machine, chunk_id: str) -> str:
        return f"{machine.disk.directory}/chunks/{chunk_id[:2]}/{chunk_id}"

    def holders(self, chunk_id: str) -> list[Machine]:
        return [machine for machine in self._world.machines if self.is_good(machine, chunk_id)]

    def chunks_on(self, machine: Machine) -> list[str]:
        """The names of the chunk files on a disk, good or not."""
        return machine.disk.stored_chunks()

    def off_the_books(self, machine: Machine) -> set[str]:
        """Chunks that are on a disk and not in the inventory of the process that serves it, or the reverse."""
        node = machine.node
        return set() if node is None else set(self.chunks_on(machine)).symmetric_difference(node.chunk_ids())

    def changing(self, machine: Machine) -> set[str]:
        """Chunks that a thread of the process which serves a disk is changing just now, or about to look at."""
        return set() if machine.node is None else machine.node._changing._held

    def destroyed(self, machine: Machine, chunk_id: str) -> None:
        self._destroyed.setdefault(chunk_id, set()).add(machine.place.name)

    def excused(self, chunk_id: str) -> set[str]:
        """Places that hold the chunk, or would if no fault had destroyed it."""
        return self._destroyed.get(chunk_id, set()) | {machine.place.name for machine in self.holders(chunk_id)}

    def can_spare(self, machine: Machine) -> bool:
        """Whether all replicas on this machine's disk may be destroyed within what is promised."""
        return all(self.can_spare_chunk(machine, chunk_id) for chunk_id in self.chunks_on(machine))

    def can_spare_chunk(self, machine: Machine, chunk_id: str) -> bool:
        """Another good replica stays, and not so many bad ones lie about unnoticed that the last good one could be
        taken for surplus."""
        now_ms = self._world.now_ms
        others = [other for other in self._world.machines if other is not machine]
        good = [other for other in others if not other.place.failing and self.is_good(other, chunk_id)]
        destroyed = self._destroyed.get(chunk_id, set())
        bad = [other for other in others if other not in good and other.place.name in destroyed]
        doomed_ms = DOOMED_ON_SLOW_DISKS_MS if self._world.plan.slow_disks else DOOMED_MS
        safe = [
            other
            for other in good
            if now_ms - self._doomed.get((other.node_id, chunk_id), -doomed_ms) >= doomed_ms
            and not self._may_be_taken_away(other, chunk_id)
        ]
        return bool(safe) and len(bad) + 1 < self._world.plan.replication_min

    def _may_be_taken_away(self, machine: Machine, chunk_id: str) -> bool:
        """A thread that waits for a slow disk may have found the replica bad, while the disk failed."""
        if not self._world.plan.slow_disks or machine.process is None:
            return False
        return machine.node is None or chunk_id in self.changing(machine)

    # --- Storage nodes ------------------------------------------------------------------------------------------------

    def watch(self, machine: Machine, node: StorageNode) -> None:
        """Look over a storage node's shoulder when it obeys and when it deletes."""
        machine.place.node_id = self._node_ids[machine.place.name] = node.id
        chunks = node._chunks
        self._look_for_bad_replicas_that_came_back(machine, node)
        chunks.write = self._mending(machine, chunks.write)  # type: ignore[method-assign]
        chunks.bring_back = self._mending(machine, chunks.bring_back)  # type: ignore[method-assign]
        chunks.take_in = self._mending(machine, chunks.take_in)  # type: ignore[method-assign]
        delete = chunks.delete

        obeyed: int | None = None

        def checked(chunk_id: str) -> None:
            require(obeyed in (None, node.epoch), f"{machine} deletes for a NameNode of the past")
            delete(chunk_id)
            self._after_delete(machine, chunk_id)

        def quarantine_checked(chunk_id: str) -> None:
            if self.is_good(machine, chunk_id):
                may = machine.place.failing or "unlink" in machine.disk.fails
                require(may, f"{machine} puts a good replica of {chunk_id[:12]} into quarantine")
                self.destroyed(machine, chunk_id)
            quarantine(chunk_id)

        def obey_checked(reply: HeartbeatReply) -> list[Command]:
            nonlocal obeyed
            obeyed = reply.epoch
            commands = obey(reply)
            require(not commands or obeyed == node.epoch, f"{machine} obeys a NameNode of the past")
            obeyed = None
            return commands

        obey, quarantine = node.obey, chunks.quarantine
        node.obey = obey_checked  # type: ignore[method-assign]
        chunks.delete = checked  # type: ignore[method-assign]
        chunks.quarantine = quarantine_checked  # type: ignore[method-assign]

    def after_heartbeat(self, machine: Machine) -> None:
        """Between two calls the inventory is what is on the disk, but for what a fault took away, or a disk kept that
        refused to remove it."""
        self._heartbeats += 1
        if self._heartbeats % HEARTBEATS_FOR_A_LOOK or machine.place.may_litter or machine.place.failing:
            return
        for chunk_id in sorted(self.off_the_books(machine) - self.changing(machine)):
            excused = machine.place.name in self._destroyed.get(chunk_id, ())
            require(excused, f"{machine}: {chunk_id[:12]} is on the disk or in the inventory, not both")

    def _mending(self, machine: Machine, act: Callable[..., Any]) -> Callable[..., Any]:
        """Where a call has put a good replica, one that was destroyed before excuses nothing any more."""

        def checked(chunk_id: str, *arguments: Any, **named: Any) -> Any:
            if self._world.plan.slow_disks and machine.place.failing and self.is_good(machine, chunk_id):
                self.destroyed(
                    machine, chunk_id
                )  # it may be written again, and is not durable for as long as that takes
            done = act(chunk_id, *arguments, **named)
            if self.is_good(machine, chunk_id):
                for places in (self._destroyed, self._deleted_bad):
                    places.get(chunk_id, set()).discard(machine.place.name)
            return done

        return checked

    def _look_for_bad_replicas_that_came_back(self, machine: Machine, node: StorageNode) -> None:
        """A deletion is not synced: after a power cut the file may be there again, as bad as it was."""
        for chunk_id in node.chunk_ids():
            places = self._deleted_bad.get(chunk_id, set())
            if machine.place.name in places:
                places.remove(machine.place.name)
                self.destroyed(machine, chunk_id)

    def _after_delete(self, machine: Machine, chunk_id: str) -> None:
        self._world.trace.note(f"{machine.address} deleted {chunk_id[:6]}")
        if machine.place.name in self._destroyed.get(chunk_id, ()):
            self._destroyed[chunk_id].remove(machine.place.name)
            self._deleted_bad.setdefault(chunk_id, set()).add(machine.place.name)
        if self._world.oracle.replay.wanted(chunk_id):
            require(bool(self.holders(chunk_id)), f"{machine} deleted the last good replica of {chunk_id[:12]}")

    # --- The NameNode -------------------------------------------------------------------------------------------------

    def after_call(self, process: NameNodeProcess, method: str) -> None:
        """Everything derived agrees with what it is derived from."""
        namenode = process.namenode
        if namenode is None:
            return
        state = namenode._state
        seen = (process, state.catalog.revision, state.redundancy.generation, len(state.healer), method == "abandon")
        if seen != self._seen:
            self._seen = seen
            self._changes += 1
            if self._changes % (1 + len(state.redundancy.chunks) // CHUNKS_FOR_EVERY_CHECK) == 0:
                namenode.check_invariants()
        for member in state.members:
            if not member.drained:
                self._drained.discard(member.id)
            elif member.id not in self._drained:
                self._drained.add(member.id)
                self._check_drained(member.id)

    def at_edit(self, process: NameNodeProcess, edit: edits.Edit, arguments: tuple[Any, ...]) -> None:
        """An edit took effect, whether or not anybody will hear of it: a client that asks again is told that it did.

        arguments: of the call that is being answered. The oracle does not know of the edit yet.
        """
        if isinstance(edit, edits.PublishVersion):
            self._check_durable(process, edit, arguments[0])
        elif isinstance(edit, (edits.PurgeArtifact, edits.PruneVersions)):
            may = self._world.oracle.may_remove(edit, process.trash_since_ms)
            require(may, f"{edit} removes what is to be kept")

    def after_answer(self, arguments: tuple[Any, ...], answer: Any) -> None:
        if isinstance(answer, HeartbeatReply):
            for command in answer.commands:
                if isinstance(command, DeleteChunk):
                    self._doomed[arguments[0].node_id, command.chunk_id] = self._world.now_ms

    def _check_durable(self, process: NameNodeProcess, edit: edits.PublishVersion, request: CommitRequest) -> None:
        """The promise "acknowledged means durable", at the moment from which on it is given."""
        name, quorum = edit.version.name, self._quorum(process, request.lease.replication)
        told: dict[str, set[str]] = {key.id: set() for key in edit.chunks}
        for stored in request.chunks:
            told[stored.chunk.id].update(stored.nodes)
        for chunk_id, node_ids in told.items():
            holders = {machine.place.name for machine in self.holders(chunk_id)}
            on = holders | self._believed(process, chunk_id, node_ids)
            require(len(on) >= quorum, f"{name} published with {len(on)} of {quorum} replicas of {chunk_id[:12]}")
            require(bool(holders), f"{name} published without a good replica of {chunk_id[:12]}")

    def _believed(self, process: NameNodeProcess, chunk_id: str, told: set[str]) -> set[str]:
        """Places whose replica was destroyed without the NameNode knowing.

        told: the nodes that confirmed the chunk to the client.
        """
        assert process.namenode is not None
        state = process.namenode._state
        replicas = state.redundancy.chunks[chunk_id].replicas
        counting = {member.id for member in state.members if member.role == "counts"}
        held = {node_id for node_id in replicas.keys() | told if replicas.get(node_id) != "deleting"} & counting
        return {place for place in self._destroyed.get(chunk_id, ()) if self._node_ids[place] in held}

    def _quorum(self, process: NameNodeProcess, replication: int) -> int:
        """Fewer only where the cluster is smaller than what is asked for, or nodes are down or unwanted."""
        assert process.namenode is not None
        members = process.namenode._state.members
        usable = members.usable()
        if len(usable) >= replication:
            return write_quorum(replication)
        return max(1, min(write_quorum(replication), sum(member.state == "up" for member in usable)))

    def _check_drained(self, node_id: str) -> None:
        """A node that may be stopped is needed for nothing, as far as anybody knows of bad replicas elsewhere."""
        machine = next((machine for machine in self._world.machines if machine.node_id == node_id), None)
        if machine is None:
            return
        for chunk_id in self.chunks_on(machine):
            if self._world.oracle.replay.wanted(chunk_id):
                elsewhere = self.excused(chunk_id) - {machine.place.name}
                require(bool(elsewhere), f"{machine} is said to be drained and has the only replica of {chunk_id[:12]}")
