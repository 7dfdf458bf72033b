"""The real program in a pseudo-terminal, on a real cluster: what a person would do, seen as the terminal gets it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.processes import ROOT, eventually, fetch, processes_using

pytestmark = pytest.mark.ray

ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[P_^][^\x1b]*\x1b\\|[@-Z\\-_=>])")


def without_size(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment that says nothing of the terminal's size; some test runners set one."""
    return {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """A program on a terminal of 120 columns and 36 lines."""

    def __init__(self, *words: str) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        self._descriptor = ours
        self._output = ""
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "main.py"), *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**without_size(os.environ), "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"},
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str, timeout_s: float = 90.0) -> None:
        """Until the text has been written since the last wait."""
        deadline = time.monotonic() + timeout_s
        while text not in ESCAPES.sub("", self._output):
            assert time.monotonic() < deadline, f"{text!r} did not appear in {ESCAPES.sub('', self._output)[-3000:]}"
            self._read()
        self._output = ""

    def has_ended(self) -> bool:
        self._read()
        return self.process.poll() is not None

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._descriptor)

    def _read(self) -> None:
        ready, _, _ = select.select([self._descriptor], [], [], 0.2)
        if ready:
            with suppress(OSError):  # the program has ended, and closed its side
                self._output += os.read(self._descriptor, 65536).decode(errors="replace")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal("--data-dir", str(tmp_path / "data"), "--nodes", "3")
    yield terminal
    terminal.end()


def test_a_day_at_the_dashboard(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for("starting Ray")
    terminal.wait_for("LIVE")
    terminal.type(':upload demo "seen through a terminal"\r')
    terminal.wait_for("Uploaded demo: version 1")
    terminal.type(":fail sn-02\r")
    terminal.wait_for("FAILED")
    # The thread that connected is long gone by now; Ray's processes must not have gone with it.
    assert fetch("demo", data_dir=tmp_path / "data") == b"seen through a terminal"
    terminal.type(":recover sn-02\r")
    terminal.wait_for("sn-02 was recovered by an operator")
    terminal.type(":get demo\r")
    terminal.wait_for("seen through a terminal")
    terminal.type("\x11")  # ctrl+q
    eventually(terminal.has_ended)
    assert terminal.process.returncode == 0
    eventually(lambda: not processes_using(tmp_path / "data"), timeout_s=20)
