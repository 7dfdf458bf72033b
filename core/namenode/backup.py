"""A copy of the catalog that is being used, as one file: what a checkpoint stores."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.errors import DirectoryFailure
from core.namenode.schema import FILE_NAME

STEP_PAGES = 256
"""Copied between two pauses: 1 MiB."""


@dataclass(frozen=True)
class CatalogCopy:
    """A whole catalog at one moment."""

    path: Path
    cluster_id: str
    epoch: int
    edits: int
    """How many edits had been applied."""


def copy_catalog(directory: Path, path: Path, reserve_bytes: int, pause: Callable[[], None]) -> CatalogCopy:
    """Copy the catalog in a directory to a file, which is replaced. The NameNode goes on writing meanwhile.

    A connection of its own reads it under one read transaction, so that the copy is of one moment and later edits
    neither show in it nor make it begin anew. pause: called after each step. reserve_bytes: what must stay free on the
    copy's disk, which usually is the catalog's own. Not synced: nothing relies on the copy after a crash.
    Raises DirectoryFailure; then there is no copy.
    """
    source_path = directory / FILE_NAME
    try:
        path.unlink(missing_ok=True)
        _check_room(source_path, path, reserve_bytes)
        with (
            closing(
                sqlite3.connect(f"{source_path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
            ) as source,
            closing(sqlite3.connect(path, isolation_level=None)) as target,
        ):
            target.execute("PRAGMA journal_mode = OFF")  # a copy that is cut short is thrown away
            target.execute("PRAGMA synchronous = OFF")
            source.execute("BEGIN")
            facts = dict(source.execute("SELECT key, value FROM facts").fetchall())
            source.backup(target, pages=STEP_PAGES, progress=lambda *_: pause())
    except BaseException as error:
        path.unlink(missing_ok=True)
        if not isinstance(error, (sqlite3.Error, OSError)):
            raise
        raise DirectoryFailure(
            f"The catalog in {directory} can't be copied to {path.name} beside it: {error}. Look after its disk.",
            directory=str(directory),
        ) from error
    return CatalogCopy(path, facts["cluster_id"], int(facts["epoch"]), int(facts["edits"]))


def _check_room(source: Path, path: Path, reserve_bytes: int) -> None:
    """The copy must not take the room that the catalog itself needs. Raises OSError."""
    needed_bytes = source.stat().st_size
    disk = os.statvfs(path.parent)
    free_bytes = disk.f_bavail * disk.f_frsize
    if free_bytes - needed_bytes < reserve_bytes:
        raise OSError(
            f"it needs {needed_bytes} bytes, and of the {free_bytes} free ones {reserve_bytes} are kept in reserve"
        )
