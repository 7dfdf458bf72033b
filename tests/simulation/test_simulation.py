"""Some hundred seeds, and that a seed means the same run everywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import __main__ as runner
from tests.simulation.__main__ import describe, run_many
from tests.simulation.plan import FAULTS
from tests.simulation.run import Outcome

SEEDS = range(1, 201)
JOBS = 2
ROOT = Path(__file__).resolve().parents[2]


def test_seeds_find_nothing_while_faults_of_every_kind_happen() -> None:
    outcomes = list(run_many(SEEDS, JOBS))
    failed = [outcome for outcome in outcomes if outcome.failure]
    assert not failed, "\n\n".join(describe(outcome) for outcome in failed[:3])
    assert not set(FAULTS).difference(*(outcome.counters for outcome in outcomes))


def test_a_seed_that_takes_its_process_with_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(seed: int) -> Outcome:
        if seed == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(seed, None, "")

    monkeypatch.setattr(runner, "run_seed", deadly)
    assert 7 in {outcome.seed for outcome in run_many(range(1, 20), JOBS) if outcome.failure}


def test_the_same_seed_is_the_same_run() -> None:
    """Whatever order Python gives its sets."""
    program = (
        "from tests.simulation.run import run_seed\nfor seed in range(1, 9):\n    print(run_seed(seed).trace_hash)\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "4711")
    ]
    assert runs[0]
    assert runs[1:] == runs[:1] * 2
