"""Ray's own fault injection: calls that never arrive, and answers that are lost after the call was carried out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import ROOT, Up

pytestmark = pytest.mark.ray

LOST_CALLS = {
    "RAY_testing_rpc_failure": json.dumps(
        {
            "CoreWorkerService.grpc_client.PushTask": {
                "num_failures": -1,
                "req_failure_prob": 3,
                "resp_failure_prob": 3,
            }
        }
    )
}
"""Of the calls of actors, in percent."""


def test_lost_calls_and_lost_answers_change_nothing_twice(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    up = Up(directory, "--nodes", "4", environment=LOST_CALLS)
    try:
        loader = subprocess.run(
            [sys.executable, "-m", "tests.integration.loader", str(directory), "10"],
            cwd=ROOT,
            env={**os.environ, **LOST_CALLS},
            capture_output=True,
            timeout=200,
            check=False,
        )
        assert loader.returncode == 0, loader.stdout.decode() + loader.stderr.decode()
        told = json.loads(loader.stdout)
        assert told["injected"] > 3 and told["done"]["upload"] > 3, told
    finally:
        up.stop()
