"""The dashboard and its terminal: native output never reaches it, and without one there is a plain sentence."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import textwrap
from pathlib import Path
from time import monotonic

import pytest

from tui.app import run_dashboard

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, sys, threading, time
from pathlib import Path
from tests.fakes import FakeStore
from tui.app import DashboardApp
from tui.terminal import own_terminal

def connect(on_stage):
    store = FakeStore(2)
    store.upload("greeting", "hello")
    os.write(1, b"NATIVE-NOISE\\n")
    os.write(2, b"NATIVE-NOISE\\n")
    os.system("echo NATIVE-NOISE; echo NATIVE-NOISE >&2")
    return store

with own_terminal(Path(sys.argv[1])):
    app = DashboardApp(connect, examine=FakeStore().examine)
    code = app.run()
os.write(1, f"the size was {app.size.width}x{app.size.height}, and the terminal is back\\n".encode())
sys.exit(code)
"""


def read_until(master: int, wanted: bytes, wait_s: float = 30.0) -> bytes:
    """What the program writes, up to the wanted words."""
    seen, end = b"", monotonic() + wait_s
    while wanted not in seen:
        assert monotonic() < end, seen[-2000:]
        if select.select([master], [], [], 0.1)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:  # the other end is gone
                break
    assert wanted in seen, seen[-2000:]
    return seen


def test_native_output_goes_to_the_log_and_the_terminal_comes_back(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
    log = tmp_path / "deep" / "dashboard.log"
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    environment.pop("COLUMNS", None)
    environment.pop("LINES", None)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(log)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        cwd=ROOT,
        start_new_session=True,
    )
    os.close(slave)
    try:
        seen = read_until(master, b"greeting")
        os.write(master, b"q")
        seen += read_until(master, b"the terminal is back")
        assert b"the size was 97x31" in seen
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert b"NATIVE-NOISE" not in seen
    assert log.read_text().count("NATIVE-NOISE") == 4


def test_without_a_terminal_it_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:  # noqa: PTH123
        monkeypatch.setattr(sys, "__stdin__", nothing)
        assert run_dashboard(None, None, None) == 2
    assert "needs a terminal" in capsys.readouterr().err
