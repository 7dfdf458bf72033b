"""A storage node that is gone for good is forgotten, on real Ray; when it comes back after all, it is a new one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import Up, assert_same, dame, dame_json, eventually, fetch
from tests.integration.wholeness import KIB, content

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path / "data", "--nodes", "4")
    yield up
    up.stop()


def test_a_node_that_was_forgotten_comes_back_as_a_new_one(cluster: Up, tmp_path: Path) -> None:
    data = content(45, 500 * KIB)
    source = tmp_path / "source"
    source.write_bytes(data)
    dame_json("upload", "kept", "--file", str(source), data_dir=cluster.data_dir)
    victim = dame_json("nodes", data_dir=cluster.data_dir)[0]
    refused = dame("forget", victim["name"], data_dir=cluster.data_dir)
    assert refused.returncode == 1 and b"only a node that is down" in refused.stderr

    os.kill(victim["pid"], signal.SIGSTOP)
    try:
        eventually(lambda: state(cluster, down=1))
        dame_json("forget", victim["name"], data_dir=cluster.data_dir)
        assert names(cluster) == ["sn-02", "sn-03", "sn-04"]
        assert_same(fetch("kept", data_dir=cluster.data_dir), data)
    finally:
        os.kill(victim["pid"], signal.SIGCONT)
    eventually(lambda: state(cluster, up=4))
    assert names(cluster) == ["sn-02", "sn-03", "sn-04", "sn-05"]
    assert dame_json("node", "sn-05", data_dir=cluster.data_dir)["id"] == victim["id"]
    assert_same(fetch("kept", data_dir=cluster.data_dir), data)


def state(cluster: Up, **nodes: int) -> bool:
    """Whether so many nodes are in these states, and every chunk has its replicas."""
    status = dame_json("status", data_dir=cluster.data_dir)
    return nodes.items() <= status["nodes"].items() and not status["under_replicated"]


def names(cluster: Up) -> list[str]:
    return [node["name"] for node in dame_json("nodes", data_dir=cluster.data_dir)]
