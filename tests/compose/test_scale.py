"""More storage nodes, then fewer again: those that were drained are those whose containers are taken away."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.compose.conftest import NODES, Cluster
from tests.compose.engine import Project, docker
from tests.integration.processes import eventually
from tests.integration.wholeness import MIB, content

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]


def up(project: Project, nodes: int, *options: str) -> None:
    """With so many storage nodes by the setting, as README.md tells; `--scale` lasts until the next `up` without it."""
    told = dataclasses.replace(project, settings={**project.settings, "DAME_STORAGE_NODES": str(nodes)})
    told.compose("up", "--detach", *options, timeout_s=600)


def test_from_three_to_five_and_back_by_drain(cluster: Cluster) -> None:
    project = cluster.project
    before = project.nodes()
    up(project, 5)
    project.wait_until_whole(5)
    at_five = project.nodes()
    assert {host: node["id"] for host, node in at_five.items() if host in before} == {
        host: node["id"] for host, node in before.items()
    }
    cluster.keep("kept/on five", content(13, 40 * MIB))

    leaving = project.containers("storage")[NODES:]
    eventually(lambda: sum(project.nodes()[host]["chunks"] for host in leaving) > 0, every_s=1)  # to be drained of
    for host in leaving:
        project.ask("drain", host)  # a verb that takes a node also takes the name of its container
    eventually(lambda: all(project.nodes()[host]["state"] == "drained" for host in leaving), timeout_s=420, every_s=1)
    up(project, NODES, "--no-recreate")
    assert project.containers("storage") == sorted(before)
    eventually(lambda: all(project.nodes()[host]["state"] == "down" for host in leaving), every_s=1)
    for host in leaving:
        directory = Path(project.ask("node", host)["directory"]).parent  # the container's; the node's is a slot in it
        project.ask("forget", host)
        project.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "rm", "storage", "-r", str(directory))
    project.wait_until_whole(NODES)
    assert {host: node["id"] for host, node in project.nodes().items()} == {
        host: node["id"] for host, node in before.items()
    }
    cluster.check_that_nothing_is_lost()


def test_a_container_s_successor_takes_the_directory_that_it_left(cluster: Cluster) -> None:
    """As docs/OPERATIONS.md tells to upgrade containers one at a time. Compose gives the new one another number."""
    project = cluster.project
    known = {node["id"] for node in project.nodes().values()}
    victim = project.containers("storage")[0]
    docker("rm", "--force", victim)
    project.compose("up", "--detach", "--no-deps", "--no-recreate", "storage")
    project.wait_until_whole(NODES)
    assert {node["id"] for node in project.nodes().values() if node["state"] == "up"} == known
    cluster.check_that_nothing_is_lost()
