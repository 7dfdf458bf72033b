"""Ray's own fault injection: calls that never arrive, and answers that are lost after the call was carried out."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.integration.processes import Loader, Up

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
    loader = Loader(directory, LOST_CALLS)
    try:
        time.sleep(15)
        told = loader.finish()
        assert told["injected"] > 3 and told["done"]["upload"] > 3, told
    finally:
        loader.kill()
        up.stop()
