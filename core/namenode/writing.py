"""How edits reach the catalog's file: one transaction each, and what is done about a disk that is full."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from core.directory import sync_file
from core.errors import ReadOnly
from core.model import CHECKPOINT_NAME
from core.namenode import edits
from core.namenode.applying import change
from core.namenode.ballast import Ballast
from core.namenode.schema import LOG_NAME
from core.namenode.words import sized

_TIDYING = (
    edits.NoteCheckpoint,
    edits.CountDown,
    edits.NoteGarbage,
    edits.ForgetGarbage,
    edits.PromiseLeases,
    edits.ForgetOperations,
)


class Writer:
    def __init__(self, directory: Path, connection: sqlite3.Connection, ballast: Ballast) -> None:
        self.stopped = ""
        """Why no edit at all is taken, as a sentence; empty when edits are."""
        self._directory = directory
        self._connection = connection
        self._ballast = ballast
        self._short_of_room = False
        """An edit found the disk full, and the ballast, with room beside it, has not been there again since."""
        self.in_doubt = False
        """An edit failed in its commit and may come true at the next start: nothing was written over it yet."""
        self.look_for_room()

    @property
    def read_only(self) -> str:
        """Why nothing can be stored, as a sentence; empty when it can."""
        if self.stopped or not self._short_of_room:
            return self.stopped
        return (
            f"The disk of the catalog in {self._directory} is full: nothing is stored until it has"
            f" {sized(2 * self._ballast.size_bytes)} free; reading, deleting and emptying the trash work. Free space"
            " there."
        )

    def look_for_room(self) -> None:
        """Take edits that grow again, if the disk has room by now."""
        if self._ballast.size_bytes:
            self._short_of_room = not self._ballast.make()

    def write(self, edit: edits.Edit) -> None:
        """Make one edit durable, or raise ReadOnly with nothing changed, or with a sentence that says that it may have
        been. On a full disk, one that does not add to the catalog gets the room of the ballast."""
        grows = isinstance(edit, edits.GROWING)
        if self.stopped or (self._short_of_room and grows):
            raise ReadOnly(self.read_only, directory=str(self._directory))
        if self.in_doubt:
            self.in_doubt = not self._empty_log()
        try:
            self._commit(edit)
        except sqlite3.Error as error:
            if not self._is_full(error):
                raise self._not_written(error) from error
            self._short_of_room = True
            if grows or not self._ballast.release():
                raise self._not_written(error) from error
            self._commit_at_last(edit)

    def _commit(self, edit: edits.Edit) -> None:
        """One transaction; on any error nothing is changed, unless it is in doubt. A contradiction is an
        AssertionError."""
        committing = False
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            change(self._connection, edit)
            if _counts(edit):
                self._connection.execute("UPDATE facts SET value = CAST(value + 1 AS TEXT) WHERE key = 'edits'")
            committing = True
            self._connection.execute("COMMIT")
            self.in_doubt = False
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if committing and isinstance(error, sqlite3.Error):
                self.in_doubt = not self._empty_log()
            if isinstance(error, sqlite3.IntegrityError):
                raise AssertionError(f"{type(edit).__name__} contradicts the catalog: {error}") from error
            raise

    def _empty_log(self) -> bool:
        """Whether SQLite's log holds nothing any more. A transaction that failed in its commit may stand there whole,
        written and only not synced: it would come true at the next start, if nothing were written over it before."""
        try:
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            sync_file(self._directory / LOG_NAME)
        except (sqlite3.Error, OSError):
            return False
        return not busy

    def _commit_at_last(self, edit: edits.Edit) -> None:
        try:
            self._commit(edit)
        except sqlite3.Error as error:
            raise self._not_written(error) from error

    def _is_full(self, error: sqlite3.Error) -> bool:
        """Whether there is a ballast, and room would help. SQLite tells of a full disk by one error or another."""
        return self._ballast.size_bytes > 0 and ("full" in str(error) or self._ballast.disk_is_full())

    def _not_written(self, error: sqlite3.Error) -> Exception:
        """What to raise for an error of SQLite's: a disk that fails is a refusal, anything else a defect of ours."""
        if type(error) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
            return error
        outcome = (
            "it shows when the NameNode is started next whether this was done"
            if self.in_doubt
            else "nothing was changed"
        )
        return ReadOnly(
            f"The catalog in {self._directory} can't be written ({error}); {outcome}, and reads go on."
            " Free or mend its disk, then try again.",
            directory=str(self._directory),
        )


def _counts(edit: edits.Edit) -> bool:
    """Whether an edit calls for a checkpoint. One that a checkpoint itself brings about must not, and one that follows
    from time alone need not."""
    if isinstance(edit, edits.PublishVersion):
        return edit.version.name != CHECKPOINT_NAME
    return not isinstance(edit, _TIDYING)
