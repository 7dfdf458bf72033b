"""Replicas found bad: kept for a person to look at, within bounds, and never served.

Files lie under quarantine/ as <64 hex>.<n>. Since when one is there is the time of its last change of name, which the
file system notes (ctime); whatever else touches it only lets it stay longer.

Hard state: the files. The rest is read from them when the directory is opened.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
import threading
from pathlib import Path

from core.config import Config
from core.directory import sync_directory
from core.model import Quarantined, QuarantineUsage

PUT_OFF_MS = 3_600_000
"""A file that can't be read or removed is tried again after this long."""

_NAME = re.compile(r"([0-9a-f]{64})\.[0-9]+")


class Quarantine:
    """Thread-safe. All methods raise OSError."""

    def __init__(self, folder: Path, config: Config) -> None:
        self._folder = folder
        self._bytes_max = config.quarantine_bytes_max
        self._retention_ms = config.quarantine_retention_ms
        self._lock = threading.Lock()
        self._kept: dict[str, Quarantined] = {}
        """By file name, the longest there first."""
        self._bytes = 0
        self._put_off: dict[str, int] = {}
        """Files that could not be dropped, and until when to leave them."""

    def open(self) -> None:
        """Take stock. Called once, before anything else but `put`."""
        with os.scandir(self._folder) as entries:
            found = [
                (entry.name, entry.stat(follow_symlinks=False)) for entry in entries if _NAME.fullmatch(entry.name)
            ]
        for name, facts in sorted(found, key=lambda item: (item[1].st_ctime_ns, item[0])):
            self._note(name, facts)

    def usage(self) -> QuarantineUsage:
        with self._lock:
            return QuarantineUsage(len(self._kept), self._bytes)

    def kept(self) -> list[Quarantined]:
        """What is there, the longest there first."""
        with self._lock:
            return list(self._kept.values())

    def files_of(self, chunk_id: str) -> list[Path]:
        """The files that were replicas of a chunk."""
        with self._lock:
            names = [name for name, kept in self._kept.items() if kept.chunk == chunk_id]
        return [self._folder / name for name in names]

    def put(self, path: Path) -> None:
        """Take a file in, durably but for its old name: the caller syncs the directory it comes from."""
        names = (self._folder / f"{path.name}.{number}" for number in itertools.count())
        kept = next(name for name in names if not os.path.lexists(name))
        path.rename(kept)
        self._note(kept.name, kept.lstat())
        sync_directory(self._folder)

    def taken(self, path: Path) -> None:
        """A file was moved out again, or somebody removed it."""
        self._forget(path.name)

    def recount(self) -> None:
        """Forget the files that somebody removed."""
        with self._lock:
            kept = list(self._kept)
        # Listed after: a file that is put in meanwhile is not one of these.
        there: set[str] = set()
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            there = {entry.name for entry in entries}
        for name in kept:
            if name not in there:
                self._forget(name)

    def next_to_drop(self, now_ms: int) -> Path | None:
        """What is there for too long, or the oldest while there is too much; None while the bounds are kept."""
        with self._lock:
            too_much = self._bytes > self._bytes_max
            for name, kept in self._kept.items():
                if not too_much and now_ms - kept.since_ms <= self._retention_ms:
                    return None
                if self._put_off.get(name, 0) <= now_ms:
                    return self._folder / name
        return None

    def put_off(self, path: Path, now_ms: int) -> None:
        """It can't be dropped now: leave it for a while."""
        with self._lock:
            self._put_off[path.name] = now_ms + PUT_OFF_MS

    def drop(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._forget(path.name)

    def _note(self, name: str, facts: os.stat_result) -> None:
        """Only files are counted and dropped; anything else of such a name is somebody's own doing."""
        match = _NAME.fullmatch(name)
        if match is None or not stat.S_ISREG(facts.st_mode):
            return
        with self._lock:
            self._kept[name] = Quarantined(match[1], facts.st_size, facts.st_ctime_ns // 1_000_000)
            self._bytes += facts.st_size

    def _forget(self, name: str) -> None:
        with self._lock:
            self._put_off.pop(name, None)
            kept = self._kept.pop(name, None)
            self._bytes -= kept.size_bytes if kept else 0
