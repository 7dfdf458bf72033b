"""The processes of the cluster: they die at any call, of their own disk or of the world, and come back.

What `core.cluster.actors` does with threads is done here with tasks; what is decided is decided by the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.checkpoint.save import Checkpointer
from core.errors import DameError, NodeNotServing, StorageNodeError
from core.model import CHECKPOINT_NAME, Command, CopyChunk, GiveUp, NodeRef
from core.namenode import edits
from core.namenode.catalog import Catalog
from core.namenode.namenode import NameNode
from core.namenode.service import NameNodeService
from core.storagenode.conversation import Conversation, pull
from core.storagenode.storagenode import StorageNode
from tests.simulation.catalog import CatalogFaults, open_catalog
from tests.simulation.client import SimulatedGateway
from tests.simulation.disk import Disk, SimulatedCrash
from tests.simulation.network import Outcome, ProcessGone, Reply, ended, outcome_of
from tests.simulation.oracle import Intent
from tests.simulation.scheduler import Task

if TYPE_CHECKING:
    from tests.simulation.world import World

NAMENODE = "namenode"
STALE = "stale namenode"
CHECKPOINTER = "checkpointer"
CHECKPOINT_LOOK_MS = 1_000
COPIES_AT_ONCE = 4
HEARTBEAT_TIMEOUT_MS = 5_000
OPEN_RETRY_MS = 200
SCRUB_RETRY_MS = 10_000


class NameNodeProcess:
    """One process of the NameNode, from its start to its death."""

    address = NAMENODE

    def __init__(self, world: World, faults: CatalogFaults) -> None:
        def applied(edit: edits.Edit) -> None:
            world.checks.at_edit(self, edit, self._arguments)
            world.oracle.applied(edit)

        def open_simulated(directory: Path, cluster_id: str) -> Catalog:
            return open_catalog(directory, cluster_id, faults, applied)

        self._world = world
        self.paused_until_ms = 0
        self.alive = True
        self._service = NameNodeService(
            world.disk(NAMENODE).directory, world.config, world.new_id, lambda: world.namenode_rng, open_simulated
        )
        self._checkpoints: Task | None = None
        self._arguments: tuple[Any, ...] = ()
        """Of the call that is being answered."""
        self._open()
        if self.alive and world.plan.checkpoints:
            self._checkpoints = world.scheduler.spawn(self, self._keep_checkpoints, "checkpoints")

    def _keep_checkpoints(self) -> None:
        """A client of the store like any other, beside the NameNode in its process."""
        world = self._world
        gateway = SimulatedGateway(world, CHECKPOINTER)
        gateway.intent = Intent("checkpoint", CHECKPOINT_NAME)
        directory = world.disk(NAMENODE).directory
        checkpointer = Checkpointer(gateway, world.config, directory, pause=lambda: gateway.pause(1))
        while True:
            gateway.pause(CHECKPOINT_LOOK_MS)
            try:
                checkpointer.step()
            except DameError as error:
                world.trace.note(f"no checkpoint now: {type(error).__name__}: {error}")

    def _open(self) -> None:
        try:
            self._service.open(self._world.wall_ms())
        except SimulatedCrash:
            self.die("a crash of its own while it started")

    @property
    def namenode(self) -> NameNode | None:
        return self._service.namenode

    @property
    def catalog(self) -> Catalog | None:
        return self._service.catalog

    @property
    def trash_since_ms(self) -> int:
        """What went to the trash before, by the clock of the NameNode that is there, is gone for good."""
        assert self.namenode is not None
        return self.namenode._state.now_ms - self._world.config.trash_retention_ms

    def serve(self, run: Callable[[NameNodeProcess], Any], reply: Reply) -> None:
        reply(outcome_of(lambda: run(self)))

    def ask(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """One call, as the actor's shell makes it."""
        self._arguments = arguments
        try:
            answer = self._service.ask(self._world.wall_ms(), method, *arguments)
        except SimulatedCrash as crash:
            self.die(f"a crash of its own: {crash}")
            raise ProcessGone from None
        except Exception:
            self._world.checks.after_call(self, method)
            raise
        self._world.checks.after_call(self, method)
        self._world.checks.after_answer(arguments, answer)
        return answer

    def die(self, why: str) -> None:
        world = self._world
        world.trace.note(f"namenode dies: {why}")
        self.alive = False
        if self._checkpoints is not None:
            self._checkpoints.kill()
        self.close()
        world.disk(NAMENODE).process_killed()
        world.namenode_died(self)

    def close(self) -> None:
        self._service.close()


class StaleNameNode:
    """A NameNode that was replaced and does not know: it goes on, on what its catalog was."""

    paused_until_ms = 0

    def __init__(self, world: World, namenode: NameNode, directory: Path) -> None:
        self.address = STALE
        self._world = world
        self._namenode = namenode
        faults = CatalogFaults()
        self._catalog = open_catalog(directory, "never used", faults, lambda edit: None)
        faults.error = "disk I/O error"  # what it wrote now would be in no catalog
        namenode._state.catalog = self._catalog

    def serve(self, run: Callable[[StaleNameNode], Any], reply: Reply) -> None:
        reply(outcome_of(lambda: run(self)))

    def ask(self, method: str, arguments: tuple[Any, ...]) -> Any:
        return getattr(self._namenode, method)(self._world.wall_ms(), *arguments)

    def close(self) -> None:
        self._catalog.close()


class Place:
    """A storage directory on its disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.node_id = ""
        """Of the node that it is; empty until that is known."""
        self.failing = False
        """The disk may take any good replica for a bad one just now."""
        self.slow_until_ms = 0
        self.may_litter = False
        """The disk refused to remove files, which stay until the directory is opened again."""

    @property
    def name(self) -> str:
        return self.disk.directory.name


class Machine:
    """Where storage nodes run: a storage directory, and the process that uses it, if one does."""

    def __init__(self, world: World, number: int, host: str) -> None:
        self.world = world
        self.number = number
        self.host = host
        self.address = f"sn{number}"
        self.place = self._new_place(self.address)
        self.process: StorageProcess | None = None
        self.off_until_ms = 0
        """No process is started before."""
        self._disks = 1

    @property
    def disk(self) -> Disk:
        return self.place.disk

    @property
    def node_id(self) -> str:
        return self.place.node_id

    @property
    def node(self) -> StorageNode | None:
        """What its process serves; None while there is no process, or it is still opening the directory."""
        return self.process.node if self.process is not None else None

    def start(self) -> None:
        """As Ray restarts an actor whose process is gone."""
        if self.process is None and self.world.now_ms >= self.off_until_ms:
            self.process = StorageProcess(self)

    def died(self, power_cut: bool, off_ms: int) -> None:
        """The process is gone; `start` may follow after a while."""
        process, self.process = self.process, None
        if process is not None:
            process.end()
        if power_cut:
            self.disk.crash()
        else:
            self.disk.process_killed()
        self.off_until_ms = max(self.off_until_ms, self.world.now_ms + off_ms)
        self.world.scheduler.after(max(0, self.off_until_ms - self.world.now_ms), self.start)

    def replace_disk(self) -> None:
        """An empty one takes its place. Precondition: no process."""
        self._disks += 1
        self.place = self._new_place(f"{self.address}.{self._disks}")

    def _new_place(self, name: str) -> Place:
        place = Place(self.world.disk(name))
        place.disk.capacity_bytes = self.world.capacity_bytes
        place.disk.take_time = self.world.take_time
        return place

    def swap_disks(self, other: Machine) -> None:
        """Each goes on with what was the other's. Precondition: no processes."""
        self.place, other.place = other.place, self.place

    def __str__(self) -> str:
        return self.address


class StorageProcess:
    """One process of a storage node."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.address = machine.address
        self.paused_until_ms = 0
        self.alive = True
        self.node: StorageNode | None = None
        self._world = machine.world
        self._tasks: list[Task] = []
        self._copies: list[CopyChunk] = []
        self._pulling = 0
        self._resting = False
        """Between two heartbeats."""
        self._woken = False
        self._heart: Task | None = None
        self._world.network.processes[self.address] = self
        self._heart = self._spawn(self._live, "heartbeat")

    # --- Life and death ---------------------------------------------------------------------------------------------

    def _spawn(self, run: Callable[[], None], what: str, at_end: Callable[[], None] = lambda: None) -> Task:
        def guarded() -> None:
            try:
                run()
            except SimulatedCrash as crash:
                self._crashed(crash)

        task = self._world.scheduler.spawn(self, guarded, f"{self.address} {what}", at_end)
        self._tasks = [known for known in self._tasks if not known.done] + [task]
        return task

    def _crashed(self, crash: SimulatedCrash) -> None:
        if self.alive:
            self._world.trace.note(f"{self.address} dies: {crash}")
            self.machine.died(power_cut=self._world.crash_is_power_cut(), off_ms=self._world.restart_ms())

    def end(self) -> None:
        """Called by the machine: the process is gone."""
        self.alive = False
        self._world.network.processes.pop(self.address, None)
        for task in self._tasks:
            if task is not self._world.scheduler.current:
                task.kill()

    def serve(self, run: Callable[[StorageProcess], Any], reply: Reply) -> None:
        if self._world.plan.slow_disks:
            self._serve_in_a_thread(run, reply)
        else:
            reply(self._outcome_of(run))

    def _serve_in_a_thread(self, run: Callable[[StorageProcess], Any], reply: Reply) -> None:
        outcome = ended()

        def serve() -> None:
            nonlocal outcome
            outcome = self._outcome_of(run)

        self._spawn(serve, "call", lambda: reply(outcome))

    def _outcome_of(self, run: Callable[[StorageProcess], Any]) -> Outcome:
        try:
            return outcome_of(lambda: run(self))
        except SimulatedCrash as crash:
            self._crashed(crash)
            return ended()

    # --- Data calls -------------------------------------------------------------------------------------------------

    @property
    def serving(self) -> StorageNode:
        if self.node is None:
            raise NodeNotServing("the storage node is opening its directory")
        return self.node

    def meant(self, node_id: str) -> StorageNode:
        """The node, if it is the one that the caller means."""
        self.serving.check_meant(node_id)
        return self.serving

    # --- The heartbeat ----------------------------------------------------------------------------------------------

    def _live(self) -> None:
        self.node = self._open()
        self._spawn(self._look_after, "scrub")
        conversation = Conversation(self.node, self._ask, self.address, self.machine.number, lambda: self._world.now_ms)
        interval_ms = self._world.plan.config.heartbeat_interval_ms
        while True:
            started_ms = self._world.now_ms
            try:
                conversation.step(self._carry_out)
            except DameError as error:
                self._world.trace.note(f"{self.address} no heartbeat: {type(error).__name__}: {error}")
            self._world.checks.after_heartbeat(self.machine)
            self._rest(max(1, interval_ms - (self._world.now_ms - started_ms)))

    def _rest(self, duration_ms: int) -> None:
        assert self._heart is not None
        if not self._woken:
            self._resting = True
            self._heart.wait(duration_ms)
            self._resting = False
        self._woken = False

    def _wake(self) -> None:
        """The next heartbeat comes at once, but not before the one under way is over."""
        self._woken = True
        if self._resting and self._heart is not None:
            self._heart.wake()

    def _open(self) -> StorageNode:
        world, machine = self._world, self.machine
        while True:
            try:
                node = StorageNode.open(
                    machine.disk.directory, world.plan.config, host=machine.host, new_id=world.new_id
                )
            except DameError as error:
                world.trace.note(f"{self.address} can't open: {type(error).__name__}: {error}")
                assert self._heart is not None
                self._heart.wait(OPEN_RETRY_MS)
            else:
                world.checks.watch(machine, node)
                return node

    def _ask(self, method: str, *arguments: Any) -> Any:
        return self._world.ask_namenode(self.address, method, arguments, HEARTBEAT_TIMEOUT_MS, from_node=True)

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, CopyChunk):
            self._copies.append(command)
            if self._pulling < COPIES_AT_ONCE:
                self._pulling += 1
                self._spawn(self._pull_all, "copy")
        elif isinstance(command, GiveUp):
            raise SimulatedCrash("told to give up")
        else:
            raise AssertionError(f"unknown command {command!r}")

    def _pull_all(self) -> None:
        while self._copies:
            command = self._copies.pop(0)
            pull(self.serving, command, self._read_from)
            if self.serving.asks_for_more():
                self._wake()
        self._pulling -= 1

    def _read_from(self, source: NodeRef, chunk_id: str) -> bytes:
        network = self._world.network
        call = network.call(
            self.address,
            source.endpoint,
            f"read {chunk_id[:6]}",
            lambda process: bytes(process.meant(source.id).read(chunk_id)),
        )
        if not network.wait([call], self._world.plan.config.store_timeout_ms):
            raise NodeNotServing("no answer")
        return call.result()

    def _look_after(self) -> None:
        """Re-read replicas for ever, at the pace that the node asks for."""
        node, world = self.serving, self._world
        while True:
            try:
                pause_ms = node.look_after(world.now_ms)
            except StorageNodeError:
                pause_ms = SCRUB_RETRY_MS
            assert world.scheduler.current is not None
            world.scheduler.current.wait(max(1, pause_ms))
