"""`docker compose run --rm tui`, typed on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compose.conftest import Cluster
from tests.compose.engine import compose_command
from tests.integration.processes import eventually
from tests.integration.terminal import Terminal

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def terminal(cluster: Cluster) -> Iterator[Terminal]:
    command = compose_command()
    assert command is not None
    terminal = Terminal(*command, "run", "--rm", "tui", environment=cluster.project.environment())
    yield terminal
    terminal.end()


def test_the_dashboard_opens_as_a_member_of_the_cluster(terminal: Terminal, cluster: Cluster) -> None:
    terminal.wait_for("LIVE", timeout_s=240)
    terminal.type(':upload from/dashboard "typed in a container"\r')
    terminal.wait_for("Uploaded from/dashboard: version 1")
    done = cluster.project.from_head("get", "from/dashboard")
    assert done.stdout == b"typed in a container", done.stderr.decode()
    terminal.type("\x11")  # ctrl+q
    eventually(terminal.has_ended)
    assert terminal.process.returncode == 0
    assert cluster.project.containers("tui") == []
