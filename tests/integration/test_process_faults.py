"""Processes that are killed all at once, or stop without dying, while clients work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.replicas import good_files, replica_files
from benchmarks.workload import Clients, small
from core.store import ArtifactStore
from tests.integration.processes import ROOT, eventually, namenode_pid
from tests.integration.wholeness import KIB, content, has_all_copies, wait_until_whole

pytestmark = pytest.mark.ray


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that is neither dead nor answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_all_of_its_processes_are_killed_at_once_under_load(healthy: ArtifactStore, cluster_directory: Path) -> None:
    data = content(40, 500 * KIB)
    healthy.upload("outlives them all", data, chunk_size_bytes=64 * KIB)
    before = {node.id: node.pid for node in healthy.nodes()}
    with Clients(healthy, small(2)) as clients:
        for pid in (namenode_pid(cluster_directory), *before.values()):
            os.kill(pid, signal.SIGKILL)
        assert healthy.get("outlives them all") == data
        eventually(lambda: all(node.pid != before[node.id] for node in healthy.nodes()))
        wait_until_whole(healthy)
    wait_until_whole(healthy)
    assert not clients.verify()


def test_a_namenode_that_stands_still_takes_nobody_for_dead(healthy: ArtifactStore, cluster_directory: Path) -> None:
    """Longer than it takes for a silent storage node to be down: it was the NameNode that did not listen."""
    data = content(41, 500 * KIB)
    last = healthy.events()[-1].seq
    epoch = healthy.status().epoch
    writer = threading.Thread(target=healthy.upload, args=("while it stood still", data))
    with stopped(namenode_pid(cluster_directory)):
        writer.start()
        writer.join(12)
        assert writer.is_alive(), "nothing is acknowledged without the NameNode"
    writer.join(60)
    assert healthy.get("while it stood still") == data
    assert healthy.status().epoch == epoch
    assert not [event.text for event in healthy.events(last) if " is down" in event.text]
    wait_until_whole(healthy)


def test_a_node_that_slept_through_its_replacement_gives_up_what_is_too_much(
    healthy: ArtifactStore, cluster_directory: Path
) -> None:
    storage = cluster_directory / "storage"
    data = content(42, 20 * 64 * KIB)
    healthy.upload("replaced", data, chunk_size_bytes=64 * KIB)
    eventually(lambda: has_all_copies(healthy, "replaced"))
    chunks = [chunk.id for chunk in healthy.info("replaced").chunks]
    victim = healthy.nodes()[1]
    with Clients(healthy, small(3)) as clients, stopped(victim.pid):
        eventually(lambda: healthy.node(victim.id).node.state == "down")
        assert healthy.get("replaced") == data
        eventually(lambda: has_all_copies(healthy, "replaced"))
        healthy.update("replaced", data[::-1])
    assert healthy.get("replaced") == data[::-1]
    assert healthy.get("replaced", 1) == data
    eventually(lambda: healthy.node(victim.id).node.state == "up")
    assert healthy.node(victim.id).node.pid == victim.pid
    eventually(lambda: all(len(replica_files(storage, chunk_id)) == 3 for chunk_id in chunks))
    assert all(len(good_files(storage, chunk_id)) == 3 for chunk_id in chunks)
    wait_until_whole(healthy)
    assert not clients.verify()


def test_a_second_namenode_on_the_same_directory_is_refused(healthy: ArtifactStore, cluster_directory: Path) -> None:
    epoch = healthy.status().epoch
    opening = (
        "import sys; from pathlib import Path; from core.namenode import Catalog; Catalog.open(Path(sys.argv[1]), '')"
    )
    second = subprocess.run(
        [sys.executable, "-c", opening, str(cluster_directory / "namenode")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode != 0
    assert f"is in use by another process (pid {namenode_pid(cluster_directory)})" in second.stderr
    healthy.upload("one master", b"serves on")
    assert healthy.status().epoch == epoch
