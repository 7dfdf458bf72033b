"""A NameNode on its directory, as the process around it serves it: opened, asked, opened anew; and what becomes of it
when an invariant breaks."""

from __future__ import annotations

import logging
import random
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from core.config import Config
from core.directory import directory_failure
from core.errors import DameError, Defect, DirectoryFailure, InvalidRequest, NotReady, Unavailable
from core.model import Event
from core.namenode import crashes
from core.namenode.catalog import Catalog
from core.namenode.crashes import Crash, ReadOnlyMode
from core.namenode.namenode import NameNode
from core.namenode.request_note import RequestNote
from core.namenode.requests import check_arguments, is_strangers
from core.namenode.schema import FILE_NAME
from core.protocol import meet

log = logging.getLogger("dame")

METHODS = frozenset(
    (
        *("register", "heartbeat", "full_report", "wish"),
        *("begin", "allocate", "commit", "abandon", "set_replication"),
        *("delete", "undelete", "purge", "trash"),
        *("locate", "artifacts", "history", "info", "status", "nodes", "nodes_of", "node", "node_ref", "events"),
        *("checkpoint_stored", "checkpoint_failed"),
        *("set_wish", "forget", "fsck", "fsck_repair", "scrub", "scrub_progress"),
    )
)
"""What other processes may ask of a NameNode. A caller's mistake is no broken invariant, so it is found before."""

START = "start"
"""What stands for a method in notes of what happened before there was any to answer."""

DISK_ERRORS = (sqlite3.OperationalError, sqlite3.DatabaseError)
"""What SQLite raises for a disk that fails or a damaged file: these very kinds. Kinds of these mean that it was used
wrongly."""


class NameNodeService:
    """Everything raises AssertionError for a broken invariant, and for any other error that nobody foresaw: then the
    caller ends the process, for the state may be half changed. In read-only mode it is a Defect instead, for nothing
    that is read is changed."""

    def __init__(
        self,
        directory: Path,
        config: Config,
        new_id: Callable[[], str],
        new_rng: Callable[[], random.Random],
        open_catalog: Callable[[Path, str], Catalog] | None = None,
        request_note: RequestNote | None = None,
    ) -> None:
        """request_note: for a process of its own, so that the next one knows at which request it ended."""
        self.namenode: NameNode | None = None
        self.catalog: Catalog | None = None
        self.refusal: DameError = NotReady("The NameNode is opening its catalog; try again.")
        """Why there is no NameNode, while there is none."""
        self._directory = directory
        self._config = config
        self._new_id = new_id
        self._new_rng = new_rng
        self._open_catalog = open_catalog or partial(Catalog.open, ballast_bytes=config.catalog_ballast_bytes)
        self._request_note = request_note
        self._mode: ReadOnlyMode | None = None
        self._told_seq = 0

    def open(self, now_ms: int) -> None:
        """Open the catalog and start a NameNode on it; what stands in the way becomes `refusal`."""
        self._mode = crashes.read_only_mode(self._crashes(now_ms), now_ms, self._config)
        try:
            self.catalog = self._open_catalog(self._directory, self._new_id())
            self._note_silent_end(now_ms)  # now that nobody else writes here
            self._refuse_deadly(START)
            reason = self._mode.reason if self._mode else ""
            with self._noted(START):
                self.namenode = NameNode(self.catalog, self._config, self._new_rng(), now_ms, reason)
        except DameError as error:
            self.close()
            self.refusal = error
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may serve on it
            self.close()
            self.refusal = self._damaged(error) if type(error) in DISK_ERRORS else self._broken(now_ms, START, error)

    def _damaged(self, error: Exception) -> DirectoryFailure:
        return DirectoryFailure(
            f"The catalog {self._directory / FILE_NAME} can't be read ({error}). Mend its disk; or stop the cluster,"
            f" move {self._directory} away, and `restore-catalog` puts the newest checkpoint in its place.",
            directory=str(self._directory),
        )

    def _crashes(self, now_ms: int) -> list[Crash]:
        try:
            return crashes.settle(self._directory, now_ms)
        except OSError as failure:
            log.warning("notes of crashes from the future stay so: %s", failure)
            return crashes.read(self._directory)

    def close(self) -> None:
        catalog, self.catalog, self.namenode = self.catalog, None, None
        if catalog is not None:
            catalog.close()

    def ask(self, now_ms: int, method: str, *arguments: Any) -> Any:
        """Call a public method of the NameNode, with the time put first; or `meet`, or `resume`.

        Raises what the method raises; InvalidRequest for any other method, or arguments that it does not take;
        Unavailable when the catalog can't be read; Defect and AssertionError as above.
        """
        if method == "meet":  # answered also while there is no catalog: it decides whether the refusal is understood
            check_arguments(method, meet, arguments)
            return meet(*arguments)
        if method == "resume":
            return self._resume(now_ms)
        if not isinstance(method, str) or method not in METHODS:
            raise InvalidRequest(f"The NameNode has no method {str(method)[:80]!r}; ask one of this DAME's release.")
        if not (method == "register" and is_strangers(arguments)):
            check_arguments(method, getattr(NameNode, method), arguments, before=2)  # itself and the time
        if self._mode is not None and now_ms >= self._mode.until_ms:
            self._mode = None
            self.close()
        self._refuse_deadly(method)
        if self.namenode is None and not (self._mode is not None and isinstance(self.refusal, Defect)):
            self.open(now_ms)
        if self.namenode is None:
            raise self.refusal
        try:
            with self._noted(method):
                return getattr(self.namenode, method)(now_ms, *arguments)
        except DameError:
            raise
        except Exception as error:
            if type(error) in DISK_ERRORS:
                raise Unavailable(
                    f"The catalog in {self._directory} can't be read: {error}. Look after its disk."
                ) from error
            raise self._broken(now_ms, method, error) from error

    def fresh_events(self) -> list[Event]:
        """What was recorded since the last time, oldest first; each event once, as long as the log of events has it."""
        events = self.namenode.recorded(self._told_seq) if self.namenode is not None else []
        if events:
            self._told_seq = events[-1].seq
        return events

    def _resume(self, now_ms: int) -> bool:
        """Forget the crashes and start as usual. False if it is not in read-only mode. Raises DirectoryFailure."""
        if self._mode is None:
            return False
        try:
            crashes.forget(self._directory)
        except OSError as failure:
            raise directory_failure(self._directory, failure) from failure
        self.close()
        self.open(now_ms)
        return True

    def _broken(self, now_ms: int, method: str, error: Exception) -> Defect:
        """Note a broken invariant and raise it; or, in read-only mode, answer with what to tell the caller."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{Path(place.filename).name}:{place.lineno}: {_told(error) or place.line}"
        if self._mode is not None:
            log.error("broken invariant in %s, while only reading", method, exc_info=error)
            return Defect(f"The NameNode failed inside at `{method}` ({text}). Please report it. {self._mode.reason}")
        self._note(Crash(now_ms, method, text))
        if isinstance(error, AssertionError):
            raise error
        raise AssertionError(_told(error)) from error

    def _noted(self, method: str) -> AbstractContextManager[None]:
        return self._request_note.during(method) if self._request_note is not None else nullcontext()

    def _note_silent_end(self, now_ms: int) -> None:
        if self._request_note is not None and (method := self._request_note.take()):
            self._note(Crash(now_ms, method, crashes.SILENT, silent=True, only_reading=self._mode is not None))
            self._mode = crashes.read_only_mode(self._crashes(now_ms), now_ms, self._config)

    def _refuse_deadly(self, method: str) -> None:
        if self._mode is not None and method in self._mode.deadly:
            raise Defect(f"The NameNode does not try `{method}` again now. {self._mode.reason}")

    def _note(self, crash: Crash) -> None:
        try:
            crashes.note(self._directory, crash)
        except OSError as failure:
            log.warning("the crash can't be noted: %s", failure)


def _told(error: Exception) -> str:
    """What an assertion says; of any other error its kind, too, which says more than its text."""
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
