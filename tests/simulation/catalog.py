"""The catalog that ships, with a connection that can crash or fail at any transaction, and a copy made by replaying
its edits. SQLite's own durability is taken for granted: a power cut is a crash of the process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.namenode import edits
from core.namenode.catalog import Catalog
from tests.simulation.disk import SimulatedCrash

MOMENTS = ("BEGIN IMMEDIATE", "COMMIT")


class CatalogFaults:
    """What goes wrong with the NameNode's disk."""

    def __init__(self) -> None:
        self.crash_after: int | None = None
        """SimulatedCrash at the n-th beginning or end of a transaction from now."""
        self.crash_takes_effect = False
        """Whether the statement it happens at took effect."""
        self.crash_unanswered = False
        """SimulatedCrash after the next mutation of a client took effect, before the client hears of it."""
        self.error: str | None = None
        """Every transaction fails with this."""

    def at(self, moment: str, execute: Callable[[], Any]) -> Any:
        if self.error is not None:
            raise sqlite3.OperationalError(self.error)
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after <= 0:
                self.crash_after = None
                if self.crash_takes_effect:
                    execute()
                raise SimulatedCrash(f"the NameNode at {moment}")
        return execute()


class FaultyConnection:
    """A connection to SQLite that asks at each transaction what goes wrong."""

    def __init__(self, connection: sqlite3.Connection, faults: CatalogFaults) -> None:
        self._connection = connection
        self._faults = faults
        self.committed = 0
        self.execute = self._execute

    def _execute(self, statement: str, *parameters: Any) -> Any:
        if statement not in MOMENTS:
            return self._connection.execute(statement, *parameters)
        return self._faults.at(statement, lambda: self._run(statement))

    def _run(self, statement: str) -> Any:
        result = self._connection.execute(statement)
        self.committed += statement == "COMMIT"
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class SimulatedCatalog(Catalog):
    """Tells of each edit that took effect. `prepare` comes before use."""

    def prepare(self, faults: CatalogFaults, applied: Callable[[edits.Edit], None]) -> None:
        self._applied = applied
        self._faults = faults
        self._connection: Any = FaultyConnection(self._connection, faults)
        self.writer._connection = self._connection

    @property
    def dies_unanswered(self) -> bool:
        """Whether the process ends with the next mutation of a client, before the client hears of it."""
        return self._faults.crash_unanswered

    def apply(self, edit: edits.Edit) -> None:
        before = self._connection.committed
        try:
            super().apply(edit)
        finally:
            if self._connection.committed > before:
                self._applied(edit)
        if self._faults.crash_unanswered and isinstance(edit, edits.ClientEdit):
            self._faults.crash_unanswered = False
            raise SimulatedCrash("the NameNode before it answered")


def open_catalog(
    directory: Path, cluster_id: str, faults: CatalogFaults, applied: Callable[[edits.Edit], None]
) -> SimulatedCatalog:
    """Raises DirectoryFailure."""
    catalog = SimulatedCatalog.open(directory, cluster_id)
    assert isinstance(catalog, SimulatedCatalog)
    catalog.prepare(faults, applied)
    return catalog
