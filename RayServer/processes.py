"""Child processes of a keeper: started so that they do not outlive it, and ended so that none is left."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parents end, so that they can be found and ended. Linux only."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def start(words: Sequence[str], environment: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
    """Start a program away from the terminal: Ctrl-C is the keeper's to interpret. What it says goes to a descriptor of
    the caller's."""
    return subprocess.Popen(
        words,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - the keeper has one thread
    )


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """SIGTERM, and SIGKILL if that does not end it in time."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_descendants(spare: frozenset[int] = frozenset()) -> None:
    """SIGKILL every descendant of this process, except those spared and theirs, until none is left."""
    while pids := _descendants(os.getpid(), spare):
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        reap(spare)
        time.sleep(0.02)


def reap(spare: frozenset[int] = frozenset()) -> None:
    """Take note of adopted children that ended. Those spared are waited for by whoever started them."""
    for pid in _children().get(os.getpid(), []):
        if pid not in spare:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _descendants(root: int, spare: frozenset[int]) -> list[int]:
    children = _children()
    found: list[int] = []
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            if pid not in spare:
                found.append(pid)
                waiting.append(pid)
    return found


def _children() -> dict[int, list[int]]:
    """Process ids by their parent's."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(after_name[1]), []).append(int(entry.name))
    return children
