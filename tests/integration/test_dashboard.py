"""The real program in a pseudo-terminal, on a real cluster: what a person would do, seen as the terminal gets it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import ROOT, eventually, fetch, processes_using
from tests.integration.terminal import Terminal

pytestmark = pytest.mark.ray


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(sys.executable, str(ROOT / "main.py"), "--data-dir", str(tmp_path / "data"), "--nodes", "3")
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
