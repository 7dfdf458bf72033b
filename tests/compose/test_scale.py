"""More storage nodes, then fewer again: those that were drained are those whose containers are taken away."""

from __future__ import annotations

import pytest

from tests.compose.conftest import NODES, Cluster
from tests.integration.processes import eventually
from tests.integration.wholeness import MIB, content

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_from_three_to_five_and_back_by_drain(cluster: Cluster) -> None:
    project = cluster.project
    before = project.nodes()
    project.up(5)
    project.wait_until_whole(5)
    at_five = project.nodes()
    assert {host: node["id"] for host, node in at_five.items() if host in before} == {
        host: node["id"] for host, node in before.items()
    }
    cluster.keep("kept/on five", content(13, 40 * MIB))

    leaving = project.containers("storage")[NODES:]
    assert sum(project.nodes()[host]["chunks"] for host in leaving) > 0, "they must hold something to be drained of"
    for host in leaving:
        project.ask("drain", host)  # a verb that takes a node also takes the name of its container
    eventually(lambda: all(project.nodes()[host]["state"] == "drained" for host in leaving), timeout_s=420, every_s=1)
    project.up(NODES)
    assert project.containers("storage") == sorted(before)
    eventually(lambda: all(project.nodes()[host]["state"] == "down" for host in leaving), every_s=1)
    for host in leaving:
        project.ask("forget", host)
    project.wait_until_whole(NODES)
    assert {host: node["id"] for host, node in project.nodes().items()} == {
        host: node["id"] for host, node in before.items()
    }
    cluster.check_that_nothing_is_lost()
