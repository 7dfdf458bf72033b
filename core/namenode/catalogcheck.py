"""Does the catalog agree with itself? What is derived, derived again the slow and obvious way; faults as sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from core.namenode.schema import REPLICATION
from core.namenode.words import quoted

FAULTS_MAX = 20
"""Of one kind in one answer; one is bad enough."""

FIRST_ID, LAST_ID = b"", b"\xff" * 33
"""Before and after all chunk ids."""

Select = Callable[[str, Sequence[Any]], list[Any]]


def chunk_faults(select: Select, after: bytes = FIRST_ID, last: bytes = LAST_ID) -> list[str]:
    """Chunks, from one id to another, whose references or wanted replicas are not what the chunk lists say."""
    noted = {
        chunk: counts
        for chunk, *counts in select("SELECT id, refs, wanted FROM chunks WHERE id > ? AND id <= ?", (after, last))
    }
    counted = {
        chunk: counts
        for chunk, *counts in select(
            f"SELECT l.chunk, count(*), max({REPLICATION}) FROM chunk_lists AS l"
            " WHERE l.chunk > ? AND l.chunk <= ? GROUP BY l.chunk",
            (after, last),
        )
    }
    nothing = [0, 0]
    return [
        f"chunk {chunk.hex()[:12]} is counted {noted.get(chunk, nothing)[0]} times for"
        f" {noted.get(chunk, nothing)[1]} replicas, and the chunk lists say {counted.get(chunk, nothing)[0]} times for"
        f" {counted.get(chunk, nothing)[1]}"
        for chunk in sorted({*noted, *counted})
        if noted.get(chunk) != counted.get(chunk)
    ][:FAULTS_MAX]


def artifact_faults(select: Select) -> list[str]:
    """Artifacts whose versions are not those from their oldest to their newest, and versions with holes."""
    gaps = select(
        "SELECT name FROM artifacts AS a WHERE (oldest, newest, newest - oldest + 1) IS NOT"
        " (SELECT min(version), max(version), count(*) FROM versions AS v WHERE v.artifact = a.artifact) LIMIT ?",
        (FAULTS_MAX,),
    )
    holes = select(
        "SELECT a.name, v.version FROM versions AS v JOIN artifacts AS a USING (artifact) WHERE v.chunks IS NOT"
        " (SELECT count(*) FROM chunk_lists AS l WHERE (l.artifact, l.version) = (v.artifact, v.version)) LIMIT ?",
        (FAULTS_MAX,),
    )
    return [
        *(f"{quoted(name)} does not have all versions from its oldest to its newest" for (name,) in gaps),
        *(f"{quoted(name)}, version {version}, does not have the chunks it should have" for name, version in holes),
    ]


def garbage_faults(select: Select) -> list[str]:
    both = select("SELECT chunk FROM garbage JOIN chunks ON id = chunk LIMIT ?", (FAULTS_MAX,))
    return [f"chunk {chunk.hex()[:12]} is counted and noted as garbage" for (chunk,) in both]


def table_faults(select: Select, table: str) -> list[str]:
    """What SQLite itself finds wrong with a table and its indexes.

    It can't be cut into pieces: a few seconds for a million rows, in which the NameNode does nothing else.
    """
    try:
        told = [text for (text,) in select(f"PRAGMA integrity_check({table})", ())]
        orphans = select(f"PRAGMA foreign_key_check({table})", ())
    except sqlite3.DatabaseError as error:
        return [f"table {table} can't be read: {error}"]
    dangling = [f"table {table} has {len(orphans)} rows that name what is not there"] if orphans else []
    return [*(f"table {table}: {text}" for text in told if text != "ok"), *dangling][:FAULTS_MAX]
