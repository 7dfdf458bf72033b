"""Which storage directory is this replica's own, when several share one root: a volume, or a machine's disk.

Each directory is claimed by an flock that lasts as long as its claimant, also between containers of one kernel. Compose
numbers the containers of a service; number 4 takes `replica-4`, so that scaling down takes away the containers whose
nodes were drained. A container does not know its number, but Docker's DNS does.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from core.directory import DirectoryLock, is_in_use, lock_directory, make_directory, numbered
from core.errors import DirectoryInUse
from core.storagenode.chunkstore import holds_replicas

OWNERS_PATIENCE_S = 10.0
DNS_TIMEOUT_S = 5.0
DNS_PATIENCE_S = 10.0
SOME_ADDRESS = ("8.8.8.8", 53)
"""Nothing is sent there."""
_NUMBERED = re.compile(r"(.+)[-_]([1-9][0-9]*)")


@dataclass(frozen=True)
class Claim:
    """A directory that nobody else uses while the lock is held."""

    directory: Path
    lock: DirectoryLock


def slots(directory: Path) -> int:
    """How many storage slots a machine with this directory offers: up to the highest that is there, at least one."""
    return max(numbered(directory, "slot"), default=0) + 1


def claim(root: Path, number: int | None, patience_s: float = OWNERS_PATIENCE_S) -> Claim:
    """The directory of this number if it holds replicas, else another one that does, else its own, old or new.

    A number whose directory holds nothing may be that of the successor of a container that was removed: Compose gives
    it the next number, not the one that is free. So replicas that nobody serves come first, once those whose own they
    are have had so long to take them.

    A root that is itself the directory of a storage machine, started by `ray start` alone, comes before all. Raises
    DirectoryFailure when the root can't be written.
    """
    make_directory(root)
    if any(root.glob("slot-*")) and (claimed := _try(root)) is not None:
        return claimed
    existing = numbered(root, "replica")
    full = [candidate for candidate in existing if _holds_replicas(_replica(root, candidate))]
    empty = [candidate for candidate in existing if candidate not in full]
    if number in full and (claimed := _try_twice(_replica(root, number))) is not None:
        return claimed
    if number is not None and any(_is_free(_replica(root, candidate)) for candidate in full):
        time.sleep(patience_s)
    new = (candidate for candidate in count(1) if candidate not in existing)
    for candidate in chain(full, () if number is None else (number,), empty, new):
        if (claimed := _try(_replica(root, candidate))) is not None:
            return claimed
    raise AssertionError("numbers ended")


def _replica(root: Path, number: int) -> Path:
    return root / f"replica-{number}"


def _is_free(directory: Path) -> bool:
    """A directory that can't be looked into is nobody's to take."""
    try:
        return not is_in_use(directory)
    except OSError:
        return False


def _holds_replicas(directory: Path) -> bool:
    return any(holds_replicas(slot) for slot in directory.glob("slot-*"))


def _try_twice(directory: Path) -> Claim | None:
    """Who only looks whether it is held, holds it for that moment."""
    if (claimed := _try(directory)) is None:
        time.sleep(0.1)
        claimed = _try(directory)
    return claimed


def _try(directory: Path) -> Claim | None:
    make_directory(directory)
    try:
        return Claim(directory, lock_directory(directory))
    except DirectoryInUse:
        return None


def container_name(address: str, patience_s: float = DNS_PATIENCE_S) -> str | None:
    """What Docker's DNS calls the container with this address, without the network's name; None if it does not know.

    It is asked again for a while: it may be busy when many containers start.
    """
    deadline_s = time.monotonic() + patience_s
    while (name := _name_in_dns(address)) is None and time.monotonic() < deadline_s:
        time.sleep(0.5)
    return name


def _name_in_dns(address: str) -> str | None:
    """/etc/hosts has another name for a container, so the resolver is told to ask the DNS alone."""
    try:
        done = subprocess.run(
            ["getent", "-s", "dns", "hosts", address], capture_output=True, timeout=DNS_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.decode("ascii", "replace").split()
    return words[1].partition(".")[0] if done.returncode == 0 and len(words) > 1 else None


def number_of(name: str) -> int | None:
    """The replica's number in a container's name: 4 in `dame-storage-4` and in `dame_storage_4`."""
    numbered = _NUMBERED.fullmatch(name)
    return int(numbered[2]) if numbered else None


def own_address(peer_host: str, peer_port: int) -> str | None:
    """The address of this machine on the way to another; None if there is no way, or no such host just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect((peer_host, peer_port))  # a datagram socket sends nothing
        return str(probe.getsockname()[0])
    return None


def main_address() -> str:
    """The address that this machine uses towards strangers, which is also what Ray takes for its address."""
    return own_address(*SOME_ADDRESS) or "127.0.0.1"
