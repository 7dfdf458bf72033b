"""Whether the machines fit together: versions, clocks, shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.config import MIB, MINUTE_MS, SECOND_MS
from core.doctor.facts import Facts, Heard, ProcessFacts, Space
from core.doctor.finding import Finding, ok, problem, warning
from core.units import human_bytes, plural

SHARED_MEMORY_BYTES = 256 * MIB
"""A machine with less can't hold what one or two transfers have under way, about 100 MB each."""
SKEW_WARN_MS = 2 * SECOND_MS
"""Beyond the doubt that the way there and back leaves: people compare times of events and logs."""
SKEW_MS = 1 * MINUTE_MS
"""Certificates, the trash and times of grace go by the clock of the machine that looks."""
ONE_RELEASE = "Bring all to one release: the head first, then the storage nodes one at a time, then the clients."


def check_versions(facts: Facts) -> list[Finding]:
    here, heard = facts.here, facts.cluster.heard
    told = f"DAME {here.release} (protocol {here.protocol}), Python {here.python}, Ray {here.ray}"
    if facts.cluster.other_release:
        return [problem("versions", facts.cluster.refusal, ONE_RELEASE)]
    if not heard:
        return [ok("versions", f"Here: {told}.")]
    others = [finding for process in heard for finding in _differs(process, here)]
    return others or [ok("versions", f"Here and in {_processes(len(heard))} of the cluster: {told}.")]


def _differs(process: Heard, here: ProcessFacts) -> Iterator[Finding]:
    there = process.facts
    if there.protocol != here.protocol or there.release != here.release:
        yield warning(
            "versions",
            f"{_named(process)} has DAME {there.release} (protocol {there.protocol}), and this machine"
            f" {here.release} (protocol {here.protocol}).",
            ONE_RELEASE,
        )
    if there.ray != here.ray or _minor(there.python) != _minor(here.python):
        yield problem(
            "versions",
            f"{_named(process)} has Python {there.python} and Ray {there.ray}, and this machine Python {here.python}"
            f" and Ray {here.ray}.",
            "Use the same Ray and the same Python everywhere.",
        )
    elif there.python != here.python:
        yield warning(
            "versions",
            f"{_named(process)} has Python {there.python}, and this machine {here.python}.",
            f"Over ray:// that does; to be a member of the cluster this machine needs Python {there.python}.",
        )


def _minor(python: str) -> list[str]:
    return python.split(".")[:2]


def _named(process: Heard) -> str:
    name = f"{process.name} on {process.facts.host}"
    return name[0].upper() + name[1:] if name.startswith("the ") else name


def _processes(number: int) -> str:
    return plural(number, "process", "processes")


# --- Clocks -----------------------------------------------------------------------------------------------------


def check_clocks(facts: Facts) -> list[Finding]:
    heard = facts.cluster.heard
    wrong = [finding for process in heard for finding in _skew(process)]
    if wrong or not heard:
        return wrong
    return [ok("clocks", f"This machine's clock agrees with those of {_processes(len(heard))} of the cluster.")]


def _skew(process: Heard) -> Iterator[Finding]:
    """A clock was read at some moment between question and answer: so much doubt is taken off the difference."""
    clock_ms = process.facts.clock_ms
    ahead_ms = clock_ms - process.answered_ms
    behind_ms = process.asked_ms - clock_ms
    skew_ms = max(ahead_ms, behind_ms)
    if skew_ms < SKEW_WARN_MS:
        return
    seen = (
        f"The clock of {process.name} on {process.facts.host} is at least {skew_ms / 1000:.0f} s"
        f" {'ahead of' if ahead_ms > 0 else 'behind'} this machine's."
    )
    advice = "Let all machines set their clocks by NTP (chrony, systemd-timesyncd); see which of the two is wrong."
    yield problem("clocks", seen, advice) if skew_ms >= SKEW_MS else warning("clocks", seen, advice)


# --- Shared memory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Machine:
    name: str
    shared_memory: Space
    object_store_bytes: int


def check_shared_memory(facts: Facts) -> list[Finding]:
    machines = list(_machines(facts))
    wrong = [finding for machine in machines for finding in _shared_memory(machine)]
    if wrong or not machines:
        return wrong
    least = min(machine.shared_memory.total_bytes for machine in machines)
    return [ok("shared memory", f"/dev/shm has at least {human_bytes(least)} on each machine looked at.")]


def _machines(facts: Facts) -> Iterator[_Machine]:
    """Each Ray node once, and this machine where Ray is to be started on it."""
    stores = dict(facts.cluster.object_stores)
    seen: dict[str, None] = {}
    for process in facts.cluster.heard:
        there = process.facts
        if there.shared_memory is not None and there.ray_node_id not in seen:
            seen[there.ray_node_id] = None
            yield _Machine(there.host, there.shared_memory, stores.get(there.ray_node_id, 0))
    if facts.object_store_bytes and facts.link.state != "reached" and facts.here.shared_memory is not None:
        yield _Machine(facts.here.host, facts.here.shared_memory, facts.object_store_bytes)


def _shared_memory(machine: _Machine) -> Iterator[Finding]:
    total, needed = machine.shared_memory.total_bytes, machine.object_store_bytes
    advice = (
        f"Give it {human_bytes(max(needed, SHARED_MEMORY_BYTES))} or more: DAME_SHM_SIZE with compose, --shm-size with"
        " docker run, mount -o remount,size=... /dev/shm elsewhere."
    )
    seen = f"/dev/shm on {machine.name} has {human_bytes(total)}"
    if total < SHARED_MEMORY_BYTES:
        yield problem("shared memory", f"{seen}; transfers need {human_bytes(SHARED_MEMORY_BYTES)}.", advice)
    elif total < needed:
        yield warning(
            "shared memory",
            f"{seen}, and Ray's object store is to have {human_bytes(needed)}: Ray puts it on the disk, in /tmp.",
            advice,
        )
