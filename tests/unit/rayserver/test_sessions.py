"""Which of Ray's old sessions are removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from RayServer import sessions


def _session(root: Path, name: str, age_s: int | None) -> Path:
    session = root / f"session_{name}"
    (session / "logs").mkdir(parents=True)
    if age_s is not None:
        sessions.mark(session)
        os.utime(session / sessions.MARK, (time.time() - age_s, time.time() - age_s))
    return session


def test_only_ended_sessions_of_our_own_are_removed_and_the_newest_stay(tmp_path: Path) -> None:
    hour = sessions.ENDED_AFTER_S
    old = [_session(tmp_path, f"old-{index}", hour * (10 - index)) for index in range(6)]
    others = [_session(tmp_path, "of-somebody-else", None), _session(tmp_path, "alive", 1)]
    (tmp_path / "session_latest").symlink_to(old[0])
    sessions.prune(tmp_path)
    assert [session.exists() for session in old] == [False, False, False, True, True, True]
    assert all(session.exists() for session in others)


def test_a_directory_that_is_not_there_yet_has_nothing_to_remove(tmp_path: Path) -> None:
    sessions.prune(tmp_path / "ray")
    sessions.mark(tmp_path / "ray" / "session_gone")
