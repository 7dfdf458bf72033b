"""Bugs planted on purpose: each turns the code that ships into a mutant that breaks one promise now and then.

A simulation that does not find them would not find the next real one either. What is patched must be there: where the
code that ships has moved on, planting fails, not the search.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from core.errors import StorageNodeError
from core.gateway import Call
from core.model import HeartbeatReply
from core.namenode import applying, edits
from core.namenode.catalog import Catalog
from core.namenode.deleting import Deleter
from core.namenode.draining import Drains
from core.namenode.healing import Healer
from core.namenode.housekeeping import Housekeeping
from core.namenode.leases import Leases
from core.namenode.membership import Member
from core.namenode.redundancy import Chunk, Redundancy
from core.namenode.schema import INTEGER_MAX
from core.namenode.uploads import Uploads
from core.storagenode import chunkfile, chunkstore
from core.storagenode.locks import ChunkLocks
from core.storagenode.storagenode import StorageNode
from core.transfer.download import ChunkRead, Download
from tests.simulation.catalog import SimulatedCatalog

Mutation = Callable[[], AbstractContextManager[None]]

MUTANTS: dict[str, Mutation] = {}
"""By name, what to enter for as long as the bug is to be there."""


def planted(make: Callable[[], Iterator[None]]) -> Mutation:
    mutation = contextmanager(make)
    MUTANTS[make.__name__] = mutation
    return mutation


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """An attribute of a class or a module is another one for a while. Raises AttributeError if there is none."""
    before = vars(owner).get(name, getattr(owner, name))
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def changed(kind: type, change: Callable[..., None]) -> Iterator[None]:
    """An edit does something else to the tables. `change` is given the one that ships too."""
    before = applying._CHANGES[kind]
    applying._CHANGES[kind] = lambda connection, edit: change(before, connection, edit)
    try:
        yield
    finally:
        applying._CHANGES[kind] = before


# --- Acknowledged means durable -----------------------------------------------------------------------------------


@planted
def early_acknowledgement() -> Iterator[None]:
    """A version is published as soon as one storage node has its chunks."""
    with replaced(Uploads, "_quorum", lambda self, replication: 1):
        yield


@planted
def early_acknowledgement_unheard() -> Iterator[None]:
    """The same, but only by a NameNode that dies before it answers: what it committed is acknowledged by the next."""
    ships = Uploads._quorum

    def quorum(self: Uploads, replication: int) -> int:
        catalog = self._state.catalog
        dies = isinstance(catalog, SimulatedCatalog) and catalog.dies_unanswered
        return 1 if dies else ships(self, replication)

    with replaced(Uploads, "_quorum", quorum):
        yield


@planted
def forgotten_fsync_of_file() -> Iterator[None]:
    """A chunk's bytes are not synced before it is renamed into place."""

    class Forgetful:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def fsync(self, descriptor: int) -> None:
            pass

    with replaced(chunkfile, "os", Forgetful()):
        yield


@planted
def forgotten_fsync_of_directory() -> Iterator[None]:
    """A chunk's name is not synced before it counts."""
    with replaced(chunkstore, "sync_directory", lambda path: None):
        yield


@planted
def lost_edit() -> Iterator[None]:
    """Every third deletion is acknowledged and leaves the catalog as it was."""
    turns = itertools.count()

    def delete(ships: Callable[..., None], connection: sqlite3.Connection, edit: edits.DeleteArtifact) -> None:
        if next(turns) % 3:
            ships(connection, edit)

    with changed(edits.DeleteArtifact, delete):
        yield


@planted
def forgotten_operations() -> Iterator[None]:
    """A NameNode that starts does not know what the last one applied: a call that comes again is applied again."""

    def start(ships: Callable[..., None], connection: sqlite3.Connection, edit: edits.StartEpoch) -> None:
        ships(connection, edit)
        connection.execute("DELETE FROM operations")

    with changed(edits.StartEpoch, start):
        yield


# --- A reader sees one version, and what was written --------------------------------------------------------------


@planted
def torn_publish() -> Iterator[None]:
    """A version appears in one transaction, its chunks in the next."""

    class Torn:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, statement: str, *parameters: Any) -> Any:
            done = self._connection.execute(statement, *parameters)
            if statement.startswith("INSERT INTO versions"):
                self._connection.execute("COMMIT")
                self._connection.execute("BEGIN IMMEDIATE")
            return done

    def publish(ships: Callable[..., None], connection: sqlite3.Connection, edit: edits.PublishVersion) -> None:
        ships(Torn(connection), edit)

    with changed(edits.PublishVersion, publish):
        yield


@planted
def unverified_read() -> Iterator[None]:
    """A client takes whatever bytes a storage node gives for a chunk."""
    ships = Download._answered

    def answered(self: Download, read: ChunkRead, call: Call) -> None:
        try:
            read.data = memoryview(call.result()).cast("B")
        except StorageNodeError:
            ships(self, read, call)
        else:
            read.waiting.clear()

    with replaced(Download, "_answered", answered):
        yield


# --- Nothing that counts is removed -------------------------------------------------------------------------------


@planted
def stale_epoch_obeyed() -> Iterator[None]:
    """A storage node does what any NameNode says, also one that was superseded."""
    ships = StorageNode.obey

    def obey(self: StorageNode, reply: HeartbeatReply) -> Any:
        return ships(self, dataclasses.replace(reply, epoch=max(reply.epoch, self.epoch)))

    with replaced(StorageNode, "obey", obey):
        yield


@planted
def deduplicated_chunk_collected() -> Iterator[None]:
    """An upload relies on a chunk whose deletion was ordered already: the order is taken for taken back."""

    def recall(self: Redundancy, chunk: Chunk) -> None:
        for node_id, state in list(chunk.replicas.items()):
            if state == "deleting":
                self._recall(chunk, node_id)

    with replaced(Redundancy, "_recall_deletes", recall):
        yield


@planted
def last_good_replica_removed() -> Iterator[None]:
    """Of a chunk with more replicas than wanted each one is taken for surplus, since the others are enough."""
    ships = Deleter._dispensable

    def dispensable(self: Deleter, chunk: Chunk, *given: Any) -> Member | None:
        victim = ships(self, chunk, *given)
        if victim is not None:
            for node_id in self._redundancy.holders(chunk, ("counts",)):
                if node_id != victim.id:
                    self._redundancy.order_delete(node_id, chunk.id)
        return victim

    with replaced(Deleter, "_dispensable", dispensable):
        yield


@planted
def drained_too_early() -> Iterator[None]:
    """A draining node is said to be drained while it still has the only replica of something."""
    with replaced(Drains, "_short_chunks", lambda self, member: iter(())):
        yield


@planted
def trash_emptied_too_early() -> Iterator[None]:
    """What is deleted is purged without waiting for the end of its time in the trash."""
    ships = Catalog.deleted_before
    with replaced(Catalog, "deleted_before", lambda self, time_ms: ships(self, INTEGER_MAX)):
        yield


@planted
def trash_never_emptied() -> Iterator[None]:
    """What is in the trash stays there for ever."""
    with replaced(Housekeeping, "_empty_trash", lambda self: False):
        yield


@planted
def old_versions_kept() -> Iterator[None]:
    """Versions beyond the number that an artifact is to keep stay."""
    with replaced(Housekeeping, "_prune", lambda self: False):
        yield


@planted
def changes_unguarded() -> Iterator[None]:
    """Threads of a storage node change the same chunk at once."""
    with replaced(ChunkLocks, "hold", lambda self, chunk_id: contextlib.nullcontext()):
        yield


# --- It heals by itself -------------------------------------------------------------------------------------------


@planted
def expired_copy_never_retried() -> Iterator[None]:
    """A copy that failed or took too long counts as under way for ever, so that no other is ordered."""
    with (
        replaced(Healer, "failed", lambda self, chunk_id, node_id, now_ms: None),
        replaced(Healer, "expire", lambda self, now_ms: None),
    ):
        yield


@planted
def bad_replica_kept() -> Iterator[None]:
    """A storage node that finds a replica bad says nothing of it."""
    with replaced(StorageNode, "_give_up_replica", lambda self, chunk_id: None):
        yield


@planted
def lease_never_ends() -> Iterator[None]:
    """The chunks of an upload whose client died are held for ever."""
    with replaced(Leases, "expired", lambda self, now_ms: []):
        yield
