"""One cluster of containers for all tests of a session, and the figures they measured."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.compose.engine import Project, why_not
from tests.integration.raylets import free_port
from tests.integration.wholeness import MIB, content

NODES = 3

Figures = dict[str, str]
FIGURES: Figures = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("cluster of containers")
        for what, value in FIGURES.items():
            terminalreporter.write_line(f"{what}: {value}")


@pytest.fixture(scope="session")
def figures() -> Figures:
    """Filled by the tests with what they measured; shown at the end, and never asserted."""
    return FIGURES


@pytest.fixture(scope="session")
def engine() -> None:
    """Skips where no container can be started."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"needs containers: {reason}")


@pytest.fixture(scope="session")
def project(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose image is built and which is not up yet. Everything of it but the image is removed at the end."""
    directory = tmp_path_factory.mktemp("compose")
    project = Project(f"dame-test-{os.getpid()}", free_port(), free_port(), free_port(), directory / "auth_token")
    try:
        project.compose("build", timeout_s=1800)
        yield project
    finally:  # the logs are for whoever looks into a failure
        (directory / "logs.txt").write_bytes(project.try_compose("logs", "--no-color").stdout)
        project.remove()


@dataclass
class Cluster:
    """The project with its storage nodes up, and what has been stored in it."""

    project: Project
    stored: dict[str, bytes] = field(default_factory=dict)

    def keep(self, name: str, data: bytes) -> None:
        """Upload something that every later test of this session expects to find."""
        done = self.project.from_head("upload", name, "--file", "-", stdin=data)
        assert done.returncode == 0, done.stderr.decode()
        self.stored[name] = data

    def check_that_nothing_is_lost(self) -> None:
        for name, data in self.stored.items():
            done = self.project.from_head("get", name)
            assert done.returncode == 0, done.stderr.decode()
            assert done.stdout == data, f"{name} is not what was stored"


@pytest.fixture(scope="session")
def first_cluster(project: Project, figures: Figures) -> Cluster:
    started = time.monotonic()
    project.up(NODES)
    done = project.from_tui("status", "--json")
    assert done.returncode == 0, done.stderr.decode()
    json.loads(done.stdout)
    figures["from `up` to the end of the first verb"] = f"{time.monotonic() - started:.1f} s"
    project.wait_until_whole(NODES)
    figures["from `up` to all storage nodes up"] = f"{time.monotonic() - started:.1f} s"
    project.copy_secret("auth_token", project.token)
    cluster = Cluster(project)
    cluster.keep("kept/text", b"written before anything went wrong")
    cluster.keep("kept/binary", content(4, 20 * MIB))
    return cluster


@pytest.fixture
def cluster(first_cluster: Cluster) -> Cluster:
    """The cluster with all its storage nodes up and every replica in its place, also after the test before."""
    first_cluster.project.up(NODES)
    first_cluster.project.wait_until_whole(NODES)
    return first_cluster
