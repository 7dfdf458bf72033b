"""The catalog's disk is lost: what is done about it, with the directories of a cluster in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.checkpoint.find import storage_directories
from core.checkpoint.restore import Restored, restore
from tests.inprocess import Cluster


def stop(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        node.close()
    cluster.catalog.close()


def lose_catalog(cluster: Cluster) -> None:
    """Everything stops, and the NameNode's directory is gone."""
    stop(cluster)
    shutil.rmtree(cluster.directory / "namenode")


def restore_catalog(cluster: Cluster) -> Restored:
    return restore(cluster.directory / "namenode", storage_directories(slots(cluster)), busy=())


def slots(cluster: Cluster) -> list[Path]:
    return sorted(cluster.directory.glob("slot-*"))


def start(cluster: Cluster) -> None:
    """Everything starts again on what is on the disks."""
    endpoints = list(cluster.nodes)
    cluster.nodes.clear()
    cluster.start_namenode()
    for endpoint in endpoints:
        cluster.start_node(endpoint)
    cluster.advance(2_000)
