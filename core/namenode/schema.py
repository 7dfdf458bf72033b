"""The catalog's tables, and how its file is locked and opened.

All of it is hard state: nothing here can be rebuilt from what storage nodes report.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from core.errors import DirectoryFailure

FILE_NAME = "catalog.sqlite"
LOG_NAME = FILE_NAME + "-wal"

FORMAT_VERSION = 1

TABLES = """
-- Facts about the catalog itself: its format version, the cluster's id, the epoch of the last NameNode, how many edits
-- were applied, until when leases that were given may come back, and of the newest checkpoint that storage nodes hold
-- with its manifest, the artifact and version that it is, how many edits are in it and when it was taken.
CREATE TABLE facts (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- One row for each artifact, live or in the trash. A name may be in the trash several times, and live once.
-- It has all versions from the oldest to the newest, and is to keep `keep_versions` of them, 0 for all.
CREATE TABLE artifacts (
    artifact INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    oldest INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    keep_versions INTEGER NOT NULL,
    deleted_ms INTEGER
);
CREATE INDEX prunable ON artifacts (artifact) WHERE keep_versions > 0 AND keep_versions <= newest - oldest;
CREATE UNIQUE INDEX live_names ON artifacts (name) WHERE deleted_ms IS NULL;
CREATE INDEX trash ON artifacts (deleted_ms, name) WHERE deleted_ms IS NOT NULL;

-- Published versions, never changed but for `replication`.
CREATE TABLE versions (
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    version INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    chunk_size_bytes INTEGER NOT NULL,
    replication INTEGER NOT NULL,
    digest TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (artifact, version)
) WITHOUT ROWID;

-- Every chunk that some version counts, in the trash or not, or counted until lately. `refs` is the number of entries
-- in chunk lists that name it, `wanted` the largest replication of the versions they belong to.
CREATE TABLE chunks (
    id BLOB PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    refs INTEGER NOT NULL CHECK (refs > 0),
    wanted INTEGER NOT NULL CHECK (wanted > 0)
) WITHOUT ROWID;

-- What a version consists of, in order. The list of a large version outlives it for a while: it is in `leftovers` then.
CREATE TABLE chunk_lists (
    artifact INTEGER NOT NULL,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    chunk BLOB NOT NULL REFERENCES chunks,
    PRIMARY KEY (artifact, version, position)
) WITHOUT ROWID;
CREATE INDEX chunk_users ON chunk_lists (chunk);

-- Versions that are gone and whose chunk lists are yet to be counted down, from their ends.
CREATE TABLE leftovers (
    artifact INTEGER NOT NULL,
    version INTEGER NOT NULL,
    replication INTEGER NOT NULL,
    PRIMARY KEY (artifact, version)
) WITHOUT ROWID;

-- Chunks that some storage node may hold and no version counts: since when, and whether one did before (`kind`).
CREATE TABLE garbage (
    chunk BLOB PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    kind TEXT NOT NULL
) WITHOUT ROWID;

-- Storage nodes that joined and were not forgotten, and what the operator wants of each.
CREATE TABLE nodes (
    node_id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    host TEXT NOT NULL,
    wish TEXT NOT NULL,
    joined_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Results of clients' mutations, so that a repeated one is answered and not applied again. `kind` is that of the edit.
CREATE TABLE operations (
    operation TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    result TEXT NOT NULL,
    time_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX operations_by_age ON operations (time_ms);
"""

REPLICATION = (
    "coalesce((SELECT v.replication FROM versions AS v WHERE (v.artifact, v.version) = (l.artifact, l.version)),"
    " (SELECT o.replication FROM leftovers AS o WHERE (o.artifact, o.version) = (l.artifact, l.version)))"
)
"""What is wanted by an entry of a chunk list, l."""

INTEGER_MAX = 2**63 - 1
"""SQLite's largest integer."""

TABLE_NAMES = ("facts", "artifacts", "versions", "chunks", "chunk_lists", "leftovers", "garbage", "nodes", "operations")


def connect(directory: Path, new_cluster_id: str) -> sqlite3.Connection:
    path = directory / FILE_NAME
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        _prepare(connection, path, new_cluster_id)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unusable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, new_cluster_id: str) -> None:
    """Make the tables in a new file; refuse a file of another format."""
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        for statement in TABLES.split(";"):
            connection.execute(statement)
        facts = {
            "format_version": FORMAT_VERSION,
            "cluster_id": new_cluster_id,
            "epoch": 0,
            "edits": 0,
            "nodes_joined": 0,
            "leases_until_ms": 0,
        }
        rows = [(key, str(value)) for key, value in facts.items()]
        connection.executemany("INSERT INTO facts VALUES (?, ?)", rows)
    row = connection.execute("SELECT value FROM facts WHERE key = 'format_version'").fetchone()
    connection.execute("COMMIT")
    if row is None or row[0] != str(FORMAT_VERSION):
        raise DirectoryFailure(
            f"The catalog {path} has format {row[0] if row else 'unknown'}; this DAME reads format {FORMAT_VERSION}."
            " Use the release of DAME that wrote it, or a newer one.",
            directory=str(path.parent),
        )


def _unusable(path: Path, error: sqlite3.Error) -> DirectoryFailure:
    return DirectoryFailure(
        f"The catalog {path} can't be opened ({error}). Mend its directory or disk; or stop the cluster, move"
        f" {path.parent} away, and `restore-catalog` puts the newest checkpoint in its place.",
        directory=str(path.parent),
    )
