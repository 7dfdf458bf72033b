"""The wall clock of a machine steps, forth and back, while clients work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.processes import Loader, Up, dame_json, eventually

pytestmark = pytest.mark.ray

STEPS_S = (600, -3_600, 86_400, -60, -86_400, 0)
"""By so much the clock is off, one after the other."""
STAYS_S = 4
TOLERANCE_S = 30

STEPPING = """
import os, time

TRUE_NS = time.time_ns

def stepped_ns():
    with open(os.environ["STEPPED_BY_S"]) as file:
        return TRUE_NS() + int(file.read() or 0) * 10**9

time.time_ns = stepped_ns
time.time = lambda: stepped_ns() / 1e9
"""
"""Python runs a module `sitecustomize` at its start, in each process of the cluster."""


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A file that says by how many seconds the cluster's clock is off."""
    path = tmp_path / "off by"
    path.write_text("0")
    return path


def set_clock(clock: Path, off_by_s: int) -> None:
    """At once: a file that is being written would be read as nothing."""
    clock.with_suffix(".new").write_text(str(off_by_s))
    clock.with_suffix(".new").rename(clock)


def test_a_clock_that_steps_loses_nothing_and_takes_nobody_for_dead(tmp_path: Path, clock: Path) -> None:
    """What the NameNode takes for the time goes forward with the clock, and on from there when it steps back."""
    directory = tmp_path / "data"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(STEPPING)
    up = Up(directory, "--nodes", "4", environment={"PYTHONPATH": str(tmp_path / "site"), "STEPPED_BY_S": str(clock)})
    loader = Loader(directory)
    try:
        eventually(lambda: dame_json("status", data_dir=directory)["artifacts"] > 3)
        off_by_s = forward_s = 0
        for step_s in STEPS_S:
            forward_s += max(0, step_s - off_by_s)
            off_by_s = step_s
            set_clock(clock, off_by_s)
            told_s = dame_json("status", data_dir=directory)["now_ms"] / 1000
            assert abs(told_s - time.time() - forward_s) < TOLERANCE_S, "the NameNode's clock is not the one that steps"
            time.sleep(STAYS_S)
        told = loader.finish()
        assert told["done"]["upload"] > 3, told
        events = dame_json("events", data_dir=directory)
        assert not [event["text"] for event in events if " is down" in event["text"]]
    finally:
        loader.kill()
        up.stop()
