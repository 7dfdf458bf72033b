"""Containers killed, the head among them, and the whole cluster taken down: nothing lost, and no hand needed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.compose.conftest import NODES, Cluster, Figures
from tests.compose.engine import docker, inspect, run
from tests.integration.processes import eventually
from tests.integration.wholeness import MIB, content

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]


def ids(cluster: Cluster) -> dict[str, str]:
    """Storage nodes' ids by the names of their containers."""
    return {host: node["id"] for host, node in cluster.project.nodes().items()}


def answers(cluster: Cluster, name: str) -> bool:
    done = cluster.project.from_head("get", name)
    return done.returncode == 0 and done.stdout == cluster.stored[name]


def test_each_storage_node_is_known_by_its_container(cluster: Cluster) -> None:
    assert sorted(cluster.project.nodes()) == cluster.project.containers("storage")


def test_every_container_says_that_it_does_its_work(cluster: Cluster) -> None:
    for container in [cluster.project.head, *cluster.project.containers("storage")]:
        eventually(lambda container=container: cluster.project.health(container) == "healthy", every_s=1)


def kill(cluster: Cluster, container: str) -> None:
    """`docker kill`, and `docker start`: the engine takes a kill by its own client for a wish that it stay away."""
    docker("kill", container)
    docker("start", container)


def crash(cluster: Cluster, container: str) -> None:
    """All processes die but the first, which then ends; the engine starts the container again."""
    since = inspect(container)["State"]["StartedAt"]
    run(["docker", "exec", container, "sh", "-c", "kill -9 -1"])  # the shell itself is spared or not
    eventually(lambda: inspect(container)["State"]["StartedAt"] != since, every_s=0.2)


@pytest.mark.parametrize("end", [kill, crash], ids=["killed", "crashed"])
def test_a_storage_container_comes_back_as_the_node_it_was(
    cluster: Cluster, figures: Figures, end: Callable[[Cluster, str], None]
) -> None:
    before = ids(cluster)
    started = time.monotonic()
    end(cluster, cluster.project.containers("storage")[1])
    cluster.project.wait_until_whole(NODES)
    figures[f"storage container {end.__name__}ed: whole after"] = f"{time.monotonic() - started:.1f} s"
    assert ids(cluster) == before
    cluster.check_that_nothing_is_lost()


def test_what_is_written_while_a_storage_container_is_away_is_made_whole(cluster: Cluster) -> None:
    before = ids(cluster)
    away = cluster.project.containers("storage")[-1]
    docker("kill", away)
    cluster.keep("kept/while one of three is away", content(11, 3 * MIB))
    cluster.check_that_nothing_is_lost()
    docker("start", away)
    cluster.project.wait_until_whole(NODES)
    assert ids(cluster) == before


@pytest.mark.parametrize("end", [kill, crash], ids=["killed", "crashed"])
def test_the_head_comes_back_and_everything_with_it(
    cluster: Cluster, figures: Figures, end: Callable[[Cluster, str], None]
) -> None:
    before, epoch = ids(cluster), cluster.project.ask("status")["epoch"]
    containers = cluster.project.containers("storage")
    running_since = [inspect(container)["State"]["StartedAt"] for container in containers]
    started = time.monotonic()
    end(cluster, cluster.project.head)
    eventually(lambda: answers(cluster, "kept/binary"), timeout_s=420, every_s=1)
    figures[f"head {end.__name__}ed: content is read again after"] = f"{time.monotonic() - started:.1f} s"
    cluster.project.wait_until_whole(NODES)
    figures[f"head {end.__name__}ed: whole after"] = f"{time.monotonic() - started:.1f} s"
    assert ids(cluster) == before
    assert cluster.project.ask("status")["epoch"] > epoch
    assert [inspect(container)["State"]["StartedAt"] for container in containers] == running_since
    cluster.check_that_nothing_is_lost()
    cluster.keep(f"kept/after the head was {end.__name__}ed", content(12, 2 * MIB))


def test_down_and_up_again_loses_nothing(cluster: Cluster, figures: Figures) -> None:
    before = ids(cluster)
    stopping = time.monotonic()
    cluster.project.compose("stop", timeout_s=300)
    figures["graceful stop of all"] = f"{time.monotonic() - stopping:.1f} s"
    for container in before:
        assert inspect(container)["State"]["ExitCode"] == 0, f"{container} did not stop gracefully"
    cluster.project.compose("down", timeout_s=300)
    started = time.monotonic()
    cluster.project.up(NODES)
    cluster.project.wait_until_whole(NODES)
    figures["`down`, then `up`: whole after"] = f"{time.monotonic() - started:.1f} s"
    assert ids(cluster) == before
    cluster.check_that_nothing_is_lost()
