"""What goes wrong, within what the promises cover: each kind at random times, as often as the plan says.

A fault that destroys replicas is left out where it would destroy the last good one.
"""

from __future__ import annotations

import errno
import random
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.catalog import SimulatedCatalog
from tests.simulation.disk import Failure
from tests.simulation.processes import NAMENODE, STALE, Machine, StaleNameNode
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.workloads import Workload

HARMLESS_FAILURES = (
    ("write", errno.ENOSPC),
    ("write", errno.EIO),
    ("fsync", errno.EIO),
    ("rename", errno.EIO),
    ("unlink", errno.EIO),
    ("mkdir", errno.ENOSPC),
)
"""What a disk may refuse without losing what it holds."""

LITTERING = ("unlink", "rename", "stat", "open")
"""Without these, a half-written file that should go stays until the directory is opened again."""


class Faults:
    def __init__(self, world: World, workload: Workload) -> None:
        self._world = world
        self._workload = workload
        self._rng = world.rng("faults")
        self._kinds: dict[str, Callable[[], str | None]] = {
            "namenode killed": self._kill_namenode,
            "namenode crash at a call": self._crash_namenode_at_a_call,
            "namenode dies unanswered": self._let_namenode_die_unanswered,
            "namenode crash loop": self._crash_loop,
            "namenode stale": self._leave_stale_namenode,
            "namenode stopped": self._stop_namenode,
            "catalog disk fails": self._fail_catalog,
            "clock steps": self._step_clock,
            "node killed": self._kill_node,
            "node crash at a call": self._crash_node_at_a_call,
            "power cut": self._cut_power,
            "power cut of a host": self._cut_power_of_host,
            "power cut of all": self._cut_power_of_all,
            "node stopped": self._stop_node,
            "node slow": self._slow_node,
            "node moved": self._move_node,
            "partition": self._partition,
            "one-way partition": self._one_way_partition,
            "disk full": self._fill_disk,
            "disk fails": self._fail_disk,
            "disk slow": self._slow_disk,
            "rot": self._rot,
            "disk lost": self._lose_disk,
            "disks swapped": self._swap_disks,
            "client killed": self._kill_client,
            "client stopped": self._stop_client,
            "operator": self._operate,
        }

    def begin(self) -> None:
        world = self._world
        world.network.weather = world.plan.weather
        for kind in world.plan.faults:
            self._schedule(kind)

    def _schedule(self, kind: str) -> None:
        delay_ms = int(self._rng.expovariate(1 / self._world.plan.faults[kind]))
        self._world.scheduler.after(delay_ms, lambda: self._strike(kind))

    def _strike(self, kind: str) -> None:
        if not self._world.stormy:
            return
        told = self._kinds[kind]()
        if told is not None:
            self._world.trace.fault(kind, told)
        self._schedule(kind)

    def end(self) -> None:
        """All is mended: what is off is started, what is full gets room, and nothing new goes wrong."""
        world = self._world
        world.stormy = False
        world.capacity_bytes = None
        world.network.calm()
        world.catalog_faults.error = world.catalog_faults.crash_after = None
        world.catalog_faults.crash_unanswered = False
        self._end_stale_namenode()
        if world.namenode is not None:
            world.namenode.paused_until_ms = 0
        for machine in world.machines:
            machine.disk.fails.clear()
            machine.disk.slow_ms = 0
            machine.disk.crash_after = None
            machine.disk.capacity_bytes = world.capacity_bytes
            machine.place.failing = False
            if machine.process is not None:
                machine.process.paused_until_ms = 0

    def _for(self, low_ms: int, high_ms: int, undo: Callable[[], None]) -> int:
        duration_ms = self._rng.randint(low_ms, high_ms)
        self._world.scheduler.after(duration_ms, undo)
        return duration_ms

    def _machine(self) -> Machine:
        return self._rng.choice(self._world.machines)

    # --- The NameNode -------------------------------------------------------------------------------------------------

    def _kill_namenode(self) -> str | None:
        if self._world.namenode is None:
            return None
        self._world.namenode.die("killed")
        return ""

    def _crash_namenode_at_a_call(self) -> str | None:
        faults = self._world.catalog_faults
        faults.crash_after = self._rng.randint(1, 12)
        faults.crash_takes_effect = self._rng.random() < 0.5
        return f"in {faults.crash_after}"

    def _let_namenode_die_unanswered(self) -> str | None:
        self._world.catalog_faults.crash_unanswered = True
        return ""

    def _crash_loop(self) -> str | None:
        """It dies again and again, soon after each start."""
        times = self._rng.randint(3, 8)
        for number in range(times):
            self._world.scheduler.after(number * self._rng.randint(500, 2_000), self._kill_namenode_again)
        return f"{times} times"

    def _kill_namenode_again(self) -> None:
        if self._world.stormy:
            self._kill_namenode()

    def _leave_stale_namenode(self) -> str | None:
        """The NameNode is replaced and does not know: its process goes on, on what its catalog was."""
        world, process = self._world, self._world.namenode
        if process is None or process.namenode is None or STALE in world.network.processes:
            return None
        directory = world.disk(f"stale{world.new_id()[-4:]}").directory
        copy_catalog(process.catalog, directory)
        namenode = process.namenode
        process.die("replaced")
        world.network.processes[STALE] = StaleNameNode(world, namenode, directory)
        return f"for {self._for(3_000, 20_000, self._end_stale_namenode)} ms"

    def _end_stale_namenode(self) -> None:
        stale = self._world.network.processes.pop(STALE, None)
        if isinstance(stale, StaleNameNode):
            stale.close()

    def _stop_namenode(self) -> str | None:
        process = self._world.namenode
        if process is None:
            return None
        duration_ms = self._rng.randint(500, 15_000)
        process.paused_until_ms = self._world.now_ms + duration_ms
        return f"for {duration_ms} ms"

    def _fail_catalog(self) -> str | None:
        faults = self._world.catalog_faults
        faults.error = self._rng.choice(("database or disk is full", "disk I/O error"))

        def undo() -> None:
            faults.error = None

        return f"{faults.error} for {self._for(500, 8_000, undo)} ms"

    def _step_clock(self) -> str | None:
        step_ms = self._rng.choice((-1, 1)) * self._rng.choice((500, 5_000, 60_000))
        self._world.clock_ahead_ms += step_ms
        return f"by {step_ms} ms"

    # --- Storage nodes ------------------------------------------------------------------------------------------------

    def _off_ms(self) -> int:
        return self._rng.choice((100, 1_000, 3_000, 3_000, 12_000, 25_000))

    def _kill_node(self) -> str | None:
        machine = self._machine()
        if machine.process is None:
            return None
        machine.died(power_cut=False, off_ms=self._off_ms())
        return str(machine)

    def _crash_node_at_a_call(self) -> str | None:
        machine = self._machine()
        machine.disk.crash_after = self._rng.randint(1, 40)
        return f"{machine} in {machine.disk.crash_after}"

    def _cut_power(self) -> str | None:
        machine = self._machine()
        machine.died(power_cut=True, off_ms=self._off_ms())
        return str(machine)

    def _cut_power_of_host(self) -> str | None:
        host = self._machine().host
        for machine in self._world.machines:
            if machine.host == host:
                machine.died(power_cut=True, off_ms=self._off_ms())
        return host

    def _cut_power_of_all(self) -> str | None:
        for machine in self._world.machines:
            machine.died(power_cut=True, off_ms=self._off_ms())
        if self._world.namenode is not None:
            self._world.namenode.die("power cut")
        return ""

    def _stop_node(self) -> str | None:
        machine = self._machine()
        if machine.process is None:
            return None
        duration_ms = self._rng.randint(500, 20_000)
        machine.process.paused_until_ms = self._world.now_ms + duration_ms
        return f"{machine} for {duration_ms} ms"

    def _slow_node(self) -> str | None:
        machine, slow = self._machine(), self._world.network.slow
        slow[machine.address] = self._rng.choice((300, 3_000, 10_000))
        duration_ms = self._for(1_000, 15_000, lambda: slow.pop(machine.address, None) and None)
        return f"{machine} for {duration_ms} ms"

    def _move_node(self) -> str | None:
        """Its disk is put into another machine."""
        machine = self._machine()
        machine.died(power_cut=False, off_ms=self._off_ms())
        machine.host = f"host{self._rng.randrange(self._world.plan.hosts + 1)}"
        return f"{machine} to {machine.host}"

    def _swap_disks(self) -> str | None:
        """Two processes start anew, each on the other's directory: nodes and addresses come together differently."""
        one, other = self._rng.sample(self._world.machines, 2)
        for machine in (one, other):
            machine.died(power_cut=False, off_ms=self._off_ms())
        one.swap_disks(other)
        return f"{one} and {other}"

    # --- The network --------------------------------------------------------------------------------------------------

    def _addresses(self) -> list[str]:
        world = self._world
        return [NAMENODE, *(machine.address for machine in world.machines), *self._workload.addresses]

    def _partition(self) -> str | None:
        addresses = self._addresses()
        group = self._rng.sample(addresses, self._rng.randint(1, len(addresses) // 2))
        pairs = [(a, b) for a in group for b in addresses if b not in group]
        pairs += [(b, a) for a, b in pairs]
        return self._cut(pairs, f"{sorted(group)}")

    def _one_way_partition(self) -> str | None:
        source, target = self._rng.sample(self._addresses(), 2)
        if self._rng.random() < 0.5:
            return self._cut([(source, target)], f"{source}>{target}")
        others = [address for address in self._addresses() if address != source]
        return self._cut([(source, other) for other in others], f"{source}>all")

    def _cut(self, pairs: list[tuple[str, str]], what: str) -> str:
        network = self._world.network
        network.cut(pairs)
        return f"{what} for {self._for(500, 20_000, lambda: network.mend(pairs))} ms"

    # --- Disks --------------------------------------------------------------------------------------------------------

    def _fill_disk(self) -> str | None:
        machine = self._machine()
        disk = machine.disk
        disk.capacity_bytes = disk.used_bytes + self._rng.choice((0, 50, 300))

        def undo() -> None:
            disk.capacity_bytes = self._world.capacity_bytes

        return f"{machine} for {self._for(2_000, 20_000, undo)} ms"

    def _fail_disk(self) -> str | None:
        machine, rng = self._machine(), self._rng
        place = machine.place
        kind, code = rng.choice(HARMLESS_FAILURES)
        destroys = rng.random() < 0.3 and self._may_destroy(machine)
        if destroys:
            kind, code = rng.choice(("read", "open", "stat")), errno.EIO
            place.failing = True
            for chunk_id in self._world.checks.chunks_on(machine):
                self._world.checks.destroyed(machine, chunk_id)
        place.may_litter |= kind in LITTERING
        failure = place.disk.fails[kind] = Failure(code, rng.choice((0.1, 0.5, 1.0)))

        def undo() -> None:
            if place.disk.fails.get(kind) is failure:
                del place.disk.fails[kind]
            if destroys:
                place.failing = False

        return f"{machine} {kind} {errno.errorcode[code]} for {self._for(1_000, 10_000, undo)} ms"

    def _slow_disk(self) -> str | None:
        machine = self._machine()
        place, slow_ms = machine.place, self._rng.choice((3, 30, 300, 2_000))

        def undo() -> None:
            if self._world.now_ms >= place.slow_until_ms:
                place.disk.slow_ms = 0

        duration_ms = self._for(1_000, 15_000, undo)
        place.disk.slow_ms, place.slow_until_ms = slow_ms, self._world.now_ms + duration_ms
        return f"{machine} up to {slow_ms} ms a call for {duration_ms} ms"

    def _may_destroy(self, machine: Machine) -> bool:
        """Also of what is stored while it fails: then two nodes must always be asked for."""
        plan = self._world.plan
        if plan.replication_min < 2 or "operator" in plan.faults:
            return False
        return not any(other.place.failing for other in self._world.machines) and self._world.checks.can_spare(machine)

    def _rot(self) -> str | None:
        return rot_one(self._world, self._machine(), self._rng)

    def _lose_disk(self) -> str | None:
        """The disk is replaced by an empty one: a new node as far as anybody can tell."""
        machine = self._machine()
        if not self._may_destroy(machine):
            return None
        for chunk_id in self._world.checks.chunks_on(machine):
            self._world.checks.destroyed(machine, chunk_id)
        machine.died(power_cut=True, off_ms=self._off_ms())
        machine.replace_disk()
        return str(machine)

    # --- People -------------------------------------------------------------------------------------------------------

    def _kill_client(self) -> str | None:
        return self._workload.kill_client(self._rng)

    def _stop_client(self) -> str | None:
        return self._workload.stop_client(self._rng)

    def _operate(self) -> str | None:
        return self._workload.operate(self._rng)


def rot_one(world: World, machine: Machine, rng: random.Random) -> str | None:
    """One replica of a machine goes bad, or is gone, and nobody notices; none if the last good one would be."""
    checks = world.checks
    chunk_ids = [chunk_id for chunk_id in checks.chunks_on(machine) if checks.is_good(machine, chunk_id)]
    if machine.place.failing or not chunk_ids:
        return None
    chunk_id = rng.choice(chunk_ids)
    if not checks.can_spare_chunk(machine, chunk_id):
        return None
    rot = machine.disk.rot(rng, chunk_id)
    assert rot is not None
    checks.destroyed(machine, chunk_id)
    return f"{machine} {chunk_id[:6]} {rot.kind}"


def copy_catalog(catalog: SimulatedCatalog | None, directory: object) -> None:
    assert catalog is not None
    copy = sqlite3.connect(f"{directory}/catalog.sqlite")
    catalog._connection.backup(copy)
    copy.close()
