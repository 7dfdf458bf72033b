"""A commit whose sync fails: SQLite has the transaction in its log by then, and would find it there at the next start.

The syncs fail for real: the kernel refuses them to the one thread that commits.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import shutil
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ReadOnly
from core.model import ChunkKey, Version
from core.namenode import Catalog, edits
from core.namenode.schema import FILE_NAME, LOG_NAME
from tests.unit.namenode.driver import Driver, key_of

SYNCS = {"x86_64": (74, 75), "aarch64": (82, 83)}.get(platform.machine(), ())
"""Numbers of the system calls fsync and fdatasync."""
NO_NEW_PRIVILEGES, SET_SECCOMP, SECCOMP_FILTER = 38, 22, 2
"""Of prctl(2)."""

pytestmark = pytest.mark.skipif(not SYNCS, reason="the numbers of this machine's system calls are not known here")

FIRST = Version("a", 1, 3, 1, 8, 3, "d", 1)
SECOND = replace(FIRST, version=2, digest="e")


def publish(operation: str, version: Version, letter: str) -> edits.PublishVersion:
    chunks = (ChunkKey(letter * 64, 3),)
    return edits.PublishVersion(operation, 1, version, chunks, version, keep_versions=1)


def refuse_syncs() -> None:
    """Every sync of this thread fails from now on; seccomp(2), with a filter in the words of bpf(2)."""
    load, jump, answer = 0x20, 0x15, 0x06
    lines = [(load, 0, 0, 0)]
    lines += [(jump, len(SYNCS) - index, 0, number) for index, number in enumerate(SYNCS)]
    lines += [(answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x00050000 | errno.EIO)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(program)))
    control = ctypes.CDLL(None, use_errno=True).prctl
    assert control(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    assert control(SET_SECCOMP, SECCOMP_FILTER, header, 0, 0) == 0, ctypes.get_errno()


class Connection:
    """The catalog's, whose disk fails at the next commits, and at all syncs after them if it stays broken."""

    def __init__(self, connection: Any, stays_broken: bool) -> None:
        self._connection = connection
        self._stays_broken = stays_broken

    def execute(self, statement: str, *parameters: Any) -> Any:
        if statement == "COMMIT" or (self._stays_broken and "checkpoint" in statement):
            return self._without_syncs(statement)
        return self._connection.execute(statement, *parameters)

    def _without_syncs(self, statement: str) -> Any:
        raised: list[sqlite3.Error] = []

        def run() -> None:
            refuse_syncs()
            try:
                self._connection.execute(statement).fetchall()
            except sqlite3.Error as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        raise raised[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Unwritable:
    """The catalog's, whose disk takes nothing any more."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, statement: str, *parameters: Any) -> Any:
        if statement == "BEGIN IMMEDIATE" or "checkpoint" in statement:
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def connected(catalog: Catalog, kind: Callable[[Any], Any]) -> Iterator[None]:
    """The catalog writes through a connection of this kind meanwhile."""
    whole = catalog.writer._connection
    catalog.writer._connection = kind(whole)
    try:
        yield
    finally:
        catalog.writer._connection = whole


def refused(catalog: Catalog, edit: edits.Edit, *, stays_broken: bool) -> str:
    """What is said of an edit whose commit the disk refuses."""
    with (
        connected(catalog, lambda whole: Connection(whole, stays_broken)),
        pytest.raises(ReadOnly) as refusal,
    ):
        catalog.apply(edit)
    return str(refusal.value)


def killed(catalog: Catalog, place: Path) -> Catalog:
    """What the next NameNode finds if this one ends now."""
    place.mkdir()
    for name in (FILE_NAME, LOG_NAME):
        shutil.copy(catalog.directory / name, place / name)
    return Catalog.open(place, "never used")


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    catalog = Catalog.open(tmp_path / "catalog", "c1")
    catalog.apply(edits.StartEpoch(1))
    catalog.apply(publish("first", FIRST, "a"))
    yield catalog
    catalog.close()


@pytest.mark.parametrize("edit", [publish("second", SECOND, "b"), edits.DeleteArtifact("second", 1, 5, FIRST)])
def test_what_was_refused_for_a_moments_failure_does_not_come_true_later(
    catalog: Catalog, tmp_path: Path, edit: edits.Edit
) -> None:
    assert "nothing was changed" in refused(catalog, edit, stays_broken=False)
    after = killed(catalog, tmp_path / "after")
    assert (after.live("a"), after.newest(1), after.done("second")) == (1, FIRST, None)
    after.close()


def test_while_the_disk_stays_broken_nothing_is_said_of_what_cannot_be_known(catalog: Catalog, tmp_path: Path) -> None:
    told = refused(catalog, publish("second", SECOND, "b"), stays_broken=True)
    assert "nothing was changed" not in told
    assert "when the NameNode is started next" in told
    assert catalog.newest(1) == FIRST
    after = killed(catalog, tmp_path / "after")
    assert (after.newest(1), after.done("second") is not None) == (SECOND, True), "else the sentence could be firmer"
    after.close()


def test_the_next_edit_decides(catalog: Catalog, tmp_path: Path) -> None:
    refused(catalog, publish("second", SECOND, "b"), stays_broken=True)
    assert catalog.writer.in_doubt
    catalog.apply(edits.PromiseLeases(7))
    assert not catalog.writer.in_doubt
    after = killed(catalog, tmp_path / "after")
    assert (after.newest(1), after.done("second"), after.leases_until_ms) == (FIRST, None, 7)
    after.close()


def test_what_may_come_true_is_not_collected_as_garbage(driver: Driver, tmp_path: Path) -> None:
    """At the next start it would have no chunks, and the version before it would be pruned."""
    driver.put("a", b"once", keep_versions=1)
    driver.run(3_000)
    lease = driver.begin("a", b"more", "update")
    request = driver.send(lease, b"more")
    with connected(driver.catalog, lambda whole: Connection(whole, stays_broken=True)), pytest.raises(ReadOnly):
        driver.namenode.commit(driver.now_ms, request)
    with connected(driver.catalog, Unwritable):
        driver.namenode.abandon(driver.now_ms, lease)
        driver.run(2 * driver.config.garbage_grace_ms, step_ms=2_000)
        assert len(driver.holders(key_of(b"more").id)) == 3
    after = killed(driver.catalog, tmp_path / "after")
    assert after.newest(1).version == 2
    after.close()
