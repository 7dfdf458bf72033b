"""A NameNode on its directory, as the process around it serves it: opened, asked, opened anew; and what becomes of it
when an invariant breaks."""

from __future__ import annotations

import logging
import random
import sqlite3
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from core.config import Config
from core.errors import DameError, Defect, InvalidRequest, NotReady, Unavailable
from core.model import Event
from core.namenode import crashes
from core.namenode.catalog import Catalog
from core.namenode.crashes import Crash, ReadOnlyMode
from core.namenode.namenode import NameNode
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


class NameNodeService:
    """Everything raises AssertionError for a broken invariant: then the caller ends the process, for the state may be
    half changed. In read-only mode it is a Defect instead, for nothing that is read is changed."""

    def __init__(
        self,
        directory: Path,
        config: Config,
        new_id: Callable[[], str],
        new_rng: Callable[[], random.Random],
        open_catalog: Callable[[Path, str], Catalog] | None = None,
    ) -> None:
        self.namenode: NameNode | None = None
        self.catalog: Catalog | None = None
        self.refusal: DameError = NotReady("The NameNode is opening its catalog; try again.")
        """Why there is no NameNode, while there is none."""
        self._directory = directory
        self._config = config
        self._new_id = new_id
        self._new_rng = new_rng
        self._open_catalog = open_catalog or partial(Catalog.open, ballast_bytes=config.catalog_ballast_bytes)
        self._mode: ReadOnlyMode | None = None
        self._told_seq = 0

    def open(self, now_ms: int) -> None:
        """Open the catalog and start a NameNode on it; what stands in the way becomes `refusal`."""
        self._mode = crashes.read_only_mode(self._crashes(now_ms), now_ms, self._config)
        try:
            self.catalog = self._open_catalog(self._directory, self._new_id())
            reason = self._mode.reason if self._mode else ""
            self.namenode = NameNode(self.catalog, self._config, self._new_rng(), now_ms, reason)
        except DameError as error:
            self.close()
            self.refusal = error
        except AssertionError as error:
            self.close()
            self.refusal = self._broken(now_ms, "start", error)

    def _crashes(self, now_ms: int) -> list[Crash]:
        try:
            return crashes.settle(self._directory, now_ms)
        except OSError as failure:
            log.warning("notes of crashes from the future stay so: %s", failure)
            return crashes.read(self._directory)

    def close(self) -> None:
        if self.catalog is not None:
            self.catalog.close()
        self.catalog = self.namenode = None

    def ask(self, now_ms: int, method: str, *arguments: Any) -> Any:
        """Call a public method of the NameNode, with the time put first; or `meet`, or `resume`.

        Raises what the method raises; InvalidRequest for any other method; Unavailable when the catalog can't be read;
        Defect and AssertionError as above.
        """
        if method == "meet":  # answered also while there is no catalog: it decides whether the refusal is understood
            return meet(*arguments)
        if method == "resume":
            return self._resume(now_ms)
        if method not in METHODS:
            raise InvalidRequest(f"The NameNode has no method {method[:80]!r}; ask one of this DAME's release.")
        if self._mode is not None and now_ms >= self._mode.until_ms:
            self._mode = None
            self.close()
        if self.namenode is None and not (self._mode is not None and isinstance(self.refusal, Defect)):
            self.open(now_ms)
        if self.namenode is None:
            raise self.refusal
        try:
            return getattr(self.namenode, method)(now_ms, *arguments)
        except sqlite3.Error as error:
            raise Unavailable(
                f"The catalog in {self._directory} can't be read: {error}. Look after its disk."
            ) from error
        except AssertionError as error:
            raise self._broken(now_ms, method, error) from error

    def fresh_events(self) -> list[Event]:
        """What was recorded since the last time, oldest first; each event once, as long as the log of events has it."""
        events = self.namenode.recorded(self._told_seq) if self.namenode is not None else []
        if events:
            self._told_seq = events[-1].seq
        return events

    def _resume(self, now_ms: int) -> bool:
        """Forget the crashes and start as usual. False if it is not in read-only mode."""
        if self._mode is None:
            return False
        crashes.forget(self._directory)
        self.close()
        self.open(now_ms)
        return True

    def _broken(self, now_ms: int, method: str, error: AssertionError) -> Defect:
        """Note a broken invariant and raise it; or, in read-only mode, answer with what to tell the caller."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{Path(place.filename).name}:{place.lineno}: {error or place.line}"
        if self._mode is not None:
            log.error("broken invariant in %s, while only reading", method, exc_info=error)
            return Defect(f"The NameNode failed inside at `{method}` ({text}). Please report it. {self._mode.reason}")
        try:
            crashes.note(self._directory, Crash(now_ms, method, text))
        except OSError as failure:
            log.warning("the crash can't be noted: %s", failure)
        raise error
