"""Old sessions of Ray are removed: each start of Ray makes a directory for its logs and never looks at it again, and a
container's is in memory.

Only sessions that were kept from here are, which a mark in them says. An attendant sets it each second, so that an old
mark means a session that has ended.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

MARK = "kept-by-dame"
ENDED_AFTER_S = 3_600
SESSIONS_KEPT = 3
"""Ended sessions whose logs stay."""


def mark(session: Path) -> None:
    with suppress(OSError):  # it is only about logs
        (session / MARK).touch()


def prune(ray_directory: Path) -> None:
    """Remove all ended sessions but the newest. What can't be removed stays."""
    ended_s = time.time() - ENDED_AFTER_S
    marks = [path for path in ray_directory.glob(f"session_*/{MARK}") if not path.parent.is_symlink()]
    ended = sorted((path.stat().st_mtime, path.parent) for path in marks if path.stat().st_mtime < ended_s)
    for _, session in ended[:-SESSIONS_KEPT]:
        shutil.rmtree(session, ignore_errors=True)
