"""Where replicas go: hosts first, then room. Pure functions of what they are given."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Candidate(NamedTuple):
    """A storage node that may take a chunk."""

    id: str
    host: str
    used_bytes: int
    free_bytes: int
    """What it may still take, less what it has been promised."""

    @property
    def fullness(self) -> float:
        capacity_bytes = self.used_bytes + self.free_bytes
        return self.used_bytes / capacity_bytes if capacity_bytes > 0 else 1.0


class DiskRoom(NamedTuple):
    """A disk and the storage nodes on it: what it may take, and what each of them may, were it alone."""

    free_bytes: int
    nodes: tuple[int, ...]


def content_fits(disks: Sequence[DiskRoom], size_bytes: int, chunk_size_bytes: int, copies: int, quorum: int) -> bool:
    """Whether a content in chunks of this size finds room, each copy of a chunk on another node.

    It does if all copies find theirs, or if so many nodes as the quorum needs can each take all of it, whatever copies
    beyond the quorum use up.
    """
    room = sum(
        min(disk.free_bytes, sum(_taken(free, size_bytes, chunk_size_bytes) for free in disk.nodes)) for disk in disks
    )
    if room >= size_bytes * copies:
        return True
    sure = (
        sum(free >= size_bytes for free in disk.nodes)
        for disk in disks
        if disk.free_bytes >= size_bytes * len(disk.nodes)
    )
    return sum(sure) >= quorum


def _taken(free_bytes: int, size_bytes: int, chunk_size_bytes: int) -> int:
    """How much of a content one node with this much room can take, in whole chunks; the last one may be shorter."""
    if free_bytes >= size_bytes:
        return size_bytes
    whole_bytes = free_bytes // chunk_size_bytes * chunk_size_bytes
    last_bytes = size_bytes % chunk_size_bytes
    return whole_bytes + (last_bytes if free_bytes - whole_bytes >= last_bytes else 0)


def choose_targets(
    candidates: Sequence[Candidate],
    count: int,
    size_bytes: int,
    held_hosts: Iterable[str],
    rng: random.Random,
) -> list[str]:
    """Ids of up to `count` different candidates with room for `size_bytes`.

    Each goes to a host with the fewest replicas so far; `held_hosts` names the host of every replica there is. On the
    hosts that are equal in this, two candidates are drawn and the emptier one is taken: that evens out fullness
    almost as well as always taking the emptiest, without sending every chunk to a node that has just joined.
    """
    replicas_on = Counter(held_hosts)
    open_candidates = [candidate for candidate in candidates if candidate.free_bytes >= size_bytes]
    chosen: list[str] = []
    while open_candidates and len(chosen) < count:
        fewest = min(replicas_on[candidate.host] for candidate in open_candidates)
        best = [candidate for candidate in open_candidates if replicas_on[candidate.host] == fewest]
        target = min(rng.sample(best, min(2, len(best))), key=lambda candidate: candidate.fullness)
        open_candidates.remove(target)
        replicas_on[target.host] += 1
        chosen.append(target.id)
    return chosen
