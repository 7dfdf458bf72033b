"""Which chunks there are, who holds a replica, and which are short of replicas, surplus or garbage. All soft state.

Everything is kept up to date chunk by chunk as replicas come and go: nothing here scans all chunks, except when a node
changes its role, and then only that node's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from core.model import ChunkKey, Health, inventory_token
from core.namenode.garbage import GarbageBook, GarbageKind
from core.namenode.nodestates import Role
from core.namenode.shortqueue import ShortQueue

ReplicaState = Literal["reported", "claimed", "deleting"]
"""reported: the node says so. claimed: a client says the node confirmed it. deleting: to be deleted, counts no more;
it stays so until the node says it is gone, since an order that was sent can't be taken back."""

CLAIM_MS = 60_000
"""A claim that the node itself has not confirmed for this long is dropped."""


class Chunk:
    """A chunk that is needed, or that some node still holds."""

    __slots__ = ("copies", "doubtful", "id", "known", "pins", "replicas", "size_bytes", "wanted")

    def __init__(self, chunk_id: str, size_bytes: int) -> None:
        self.id = chunk_id
        self.size_bytes = size_bytes
        self.wanted = 0
        """Replicas the catalog wants; 0 if no version counts it."""
        self.pins = 0
        """Leases that hold it."""
        self.known = False
        """A version or a lease has needed it since the NameNode started."""
        self.doubtful = False
        """No version counts it, and good replicas of it may be deleted already, so that those that are left may be bad
        ones that nobody looked at: its time as garbage was over, or a replica turned up of which nobody knew. What is
        needed again of it is stored again."""
        self.replicas: dict[str, ReplicaState] = {}
        self.copies: dict[str, None] = {}
        """Nodes that have been told to pull a replica."""

    @property
    def key(self) -> ChunkKey:
        return ChunkKey(self.id, self.size_bytes)


@dataclass
class Inventory:
    """What one node holds."""

    role: Role = "absent"
    chunks: dict[str, None] = field(default_factory=dict)
    digest: int = 0
    """XOR of the tokens of the chunks the node itself reported, those being deleted included."""
    reported: int = 0
    deleting: dict[str, bool] = field(default_factory=dict)
    """Chunks ordered to be deleted; True once the order was sent."""


def health_of(wanted: int, counting: int, serving: int) -> Health:
    if wanted == 0 or (serving and counting >= wanted):
        return "ok"
    if serving == 0:
        return "lost"
    return "at_risk" if serving == 1 and wanted > 1 else "under"


class Redundancy:
    def __init__(self, now_ms: int, garbage: GarbageBook) -> None:
        self.now_ms = now_ms
        self.garbage = garbage
        self.chunks: dict[str, Chunk] = {}
        self.inventories: dict[str, Inventory] = {}
        self.unhealthy: dict[str, Health] = {}
        """Chunks whose health is not ok."""
        self.counts: dict[Health, int] = {"ok": 0, "under": 0, "at_risk": 0, "lost": 0}
        self.counted = 0
        """Chunks that some version counts."""
        self.generation = 0
        """Grows whenever a chunk's health changes, or a replica comes or goes."""
        self.short = ShortQueue()
        self._short_bytes: dict[str, int] = {}
        self.short_bytes = 0
        """Of the copies that short chunks lack and that are not ordered yet."""
        self.surplus: dict[str, None] = {}
        """Chunks with more counting replicas than wanted."""
        self._claims: dict[tuple[str, str], int] = {}
        """Node and chunk of each claim, and when it was made, oldest first."""
        self._distrusted: dict[str, dict[str, None]] = {}
        """For a pinned chunk, the nodes that lost it since: a claim for them would be outdated."""
        self.changed_for_worse: dict[str, None] | None = None
        """While somebody wants to know: chunks that are not well and changed since."""
        self._garbage_bytes: dict[str, tuple[int, GarbageKind]] = {}
        self.garbage_bytes: dict[GarbageKind, int] = {"counted_down": 0, "unknown": 0}

    # --- Who needs a chunk ------------------------------------------------------------------------------------

    def need(self, key: ChunkKey, wanted: int) -> None:
        """The catalog now wants this many replicas of a chunk; 0: no version counts it any more."""
        chunk = self._chunk(key)
        self.counted += (wanted > 0) - (chunk.wanted > 0)
        chunk.wanted = wanted
        chunk.doubtful = chunk.doubtful and not wanted
        chunk.known = True
        self._update(chunk)

    def pin(self, key: ChunkKey) -> None:
        """An upload holds the chunk: it is not to be deleted, stored or not."""
        chunk = self._chunk(key)
        chunk.pins += 1
        chunk.doubtful = chunk.doubtful or self.garbage.is_due(key.id, self.now_ms)
        chunk.known = True
        self._recall_deletes(chunk)
        self._update(chunk)

    def unpin(self, chunk_id: str) -> None:
        chunk = self.chunks[chunk_id]
        assert chunk.pins > 0
        chunk.pins -= 1
        if not chunk.pins:
            self._distrusted.pop(chunk_id, None)
        self._update(chunk)

    def _chunk(self, key: ChunkKey) -> Chunk:
        chunk = self.chunks.get(key.id)
        if chunk is None:
            chunk = self.chunks[key.id] = Chunk(key.id, key.size_bytes)
        return chunk

    # --- Who holds it -----------------------------------------------------------------------------------------

    def report(self, node_id: str, key: ChunkKey) -> None:
        """The node says that it holds the chunk."""
        chunk = self._chunk(key)
        inventory = self._inventory(node_id)
        before = chunk.replicas.get(node_id)
        self._distrusted.get(key.id, {}).pop(node_id, None)
        if before in ("reported", "deleting"):
            return
        self._claims.pop((node_id, key.id), None)
        inventory.digest ^= inventory_token(key.id)
        inventory.reported += 1
        inventory.chunks[key.id] = None
        chunk.replicas[node_id] = "reported"
        self._update(chunk)

    def acknowledge(self, chunk_id: str, wanted: int, claims: Iterable[str]) -> None:
        """A version with this chunk was published; a client says that these nodes confirmed the chunk to it."""
        chunk = self.chunks[chunk_id]
        for node_id in claims:
            assert self.believes(node_id, chunk_id)
            if node_id not in chunk.replicas:
                chunk.replicas[node_id] = "claimed"
                self._inventory(node_id).chunks[chunk_id] = None
                self._claims[node_id, chunk_id] = self.now_ms
        self.need(chunk.key, max(chunk.wanted, wanted))

    def believes(self, node_id: str, chunk_id: str) -> bool:
        """Whether a client's word that this node holds the chunk may be taken."""
        return node_id not in self._distrusted.get(chunk_id, {})

    def remove(self, node_id: str, chunk_id: str) -> None:
        """The node does not hold the chunk, or not any more."""
        chunk = self.chunks.get(chunk_id)
        if chunk is None:
            return
        if chunk.pins:
            self._distrusted.setdefault(chunk_id, {})[node_id] = None
        state = chunk.replicas.pop(node_id, None)
        if state is None:
            return
        inventory = self._inventory(node_id)
        del inventory.chunks[chunk_id]
        inventory.deleting.pop(chunk_id, None)
        if state == "claimed":
            del self._claims[node_id, chunk_id]
        else:
            inventory.digest ^= inventory_token(chunk_id)
            inventory.reported -= 1
        self._update(chunk)

    def replace_inventory(self, node_id: str, keys: Iterable[ChunkKey], started_ms: int | None = None) -> None:
        """A full report: the node holds these chunks, and no others but those that clients say it took since.

        started_ms: when the process that sends it registered, if this is its first report. It knows nothing of deletes
        its predecessor was told to make, so those are off; what its predecessor took and is not in it is gone.
        """
        held = {key.id: key for key in keys}
        inventory = self._inventory(node_id)
        for chunk_id in [chunk_id for chunk_id in inventory.chunks if chunk_id not in held]:
            claimed_ms = self._claims.get((node_id, chunk_id))
            if claimed_ms is None or (started_ms is not None and claimed_ms < started_ms):
                self.remove(node_id, chunk_id)
        if started_ms is not None:
            for chunk_id in list(inventory.deleting):
                self._recall(self.chunks[chunk_id], node_id)
        for key in held.values():
            chunk = self._chunk(key)
            chunk.doubtful |= not chunk.wanted and node_id not in chunk.replicas
            self.report(node_id, key)

    def forget_node(self, node_id: str) -> None:
        """The node has left the cluster, with all that it held."""
        self._remove_all(node_id)
        del self.inventories[node_id]

    def disbelieve(self, node_id: str) -> None:
        """Another directory is this node now, perhaps an older copy: only what it reports itself is believed.

        Uploads under way may hold confirmations from the one before.
        """
        self._remove_all(node_id)
        self.distrust(node_id)

    def distrust(self, node_id: str) -> None:
        """Another process is this node now: what the last one confirmed to clients and told nobody else is believed
        only once this one reports it."""
        for chunk in self.chunks.values():
            if chunk.pins and chunk.replicas.get(node_id) != "reported":
                self._distrusted.setdefault(chunk.id, {})[node_id] = None

    def _remove_all(self, node_id: str) -> None:
        for chunk_id in list(self._inventory(node_id).chunks):
            self.remove(node_id, chunk_id)

    def role_of(self, node_id: str) -> Role:
        return self._inventory(node_id).role

    def set_role(self, node_id: str, role: Role) -> None:
        """What the node's replicas are worth from now on."""
        inventory = self._inventory(node_id)
        inventory.role = role
        if role == "absent":
            for chunk_id in list(inventory.chunks):
                if self.chunks[chunk_id].replicas[node_id] == "claimed":
                    self.remove(node_id, chunk_id)
        for chunk_id in list(inventory.chunks):
            self._update(self.chunks[chunk_id])

    def has_claims(self, node_id: str) -> bool:
        """Whether clients say of the node what it has not said itself."""
        return any(claimed == node_id for claimed, _ in self._claims)

    def drop_old_claims(self) -> list[str]:
        """Take back what no node has confirmed for long; the ids of the nodes that it was said of."""
        nodes: dict[str, None] = {}
        while self._claims:
            (node_id, chunk_id), since_ms = next(iter(self._claims.items()))
            if self.now_ms - since_ms < CLAIM_MS:
                break
            self.remove(node_id, chunk_id)
            nodes[node_id] = None
        return list(nodes)

    def _inventory(self, node_id: str) -> Inventory:
        inventory = self.inventories.get(node_id)
        if inventory is None:
            inventory = self.inventories[node_id] = Inventory()
        return inventory

    # --- Copies and deletes under way ---------------------------------------------------------------------------

    def copy_started(self, chunk_id: str, node_id: str) -> None:
        chunk = self.chunks[chunk_id]
        assert node_id not in chunk.replicas
        assert node_id not in chunk.copies
        chunk.copies[node_id] = None
        self._update(chunk)

    def copy_ended(self, chunk_id: str, node_id: str) -> None:
        chunk = self.chunks[chunk_id]
        del chunk.copies[node_id]
        self._update(chunk)

    def order_delete(self, node_id: str, chunk_id: str) -> None:
        """The replica counts no more, and the node is told to delete it."""
        chunk = self.chunks[chunk_id]
        assert chunk.replicas[node_id] == "reported"
        chunk.replicas[node_id] = "deleting"
        self._inventory(node_id).deleting[chunk_id] = False
        self._update(chunk)

    def deletes_to_send(self, node_id: str, count_max: int) -> list[str]:
        deleting = self._inventory(node_id).deleting
        chunk_ids = list(deleting)[:count_max]
        deleting.update(dict.fromkeys(chunk_ids, True))
        return chunk_ids

    def _recall_deletes(self, chunk: Chunk) -> None:
        """Take back the deletes that no node has been told of yet."""
        for node_id, state in list(chunk.replicas.items()):
            if state == "deleting" and not self._inventory(node_id).deleting[chunk.id]:
                self._recall(chunk, node_id)

    def _recall(self, chunk: Chunk, node_id: str) -> None:
        del self._inventory(node_id).deleting[chunk.id]
        chunk.replicas[node_id] = "reported"
        self._update(chunk)

    # --- What follows -----------------------------------------------------------------------------------------

    def holders(self, chunk: Chunk, roles: tuple[Role, ...] = ("counts", "serves")) -> list[str]:
        """Nodes in one of these roles with a replica that is not being deleted."""
        return [
            node_id
            for node_id, state in chunk.replicas.items()
            if state != "deleting" and self._inventory(node_id).role in roles
        ]

    def _tally(self, chunk: Chunk) -> tuple[int, int]:
        """Good replicas that count, and good replicas that can be read: what `holders` would list."""
        counting = serving = 0
        for node_id, state in chunk.replicas.items():
            if state == "deleting":
                continue
            role = self.inventories[node_id].role
            counting += role == "counts"
            serving += role != "absent"
        return counting, serving

    def _update(self, chunk: Chunk) -> None:
        """Derive from a chunk's replicas and needs everything else that is known about it."""
        self.generation += 1
        counting, serving = self._tally(chunk)
        health = health_of(chunk.wanted, counting, serving)
        self._set_health(chunk.id, health)
        lacking = chunk.wanted - counting - len(chunk.copies)
        short = serving > 0 and lacking > 0
        self.short.put(chunk.id, (health != "at_risk", serving, -lacking) if short else None)
        self._set_short_bytes(chunk, lacking if short else 0)
        if 0 < chunk.wanted < counting:
            self.surplus[chunk.id] = None
        else:
            self.surplus.pop(chunk.id, None)
        self._set_garbage(chunk)

    def _set_health(self, chunk_id: str, health: Health) -> None:
        before = self.unhealthy.pop(chunk_id, "ok")
        if before != "ok":
            self.counts[before] -= 1
        if health != "ok":
            self.counts[health] += 1
            self.unhealthy[chunk_id] = health
            if self.changed_for_worse is not None:
                self.changed_for_worse[chunk_id] = None

    def _set_short_bytes(self, chunk: Chunk, copies: int) -> None:
        size_bytes = chunk.size_bytes * copies
        self.short_bytes += size_bytes - self._short_bytes.pop(chunk.id, 0)
        if size_bytes:
            self._short_bytes[chunk.id] = size_bytes

    def _set_garbage(self, chunk: Chunk) -> None:
        before_bytes, kind = self._garbage_bytes.pop(chunk.id, (0, "unknown"))
        self.garbage_bytes[kind] -= before_bytes
        if chunk.wanted or chunk.pins:
            self.garbage.discard(chunk.id)
            return
        entry = self.garbage.add(chunk.key, self.now_ms, "counted_down" if chunk.known else "unknown")
        size_bytes = chunk.size_bytes * len(chunk.replicas)
        if size_bytes:
            self._garbage_bytes[chunk.id] = (size_bytes, entry.kind)
            self.garbage_bytes[entry.kind] += size_bytes
        elif not chunk.replicas and not chunk.copies:
            del self.chunks[chunk.id]

    @property
    def garbage_chunks(self) -> int:
        """Chunks of garbage that are known to be on some node."""
        return len(self._garbage_bytes)
