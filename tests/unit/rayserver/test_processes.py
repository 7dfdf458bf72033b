"""Children that do not outlive their keeper, whatever they start in turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

CHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]])
time.sleep(float(sys.argv[2]))
"""

KEEPER = f"""
import os, sys, time
from RayServer import processes
processes.adopt_orphans()
child = processes.start([sys.executable, "-c", {CHILD!r}, *sys.argv[1:3]], os.environ, 2)
{{body}}
"""


def _living(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if mark in words and state != "Z":
                found.append(int(entry.name))
    return found


def _within(timeout_s: float, condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def _start(mark: str, child_lives_s: float, body: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", KEEPER.format(body=body), mark, str(child_lives_s)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _go_on(keeper: subprocess.Popen[bytes]) -> None:
    assert keeper.stdin is not None
    keeper.stdin.write(b"\n")
    keeper.stdin.flush()


def _kill(mark: str) -> None:
    for pid in _living(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_grandchildren_whose_parents_ended_are_found_and_ended(tmp_path: Path) -> None:
    mark = str(tmp_path)
    with _start(mark, 0, "child.wait(); input(); processes.end_descendants(); time.sleep(600)") as keeper:
        _within(60, lambda: len(_living(mark)) == 2)  # the keeper and its grandchild
        _go_on(keeper)
        _within(60, lambda: _living(mark) == [keeper.pid])
        _kill(mark)


def test_what_is_spared_lives_on_with_what_it_started(tmp_path: Path) -> None:
    mark = str(tmp_path)
    body = "input(); processes.end_descendants(frozenset([child.pid])); print(flush=True); time.sleep(600)"
    with _start(mark, 600, body) as keeper:
        _within(60, lambda: len(_living(mark)) == 3)
        _go_on(keeper)
        assert keeper.stdout is not None and keeper.stdout.readline()
        assert len(_living(mark)) == 3
        _kill(mark)


def test_a_child_ends_with_a_keeper_that_is_killed(tmp_path: Path) -> None:
    mark = str(tmp_path)
    with _start(mark, 600, "input()") as keeper:
        _within(60, lambda: len(_living(mark)) == 3)
        keeper.kill()
    _within(60, lambda: len(_living(mark)) == 1)  # the grandchild, which is the child's own to end
    _kill(mark)
