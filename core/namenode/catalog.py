"""The hard state: artifacts, versions, chunk lists, trash, storage nodes and operator's wishes, in one SQLite file.

`apply(edit)` is the only thing that changes it: one edit, one transaction, on disk when it returns.
The connection is used by one caller at a time, from whichever thread that is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.directory import DirectoryLock, lock_directory, make_directory
from core.errors import DirectoryFailure
from core.model import CHECKPOINT_NAME, ChunkKey, TrashedArtifact, Version, Wish
from core.namenode import edits
from core.namenode.ballast import Ballast
from core.namenode.catalogcheck import artifact_faults, chunk_faults, garbage_faults
from core.namenode.garbage import Garbage
from core.namenode.schema import INTEGER_MAX, TABLE_NAMES, connect
from core.namenode.writing import Writer

IDS_PER_QUERY = 500
"""SQLite allows 999 parameters in old builds."""

_VISIBLE = f"a.name <> '{CHECKPOINT_NAME}'"

_VERSION_COLUMNS = (
    "a.name, v.version, v.size_bytes, v.chunks, v.chunk_size_bytes, v.replication, v.digest, v.created_ms"
)


@dataclass(frozen=True)
class Need:
    """A chunk that versions count, and the number of replicas they want."""

    chunk: ChunkKey
    wanted: int


@dataclass(frozen=True)
class Kept:
    """The versions that there are of an artifact: all from the oldest to the newest."""

    oldest: int
    newest: int
    keep_versions: int
    """How many of the newest are to be kept; 0 for all."""

    @property
    def count(self) -> int:
        return self.newest - self.oldest + 1

    def has(self, version: int) -> bool:
        return self.oldest <= version <= self.newest


@dataclass(frozen=True)
class Leftover:
    """What is left of a version that is gone: the first entries of its chunk list, which still count."""

    artifact: int
    version: int
    entries: int


@dataclass(frozen=True)
class KnownNode:
    """A storage node as the catalog knows it."""

    id: str
    name: str
    host: str
    wish: Wish


@dataclass(frozen=True)
class Checkpoint:
    """The newest copy of the catalog that storage nodes are known to hold, with its manifest."""

    artifact: int
    version: int
    edits: int
    """How many edits are in it."""
    time_ms: int


@dataclass(frozen=True)
class Done:
    """A client's mutation that was made."""

    kind: str
    """Name of its edit's class."""
    result: Version | str
    """What was answered: a version, or the id or name of the node it was about."""


@dataclass(frozen=True)
class Totals:
    artifacts: int
    versions: int
    logical_bytes: int
    trash: int
    trash_bytes: int


class Catalog:
    """Use `Catalog.open`."""

    def __init__(self, directory: Path, connection: sqlite3.Connection, lock: DirectoryLock, ballast: Ballast) -> None:
        self.directory = directory
        self.revision = 0
        """Grows with every change; what was read at an older revision may be stale."""
        self.writer = Writer(directory, connection, ballast)
        self._connection = connection
        self._lock = lock

    # --- Opening ----------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, directory: Path, new_cluster_id: str, ballast_bytes: int = 0) -> Catalog:
        """Open the catalog in a directory, or make one there for a new cluster. Raises DirectoryFailure.

        ballast_bytes: room to keep on its disk for edits that free some; 0 for none.
        """
        make_directory(directory)
        lock = lock_directory(directory)
        ballast = Ballast(directory, ballast_bytes)
        try:
            try:
                connection = connect(directory, new_cluster_id)
            except DirectoryFailure:  # SQLite can't open a file on a full disk, not even to read it
                if not (ballast.disk_is_full() and ballast.release_all()):
                    raise
                connection = connect(directory, new_cluster_id)
            return cls(directory, connection, lock, ballast)
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        try:
            self._connection.close()
        finally:
            self._lock.release()

    # --- Changing ---------------------------------------------------------------------------------------------

    def apply(self, edit: edits.Edit) -> None:
        """Make one edit durable, or raise ReadOnly with nothing changed, as `Writer.write` does.

        A client's edit that was applied before is not applied again.
        """
        if isinstance(edit, edits.ClientEdit) and (done := self.done(edit.operation)) is not None:
            assert done.kind == type(edit).__name__, f"{done.kind} and {type(edit).__name__} have one operation id"
            return
        self.writer.write(edit)
        self.revision += 1

    # --- Reading ----------------------------------------------------------------------------------------------

    @property
    def cluster_id(self) -> str:
        return self._fact("cluster_id")

    @property
    def epoch(self) -> int:
        """Of the last NameNode that started on this catalog; 0 before the first."""
        return int(self._fact("epoch"))

    @property
    def leases_until_ms(self) -> int:
        """No lease that was given is shown again after this."""
        return int(self._fact("leases_until_ms"))

    @property
    def edits(self) -> int:
        """How many edits were applied since the catalog was made, but for those that only keep it tidy."""
        return int(self._fact("edits"))

    @property
    def checkpoint(self) -> Checkpoint | None:
        rows = self._connection.execute("SELECT key, value FROM facts WHERE key LIKE 'checkpoint_%'")
        facts = {key: int(value) for key, value in rows}
        names = ("checkpoint_artifact", "checkpoint_version", "checkpoint_edits", "checkpoint_ms")
        return Checkpoint(*(facts[name] for name in names)) if facts else None

    @property
    def nodes_joined(self) -> int:
        """How many storage nodes ever joined, the forgotten ones included: no name is given twice."""
        return int(self._fact("nodes_joined"))

    def _fact(self, key: str) -> str:
        return str(self._value("SELECT value FROM facts WHERE key = ?", (key,)))

    def _value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        row = self._connection.execute(query, parameters).fetchone()
        return None if row is None else row[0]

    def done(self, operation: str) -> Done | None:
        """The mutation that was made under this id; None if none is known."""
        query = "SELECT kind, result FROM operations WHERE operation = ?"
        row = self._connection.execute(query, (operation,)).fetchone()
        if row is None:
            return None
        kind, result = row[0], json.loads(row[1])
        named = result if isinstance(result, str) else Version(**{**result, "warnings": tuple(result["warnings"])})
        return Done(kind, named)

    def nodes(self) -> list[KnownNode]:
        """In the order in which they joined."""
        rows = self._connection.execute("SELECT node_id, name, host, wish FROM nodes ORDER BY length(name), name")
        return [KnownNode(*row) for row in rows]

    def needs(self) -> Iterator[Need]:
        """Every chunk that is counted."""
        for chunk, size_bytes, wanted in self._connection.execute("SELECT id, size_bytes, wanted FROM chunks"):
            yield Need(ChunkKey(chunk.hex(), size_bytes), wanted)

    def needs_after(self, chunk_id: str, count: int) -> list[Need]:
        """Chunks that are counted, in the order of their ids, from the first with a greater one."""
        rows = self._connection.execute(
            "SELECT id, size_bytes, wanted FROM chunks WHERE id > ? ORDER BY id LIMIT ?",
            (bytes.fromhex(chunk_id), count),
        )
        return [Need(ChunkKey(chunk.hex(), size_bytes), wanted) for chunk, size_bytes, wanted in rows]

    def artifacts_with(self, chunk_id: str, count_max: int) -> tuple[tuple[str, ...], int]:
        """Names of artifacts that have the chunk in any version, in the trash or not; and how many artifacts do."""
        having = (
            "FROM artifacts WHERE artifact IN"
            " (SELECT artifact FROM chunk_lists JOIN versions USING (artifact, version) WHERE chunk = ?)"
        )
        chunk = bytes.fromhex(chunk_id)
        names = self._connection.execute(f"SELECT name {having} ORDER BY name LIMIT ?", (chunk, count_max))
        return tuple(name for (name,) in names), int(self._value(f"SELECT count(*) {having}", (chunk,)))

    def wanted(self, chunk_id: str) -> int:
        """Replicas wanted of a chunk; 0 if nothing counts it."""
        return self.wanted_of([chunk_id]).get(chunk_id, 0)

    def wanted_of(self, chunk_ids: Iterable[str]) -> dict[str, int]:
        """Replicas wanted of chunks, without those that nothing counts."""
        wanted: dict[str, int] = {}
        for ids in _batches(chunk_ids):
            rows = self._connection.execute(
                f"SELECT id, wanted FROM chunks WHERE id IN ({', '.join('?' * len(ids))})", ids
            )
            wanted.update((chunk.hex(), replicas) for chunk, replicas in rows)
        return wanted

    def garbage(self) -> Iterator[Garbage]:
        """Chunks that are noted as garbage, oldest first."""
        rows = self._connection.execute(
            "SELECT chunk, size_bytes, since_ms, kind FROM garbage ORDER BY since_ms, chunk"
        )
        for chunk, size_bytes, since_ms, kind in rows:
            yield Garbage(ChunkKey(chunk.hex(), size_bytes), since_ms, kind)

    def totals(self) -> Totals:
        artifacts, versions, logical_bytes = self._connection.execute(
            "SELECT count(DISTINCT artifact), count(*), coalesce(sum(size_bytes), 0)"
            f" FROM artifacts AS a JOIN versions USING (artifact) WHERE deleted_ms IS NULL AND {_VISIBLE}"
        ).fetchone()
        trash, trash_bytes = self._connection.execute(
            "SELECT count(DISTINCT artifact), coalesce(sum(size_bytes), 0)"
            " FROM artifacts JOIN versions USING (artifact) WHERE deleted_ms IS NOT NULL"
        ).fetchone()
        return Totals(artifacts, versions, logical_bytes, trash, trash_bytes)

    def live(self, name: str) -> int | None:
        """The number of the live artifact of this name."""
        query = "SELECT artifact FROM artifacts WHERE name = ? AND deleted_ms IS NULL"
        found = self._value(query, (_storable(name),))
        return None if found is None else int(found)

    def deleted_last(self, name: str, since_ms: int) -> int | None:
        """The number of the artifact that went to the trash last under this name, since a time."""
        found = self._value(
            "SELECT artifact FROM artifacts WHERE name = ? AND deleted_ms >= ?"
            " ORDER BY deleted_ms DESC, artifact DESC LIMIT 1",
            (_storable(name), since_ms),
        )
        return None if found is None else int(found)

    def deleted_before(self, time_ms: int) -> Iterator[tuple[int, Kept]]:
        """Numbers of the artifacts that went to the trash before this time, the one that is there longest first."""
        rows = self._connection.execute(
            "SELECT artifact, oldest, newest, keep_versions FROM artifacts WHERE deleted_ms < ?"
            " ORDER BY deleted_ms, artifact",
            (time_ms,),
        )
        return ((row[0], Kept(*row[1:])) for row in rows)

    def trash(self, now_ms: int, retention_ms: int) -> list[TrashedArtifact]:
        """What has been deleted and is not yet to be purged, the one deleted last first."""
        rows = self._connection.execute(
            "SELECT a.name, a.newest, count(*), sum(v.size_bytes), a.deleted_ms, a.deleted_ms + ? FROM artifacts AS a"
            " JOIN versions AS v USING (artifact) WHERE a.deleted_ms >= ? GROUP BY artifact"
            " ORDER BY a.deleted_ms DESC, artifact DESC",
            (retention_ms, now_ms - retention_ms),
        )
        return [TrashedArtifact(*row) for row in rows]

    def operations_to_forget(self, before_ms: int, count_max: int) -> int | None:
        """The time before which operations are to be forgotten so that none is older than `before_ms`, and no more
        than `count_max` are left; None if that is so."""
        beyond = self._value("SELECT time_ms FROM operations ORDER BY time_ms DESC LIMIT 1 OFFSET ?", (count_max,))
        if beyond is not None:
            before_ms = max(before_ms, beyond + 1)
        some = self._value("SELECT 1 FROM operations WHERE time_ms < ? LIMIT 1", (before_ms,))
        return None if some is None else before_ms

    def free_number(self) -> int:
        """A number that no artifact has, or ever had: a reading of one that is gone must never get another."""
        used = self._value("SELECT seq FROM sqlite_sequence WHERE name = 'artifacts'")
        return int(used or 0) + 1

    def kept(self, artifact: int) -> Kept:
        """Which versions there are of an artifact."""
        query = "SELECT oldest, newest, keep_versions FROM artifacts WHERE artifact = ?"
        return Kept(*self._connection.execute(query, (artifact,)).fetchone())

    def prunable(self) -> Iterator[tuple[int, Kept]]:
        """Numbers of artifacts with more versions than they are to keep."""
        # The condition in the very words of the index; without it all artifacts would be looked at, each time.
        rows = self._connection.execute(
            "SELECT artifact, oldest, newest, keep_versions FROM artifacts INDEXED BY prunable"
            " WHERE keep_versions > 0 AND keep_versions <= newest - oldest"
        )
        return ((row[0], Kept(*row[1:])) for row in rows)

    def newest(self, artifact: int) -> Version:
        return self._versions("a.artifact = ? AND v.version = a.newest", (artifact,))[0]

    def version(self, artifact: int, version: int) -> Version | None:
        if not (1 <= version <= INTEGER_MAX and 1 <= artifact <= INTEGER_MAX):
            return None
        found = self._versions("a.artifact = ? AND v.version = ?", (artifact, version))
        return found[0] if found else None

    def history(self, artifact: int) -> list[Version]:
        """All versions, newest first."""
        return self._versions("a.artifact = ? ORDER BY v.version DESC", (artifact,))

    def listing(self) -> list[Version]:
        """The newest version of every live artifact that users see, by name."""
        return self._versions(f"a.deleted_ms IS NULL AND v.version = a.newest AND {_VISIBLE} ORDER BY a.name")

    def _versions(self, condition: str, parameters: Sequence[Any] = ()) -> list[Version]:
        rows = self._connection.execute(
            f"SELECT {_VERSION_COLUMNS} FROM artifacts AS a JOIN versions AS v USING (artifact) WHERE {condition}",
            parameters,
        )
        return [Version(*row) for row in rows]

    def chunk_list(self, artifact: int, version: int, first: int = 0, count: int | None = None) -> list[ChunkKey]:
        """The chunks of a version, from position `first`."""
        first = min(max(first, 0), INTEGER_MAX)
        last = min(first + count, INTEGER_MAX) if count is not None else INTEGER_MAX
        rows = self._connection.execute(
            "SELECT c.id, c.size_bytes FROM chunk_lists AS l JOIN chunks AS c ON c.id = l.chunk"
            " WHERE l.artifact = ? AND l.version = ? AND l.position >= ? AND l.position < ? ORDER BY l.position",
            (artifact, version, first, last),
        )
        return [ChunkKey(chunk.hex(), size_bytes) for chunk, size_bytes in rows]

    def chunks_of(self, artifact: int) -> list[ChunkKey]:
        """The chunks of the versions of an artifact, each once."""
        rows = self._connection.execute(
            "SELECT id, size_bytes FROM chunks WHERE id IN (SELECT chunk FROM chunk_lists WHERE artifact = ?)",
            (artifact,),
        )
        return [ChunkKey(chunk.hex(), size_bytes) for chunk, size_bytes in rows]

    def leftover(self) -> Leftover | None:
        """A version that is gone and whose chunk list is yet to be counted down; None if there is none."""
        row = self._connection.execute(
            "SELECT artifact, version, (SELECT coalesce(max(position) + 1, 0) FROM chunk_lists AS l"
            " WHERE (l.artifact, l.version) = (o.artifact, o.version)) FROM leftovers AS o LIMIT 1"
        ).fetchone()
        return None if row is None else Leftover(*row)

    def users_of(self, chunk_ids: Iterable[str]) -> dict[tuple[str, int], int]:
        """Live artifacts that users see and whose newest version holds any of these chunks: by name and version, how
        many of them."""
        users: dict[tuple[str, int], int] = {}
        for batch in _batches(chunk_ids):
            rows = self._connection.execute(
                "SELECT a.name, a.newest, count(DISTINCT l.chunk) FROM chunk_lists AS l CROSS JOIN artifacts AS a"
                " ON a.artifact = l.artifact AND a.newest = l.version"
                f" WHERE l.chunk IN ({', '.join('?' * len(batch))}) AND a.deleted_ms IS NULL AND {_VISIBLE}"
                " GROUP BY a.artifact",
                batch,
            )
            for name, version, chunks in rows:
                users[name, version] = users.get((name, version), 0) + chunks
        return users

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables, for comparing two catalogs."""
        return {
            table: sorted(self._connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in TABLE_NAMES
        }

    def check(self) -> None:
        """Assert that reference counts, wanted replicas, versions and garbage are what the chunk lists say."""
        faults = [*chunk_faults(self.select), *artifact_faults(self.select), *garbage_faults(self.select)]
        assert not faults, "; ".join(faults)

    def select(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Rows, for those who check the catalog from outside."""
        return self._connection.execute(query, parameters).fetchall()


def _batches(chunk_ids: Iterable[str]) -> Iterator[list[bytes]]:
    """As the catalog has them, as many as one query takes."""
    ids = [bytes.fromhex(chunk_id) for chunk_id in chunk_ids]
    return (ids[start : start + IDS_PER_QUERY] for start in range(0, len(ids), IDS_PER_QUERY))


def _storable(name: str) -> str:
    """A name to look for. One that is not Unicode text (a lone surrogate) can't be stored, nor asked for: look for
    none."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return ""
    return name
