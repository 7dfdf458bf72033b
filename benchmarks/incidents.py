"""Faults drawn from a seed, one at a time, each only when the cluster is whole: what is injected must be within what
is promised. Measures from each how long it took to be seen, to be mended, and to be forgotten.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import lock_holder
from benchmarks.replicas import DAMAGES, good_files, replica_files
from core import ArtifactStore, DameError, NodeInfo

POLL_S = 0.05
SEEN_TIMEOUT_S = 60.0
WHOLE_TIMEOUT_S = 300.0
PAUSE_S = (1.0, 6.0)
"""Between being whole and the next fault."""
DAMAGED_MAX = 5
"""Chunk files damaged at once, all on one node."""


@dataclass
class Incident:
    """One fault. Times are in seconds from its injection; None for what was not seen, or does not apply."""

    kind: str
    node: str
    detection_s: float | None = None
    """Until the cluster said so."""
    first_repair_s: float | None = None
    """Until the first of the lost replicas was made again."""
    whole_s: float | None = None
    """Until every node was up and every replica in its place; None if that took too long."""
    repaired_bytes: int = 0
    repair_s: float = 0.0
    """From the first order to copy to the last replica."""


@dataclass
class Chaos:
    """Injects faults until it is told to stop."""

    store: ArtifactStore
    directory: Path
    rng: random.Random
    tell: Callable[[str], None]
    spares_namenode_from: float = float("inf")
    """By the monotonic clock in seconds. From then on no fault ends the NameNode's process, and at no time that of the
    last storage node: what grows slowly shows in one process only."""
    incidents: list[Incident] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self, enough: threading.Event) -> None:
        kinds = {
            self.kill_storage_node: 3,
            self.kill_namenode: 2,
            self.stop_storage_node: 2,
            self.pause_storage_node: 1,
            self.stop_namenode: 1,
            self.damage_replicas: 4,
            self.fail_and_recover: 2,
            self.drain_and_undrain: 1,
            self.scrub: 1,
        }
        try:
            while self.until_whole() and not enough.wait(self.rng.uniform(*PAUSE_S)):
                if time.monotonic() > self.spares_namenode_from:
                    kinds.pop(self.kill_namenode, None)
                self.inject(self.rng.choices(list(kinds), list(kinds.values()))[0])
        except Exception as error:  # noqa: BLE001 - the soak must not go on as if there were faults
            self.failures.append(f"the injection of faults ended: {type(error).__name__}: {error}")

    def inject(self, fault: Callable[[Incident, NodeInfo], None]) -> Incident:
        """One fault of a node that the dice choose, and all that follows until the cluster is whole again."""
        node = self.rng.choice(self._patiently(self.store.nodes))
        incident = Incident(fault.__name__, node.name)
        started = time.monotonic()
        fault(incident, node)
        whole = self.until_whole()
        incident.whole_s = None if whole is None else time.monotonic() - started
        self.incidents.append(incident)
        self.tell(f"{incident.kind} ({node.name}): seen {_s(incident.detection_s)}, whole {_s(incident.whole_s)}")
        if whole is None:
            self.failures.append(f"not whole {WHOLE_TIMEOUT_S:.0f} s after {incident.kind} of {node.name}")
        return incident

    # --- Faults -------------------------------------------------------------------------------------------------

    def kill_storage_node(self, incident: Incident, node: NodeInfo) -> None:
        """Or another one, where this is the one to be spared."""
        *others, spared = sorted(self._patiently(self.store.nodes), key=lambda each: each.directory)
        if node.directory == spared.directory:
            node = self.rng.choice(others)
            incident.node = node.name
        os.kill(node.pid, signal.SIGKILL)
        incident.detection_s = self._until(lambda: self._now(node).pid != node.pid)

    def kill_namenode(self, incident: Incident, _node: NodeInfo) -> None:
        epoch = self._patiently(self.store.status).epoch
        os.kill(self._namenode(), signal.SIGKILL)
        incident.detection_s = self._until(lambda: self.store.status().epoch > epoch)

    def stop_storage_node(self, incident: Incident, node: NodeInfo) -> None:
        """For longer than it takes to be down, until others hold what it held."""
        with _stopped(node.pid):
            incident.detection_s = self._until(lambda: self._now(node).state == "down")
            self._watch_repair(incident)

    def pause_storage_node(self, incident: Incident, node: NodeInfo) -> None:
        """For less than it takes to be down."""
        with _stopped(node.pid):
            time.sleep(self.rng.uniform(0.5, 7.0))
            incident.detection_s = None

    def stop_namenode(self, _incident: Incident, _node: NodeInfo) -> None:
        with _stopped(self._namenode()):
            time.sleep(self.rng.uniform(0.5, 15.0))

    def damage_replicas(self, incident: Incident, node: NodeInfo) -> None:
        """Files of one node, each with good replicas elsewhere; then a scrub, which must find them."""
        storage = self.directory / "storage"
        slot = Path(node.directory)
        hurt = []
        for chunk_id in self._some_chunks_of(slot):
            if len(good_files(storage, chunk_id)) >= 3:
                with suppress(FileNotFoundError):  # deleted in this moment
                    self.rng.choice(DAMAGES)(slot / "chunks" / chunk_id[:2] / chunk_id)
                    hurt.append(chunk_id)
        if hurt:
            self._patiently(self.store.scrub)
            self._watch_files(incident, slot, hurt)

    def fail_and_recover(self, incident: Incident, node: NodeInfo) -> None:
        self._patiently(lambda: self.store.fail(node.id))
        try:
            incident.detection_s = self._until(lambda: self._now(node).state == "failed")
            self._watch_repair(incident)
        finally:
            self._patiently(lambda: self.store.recover(node.id))

    def drain_and_undrain(self, incident: Incident, node: NodeInfo) -> None:
        self._patiently(lambda: self.store.drain(node.id))
        try:
            incident.detection_s = self._until(lambda: self._now(node).state in ("draining", "drained"))
            self._until(lambda: self._now(node).state == "drained", WHOLE_TIMEOUT_S)
        finally:
            self._patiently(lambda: self.store.undrain(node.id))

    def scrub(self, _incident: Incident, _node: NodeInfo) -> None:
        self._patiently(self.store.scrub_and_wait)

    def _some_chunks_of(self, slot: Path) -> list[str]:
        files = sorted(path.name for path in slot.glob("chunks/*/*"))
        return self.rng.sample(files, min(len(files), self.rng.randint(1, DAMAGED_MAX)))

    def _namenode(self) -> int:
        """Its process. There must be one: to the kernel 0 is this process and all its kin."""
        lock = self.directory / "namenode" / "lock"
        pid = lock_holder(lock)
        if not pid:
            raise RuntimeError(f"no process is named in {lock}")
        return pid

    # --- Watching -----------------------------------------------------------------------------------------------

    def until_whole(self) -> float | None:
        return self._until(self._is_whole, WHOLE_TIMEOUT_S)

    def _is_whole(self) -> bool:
        status = self.store.status()
        short = status.under_replicated + status.missing + status.healing
        return not (short or status.safe_mode or status.read_only) and status.nodes["up"] == sum(status.nodes.values())

    def _now(self, node: NodeInfo) -> NodeInfo:
        return self.store.node(node.id).node

    def _watch_repair(self, incident: Incident) -> None:
        """Of a node whose replicas no longer count."""
        started = time.monotonic()
        offset_s = incident.detection_s or 0.0
        most, first_order_s = 0, None
        while time.monotonic() - started < WHOLE_TIMEOUT_S:
            status = self._patiently(self.store.status)
            passed_s = time.monotonic() - started
            incident.repaired_bytes = max(incident.repaired_bytes, status.healing_bytes)
            if status.healing and first_order_s is None:
                first_order_s = passed_s
            if incident.first_repair_s is None and status.under_replicated < most:
                incident.first_repair_s = offset_s + passed_s
            most = max(most, status.under_replicated)
            if not status.under_replicated and (most or passed_s > 2):
                incident.repair_s = passed_s - (first_order_s or 0.0)
                return
            time.sleep(POLL_S)

    def _watch_files(self, incident: Incident, slot: Path, hurt: list[str]) -> None:
        """Until every damaged file is out of the way, and the chunk has its replicas again or is no longer wanted."""
        storage = self.directory / "storage"
        places = [slot / "chunks" / chunk_id[:2] / chunk_id for chunk_id in hurt]
        marks = [_identity(place) for place in places]
        started = time.monotonic()

        def seen() -> bool:
            return any(_identity(place) != mark for place, mark in zip(places, marks, strict=True) if mark)

        def mended(chunk_id: str) -> bool:
            return len(good_files(storage, chunk_id)) >= 3 or not replica_files(storage, chunk_id)

        incident.detection_s = self._until(seen) if any(marks) else None
        if self._until(lambda: any(mended(chunk_id) for chunk_id in hurt)) is not None:
            incident.first_repair_s = time.monotonic() - started
        if self._until(lambda: all(mended(chunk_id) for chunk_id in hurt), WHOLE_TIMEOUT_S) is None:
            self.failures.append(f"damaged replicas of {', '.join(hurt)} on {slot.name} were not replaced")

    def _until(self, condition: Callable[[], bool], timeout_s: float = SEEN_TIMEOUT_S) -> float | None:
        """Seconds until the condition held; an answer that does not come is not yet one. None if it never held."""
        started = time.monotonic()
        while time.monotonic() - started < timeout_s:
            try:
                if condition():
                    return time.monotonic() - started
            except DameError:
                pass
            time.sleep(POLL_S)
        return None

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Ask until there is an answer: a NameNode may be restarting."""
        deadline = time.monotonic() + SEEN_TIMEOUT_S
        while True:
            try:
                return call()
            except DameError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)


def summary(incidents: list[Incident]) -> dict[str, dict[str, object]]:
    """By kind: how many, and median and worst of each time in seconds."""
    kinds: dict[str, list[Incident]] = {}
    for incident in incidents:
        kinds.setdefault(incident.kind, []).append(incident)
    return {
        kind: {
            "count": len(found),
            **{name: _spread(found, name) for name in ("detection_s", "first_repair_s", "whole_s")},
        }
        for kind, found in sorted(kinds.items())
    }


def _spread(incidents: list[Incident], name: str) -> dict[str, float] | None:
    values = [value for incident in incidents if (value := getattr(incident, name)) is not None]
    return {"median": round(statistics.median(values), 2), "max": round(max(values), 2)} if values else None


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at a place; None for no file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
