"""One simulated cluster and everything around it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from core.checkpoint.restore import restore
from core.config import Config
from core.errors import ClusterUnreachable, NodeNotServing
from core.namenode.schema import FILE_NAME
from tests.simulation.catalog import CatalogFaults
from tests.simulation.checks import Checks
from tests.simulation.disk import Disk, Disks
from tests.simulation.filesystem import REAL
from tests.simulation.network import Network
from tests.simulation.oracle import Oracle
from tests.simulation.plan import Plan
from tests.simulation.processes import NAMENODE, STALE, Machine, NameNodeProcess
from tests.simulation.scheduler import Scheduler
from tests.simulation.trace import Trace

RESTORING_MS = 1_000


class World:
    """Made inside an entered `Disks`."""

    def __init__(self, plan: Plan, disks: Disks, directory: Path, keep_trace: bool = False) -> None:
        self.plan = plan
        self.scheduler = Scheduler()
        self.trace = Trace(lambda: self.scheduler.now_ms, directory, keep_trace)
        self.network = Network(self.scheduler, self.trace, self.rng("network"))
        self.oracle = Oracle(directory / "oracle", self.trace)
        self.directory = directory
        self.checks = Checks(self)
        self.namenode_rng = self.rng("namenode")
        self.catalog_faults = CatalogFaults()
        self.clock_ahead_ms = 0
        """Of the NameNode's machine."""
        self.capacity_bytes = plan.capacity_bytes
        """Of each disk of a storage node."""
        self.stormy = True
        """Faults still happen."""
        self.namenode: NameNodeProcess | None = None
        self.namenode_off_until_ms = 0
        self._disks = disks
        self._ids = 0
        self._rng = self.rng("world")
        self._disk_rng = self.rng("slow disks")
        self._start_namenode()
        self.machines = [Machine(self, number, f"host{number % plan.hosts}") for number in range(plan.nodes)]
        for machine in self.machines:
            machine.start()

    def rng(self, purpose: str) -> random.Random:
        """Luck of its own for each purpose, so that they do not disturb each other."""
        return random.Random(f"{self.plan.seed}/{purpose}")

    @property
    def config(self) -> Config:
        return self.plan.config

    @property
    def now_ms(self) -> int:
        return self.scheduler.now_ms

    def wall_ms(self) -> int:
        """What the NameNode's clock says."""
        return self.scheduler.now_ms + self.clock_ahead_ms

    def new_id(self) -> str:
        self._ids += 1
        return f"{self._rng.getrandbits(32):08x}-0000-4000-8000-{self._ids:012d}"

    def disk(self, name: str) -> Disk:
        return self._disks.disk(name)

    def take_time(self, slow_ms: int) -> None:
        """A call of a disk is under way. Raises Killed in a task whose process is gone: the disk is another's."""
        task = self.scheduler.current
        if task is not None and (slow_ms or task.killed):
            task.wait(self._disk_rng.randint(0, slow_ms))

    # --- The NameNode -------------------------------------------------------------------------------------------------

    def _start_namenode(self) -> None:
        if self.namenode is not None or self.now_ms < self.namenode_off_until_ms:
            return
        process = NameNodeProcess(self, self.catalog_faults)
        if process.alive:
            self.namenode = process
            self.network.processes[NAMENODE] = process
            if process.catalog is not None:
                self.oracle.check_replay(process.catalog)

    def lose_catalog(self) -> None:
        """The NameNode's disk is gone; somebody stops everything, and restores the catalog from what the nodes hold."""
        self.namenode_off_until_ms = self.now_ms + RESTORING_MS
        for machine in self.machines:
            machine.died(power_cut=True, off_ms=RESTORING_MS)
        if self.namenode is not None:
            self.namenode.die("its disk is lost")
        old = self.disk(NAMENODE).directory
        for path in old.glob("catalog.sqlite*"):
            path.unlink()
        place = self.directory / "restore"
        directories = [machine.disk.directory for machine in self.machines]
        restored = restore(place, directories, busy=(), older=True)  # these are all that there are
        self.trace.fault("catalog lost", f"restored {restored.edits} of {self.oracle.replay.edits} edits")
        REAL.rename(place / FILE_NAME, old / FILE_NAME)
        self.oracle.restored(old / FILE_NAME, restored.edits)

    def namenode_died(self, process: NameNodeProcess) -> None:
        if self.namenode is process:
            self.namenode = None
            del self.network.processes[NAMENODE]
        self.namenode_off_until_ms = max(self.namenode_off_until_ms, self.now_ms + self.restart_ms())
        self.scheduler.after(self.namenode_off_until_ms - self.now_ms, self._start_namenode)

    def ask_namenode(
        self, source: str, method: str, arguments: tuple[Any, ...], timeout_ms: int, from_node: bool = False
    ) -> Any:
        """One call, tried once. Raises what the NameNode raises, or ClusterUnreachable."""
        target = NAMENODE
        if from_node and STALE in self.network.processes and self._rng.random() < 0.5:
            target = STALE
        call = self.network.call(source, target, method, lambda process: process.ask(method, arguments))
        if not self.network.wait([call], timeout_ms):
            raise ClusterUnreachable("The NameNode does not answer in time.")
        try:
            return call.result()
        except NodeNotServing as error:
            raise ClusterUnreachable(f"The NameNode does not answer ({error}).") from error

    # --- How bad it is ------------------------------------------------------------------------------------------------

    def restart_ms(self) -> int:
        """How long it takes until a process that died is started again."""
        return self._rng.choice((100, 1_000, 3_000))

    def crash_is_power_cut(self) -> bool:
        return self._rng.random() < 0.5

    # --- The end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        self.scheduler.close()
        if self.namenode is not None:
            self.namenode.close()
        self.oracle.close()
