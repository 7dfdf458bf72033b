"""A pseudo-terminal, for programs that need one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.integration.processes import ROOT

ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[P_^][^\x1b]*\x1b\\|[@-Z\\-_=>])")


def without_size(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment that says nothing of the terminal's size; some test runners set one."""
    return {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """A program on a terminal of 120 columns and 36 lines."""

    def __init__(self, *command: str, environment: Mapping[str, str] = os.environ, cwd: Path = ROOT) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        self._descriptor = ours
        self._output = ""
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**without_size(environment), "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"},
            cwd=cwd,
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
