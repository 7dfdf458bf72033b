"""Which request is being answered, in a file that outlives the process.

A request may end its process without a word: a library crashes, or the kernel ends it for want of memory. Nobody is
left to note it, so the next process finds here what the one before was doing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_NAME = "request"
WIDTH_BYTES = 40
"""The line is overwritten at a fixed width, so that it needs no room on a full disk once it is there."""

log = logging.getLogger("dame")


class RequestNote:
    """Two writes of a microsecond around each request. They are not synced: the system keeps them when a process ends,
    and a power cut is no request's doing. Where they fail, the log says so once, and nothing is known."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._descriptor: int | None = None
        self._fails = False

    def take(self) -> str:
        """The method that the process before this one was answering when it ended, once; empty if it was at rest."""
        try:
            method = self._path.read_bytes()[:WIDTH_BYTES].strip(b" \0").decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        except OSError as failure:
            self._failed(failure)
            return ""
        if method:
            self._write(b"")
        return method

    @contextmanager
    def during(self, method: str) -> Iterator[None]:
        """Around the answering of a request. Precondition: the directory is held, so that nobody else writes there."""
        self._write(method.encode())
        try:
            yield
        finally:
            self._write(b"")

    def _write(self, text: bytes) -> None:
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.pwrite(self._descriptor, text[:WIDTH_BYTES].ljust(WIDTH_BYTES), 0)
        except OSError as failure:
            self._failed(failure)

    def _failed(self, failure: OSError) -> None:
        if not self._fails:
            self._fails = True
            log.warning("which request is being answered can't be noted: %s", failure)
