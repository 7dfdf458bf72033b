"""What each edit does to the catalog's tables. The caller makes it one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from core.namenode import edits
from core.namenode.schema import INTEGER_MAX, REPLICATION

_WANTED = f"(SELECT max({REPLICATION}) FROM chunk_lists AS l WHERE l.chunk = chunks.id)"
"""Replicas that the versions of a chunk want: as many as the most demanding one."""

_WANTED_AS_BEFORE = f"EXISTS (SELECT 1 FROM chunk_lists AS l WHERE l.chunk = chunks.id AND {REPLICATION} = wanted)"
"""One of those that are left wants as many, mostly the first that is looked at: a chunk may be in thousands."""


def change(connection: sqlite3.Connection, edit: edits.Edit) -> None:
    """Carry out one edit, in the transaction that is open."""
    _CHANGES[type(edit)](connection, edit)


def _remember(connection: sqlite3.Connection, edit: edits.ClientEdit, result: Any, time_ms: int) -> None:
    connection.execute(
        "INSERT INTO operations VALUES (?, ?, ?, ?)",
        (edit.operation, type(edit).__name__, json.dumps(result), time_ms),
    )


# --- Artifacts and versions -------------------------------------------------------------------------------------


def _publish(connection: sqlite3.Connection, edit: edits.PublishVersion) -> None:
    version = edit.version
    connection.execute(
        "INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (artifact) DO UPDATE SET newest ="
        " excluded.newest, keep_versions = excluded.keep_versions",
        (edit.artifact, version.name, version.version, version.version, edit.keep_versions),
    )
    connection.execute(
        "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            edit.artifact,
            version.version,
            version.size_bytes,
            version.chunks,
            version.chunk_size_bytes,
            version.replication,
            version.digest,
            version.created_ms,
        ),
    )
    counts = Counter(edit.chunks)
    connection.executemany(
        "INSERT INTO chunks VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET refs = refs + excluded.refs, wanted = max(wanted, excluded.wanted)",
        ((bytes.fromhex(key.id), key.size_bytes, refs, version.replication) for key, refs in counts.items()),
    )
    connection.executemany(
        "INSERT INTO chunk_lists VALUES (?, ?, ?, ?)",
        ((edit.artifact, version.version, position, bytes.fromhex(key.id)) for position, key in enumerate(edit.chunks)),
    )
    connection.executemany("DELETE FROM garbage WHERE chunk = ?", ((bytes.fromhex(key.id),) for key in counts))
    _remember(connection, edit, asdict(edit.result), version.created_ms)


def _delete(connection: sqlite3.Connection, edit: edits.DeleteArtifact) -> None:
    connection.execute("UPDATE artifacts SET deleted_ms = ? WHERE artifact = ?", (edit.time_ms, edit.artifact))
    _remember(connection, edit, asdict(edit.result), edit.time_ms)


def _undelete(connection: sqlite3.Connection, edit: edits.UndeleteArtifact) -> None:
    connection.execute("UPDATE artifacts SET deleted_ms = NULL WHERE artifact = ?", (edit.artifact,))
    _remember(connection, edit, asdict(edit.result), edit.time_ms)


def _expire_trash(connection: sqlite3.Connection, edit: edits.ExpireTrash) -> None:
    connection.execute("UPDATE artifacts SET deleted_ms = 0 WHERE artifact = ?", (edit.artifact,))
    _remember(connection, edit, asdict(edit.result), edit.time_ms)


def _set_replication(connection: sqlite3.Connection, edit: edits.SetReplication) -> None:
    connection.execute("UPDATE versions SET replication = ? WHERE artifact = ?", (edit.replication, edit.artifact))
    connection.execute(
        f"UPDATE chunks SET wanted = {_WANTED} WHERE id IN (SELECT chunk FROM chunk_lists WHERE artifact = ?)",
        (edit.artifact,),
    )
    _remember(connection, edit, asdict(edit.result), edit.time_ms)


def _spare_trash(connection: sqlite3.Connection, edit: edits.SpareTrash) -> None:
    """Time 0 stays: it was purged by an operator, and is only to be cleared away."""
    connection.execute(
        "UPDATE artifacts SET deleted_ms = ? WHERE deleted_ms > 0 AND deleted_ms < ?",
        (edit.not_before_ms, edit.not_before_ms),
    )


def _prune(connection: sqlite3.Connection, edit: edits.PruneVersions | edits.NoteCheckpoint) -> None:
    _leave_lists(connection, edit.artifact, edit.oldest)
    connection.execute("DELETE FROM versions WHERE artifact = ? AND version < ?", (edit.artifact, edit.oldest))
    connection.execute("UPDATE artifacts SET oldest = ? WHERE artifact = ?", (edit.oldest, edit.artifact))


def _purge(connection: sqlite3.Connection, edit: edits.PurgeArtifact) -> None:
    _leave_lists(connection, edit.artifact, INTEGER_MAX)
    connection.execute("DELETE FROM artifacts WHERE artifact = ?", (edit.artifact,))


def _leave_lists(connection: sqlite3.Connection, artifact: int, version: int) -> None:
    """The chunk lists of an artifact's versions before one are to be counted down."""
    connection.execute(
        "INSERT INTO leftovers SELECT artifact, version, replication FROM versions WHERE artifact = ? AND version < ?",
        (artifact, version),
    )


def _count_down(connection: sqlite3.Connection, edit: edits.CountDown) -> None:
    """A catalog may hold what it should not, a counted chunk noted as garbage: its note is replaced, since a
    contradiction here would end the process at every start."""
    of_version = (edit.artifact, edit.version)
    entries = connection.execute(
        "SELECT chunk, count(*) FROM chunk_lists WHERE artifact = ? AND version = ? AND position >= ? GROUP BY chunk",
        (*of_version, edit.first),
    ).fetchall()
    connection.execute(
        "DELETE FROM chunk_lists WHERE artifact = ? AND version = ? AND position >= ?", (*of_version, edit.first)
    )
    if edit.first == 0:
        connection.execute("DELETE FROM leftovers WHERE artifact = ? AND version = ?", of_version)
    connection.executemany(
        "INSERT OR REPLACE INTO garbage SELECT id, size_bytes, ?, 'counted_down' FROM chunks WHERE id = ? AND refs = ?",
        ((edit.time_ms, chunk, refs) for chunk, refs in entries),
    )
    # Before the counting down: CHECK (refs > 0) holds at every statement.
    connection.executemany("DELETE FROM chunks WHERE id = ? AND refs = ?", entries)
    connection.executemany(
        f"UPDATE chunks SET refs = refs - ?, wanted = CASE WHEN {_WANTED_AS_BEFORE} THEN wanted ELSE {_WANTED} END"
        " WHERE id = ?",
        ((refs, chunk) for chunk, refs in entries),
    )


# --- Garbage and leases ------------------------------------------------------------------------------------------


def _note_garbage(connection: sqlite3.Connection, edit: edits.NoteGarbage) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO garbage VALUES (?, ?, ?, ?)",
        ((bytes.fromhex(entry.chunk.id), entry.chunk.size_bytes, entry.since_ms, entry.kind) for entry in edit.entries),
    )


def _forget_garbage(connection: sqlite3.Connection, edit: edits.ForgetGarbage) -> None:
    connection.executemany(
        "DELETE FROM garbage WHERE chunk = ?", ((bytes.fromhex(chunk_id),) for chunk_id in edit.chunk_ids)
    )


def _promise_leases(connection: sqlite3.Connection, edit: edits.PromiseLeases) -> None:
    connection.execute("UPDATE facts SET value = ? WHERE key = 'leases_until_ms'", (str(edit.until_ms),))


# --- The rest ---------------------------------------------------------------------------------------------------


def _start_epoch(connection: sqlite3.Connection, edit: edits.StartEpoch) -> None:
    connection.execute("UPDATE facts SET value = ? WHERE key = 'epoch'", (str(edit.epoch),))


def _join(connection: sqlite3.Connection, edit: edits.JoinNode) -> None:
    connection.execute(
        "INSERT INTO nodes VALUES (?, ?, ?, 'none', ?)", (edit.node_id, edit.name, edit.host, edit.time_ms)
    )
    connection.execute("UPDATE facts SET value = CAST(value + 1 AS TEXT) WHERE key = 'nodes_joined'")


def _forget_node(connection: sqlite3.Connection, edit: edits.ForgetNode) -> None:
    connection.execute("DELETE FROM nodes WHERE node_id = ?", (edit.node_id,))
    _remember(connection, edit, edit.name, edit.time_ms)


def _move(connection: sqlite3.Connection, edit: edits.MoveNode) -> None:
    connection.execute("UPDATE nodes SET host = ? WHERE node_id = ?", (edit.host, edit.node_id))


def _set_wish(connection: sqlite3.Connection, edit: edits.SetWish) -> None:
    connection.execute("UPDATE nodes SET wish = ? WHERE node_id = ?", (edit.wish, edit.node_id))
    _remember(connection, edit, edit.node_id, edit.time_ms)


def _note_checkpoint(connection: sqlite3.Connection, edit: edits.NoteCheckpoint) -> None:
    connection.executemany(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (
            ("checkpoint_artifact", str(edit.artifact)),
            ("checkpoint_version", str(edit.version)),
            ("checkpoint_edits", str(edit.edits)),
            ("checkpoint_ms", str(edit.taken_ms)),
        ),
    )
    _prune(connection, edit)


def _forget_operations(connection: sqlite3.Connection, edit: edits.ForgetOperations) -> None:
    connection.execute("DELETE FROM operations WHERE time_ms < ?", (edit.before_ms,))


_CHANGES: dict[type, Callable[[sqlite3.Connection, Any], None]] = {
    edits.StartEpoch: _start_epoch,
    edits.PublishVersion: _publish,
    edits.DeleteArtifact: _delete,
    edits.UndeleteArtifact: _undelete,
    edits.ExpireTrash: _expire_trash,
    edits.SetReplication: _set_replication,
    edits.PruneVersions: _prune,
    edits.PurgeArtifact: _purge,
    edits.CountDown: _count_down,
    edits.NoteGarbage: _note_garbage,
    edits.ForgetGarbage: _forget_garbage,
    edits.PromiseLeases: _promise_leases,
    edits.JoinNode: _join,
    edits.MoveNode: _move,
    edits.SetWish: _set_wish,
    edits.ForgetNode: _forget_node,
    edits.NoteCheckpoint: _note_checkpoint,
    edits.SpareTrash: _spare_trash,
    edits.ForgetOperations: _forget_operations,
}
