"""Every verb as README.md tells to run it: from a container of its own, and from the machine around the containers."""

from __future__ import annotations

import sys

import pytest

from tests.compose.conftest import NODES, Cluster
from tests.compose.engine import PYTHON
from tests.integration.walk import Walk, all_verbs

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]

same_python = pytest.mark.skipif(
    sys.version_info[:2] != PYTHON, reason=f"a Ray client needs the image's Python {'.'.join(map(str, PYTHON))}"
)


@pytest.fixture(params=["tui", pytest.param("host", marks=same_python)])
def walk(request: pytest.FixtureRequest, cluster: Cluster) -> Walk:
    run = {"tui": cluster.project.from_tui, "host": cluster.project.from_host}[request.param]
    return Walk(run, request.param, NODES)


def test_all_verbs(walk: Walk, cluster: Cluster) -> None:
    all_verbs(walk)
    cluster.check_that_nothing_is_lost()
