"""Processes and disks fail under the shared cluster; what was acknowledged stays readable and heals."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest

from core.errors import DameError
from core.store import ArtifactStore
from tests.integration.processes import eventually

pytestmark = pytest.mark.ray

MIB = 1024 * 1024


@pytest.fixture
def healthy(real_store: ArtifactStore) -> ArtifactStore:
    """The shared cluster with every node up and every replica in its place, also after the test before."""
    eventually(lambda: is_whole(real_store))
    return real_store


def is_whole(store: ArtifactStore) -> bool:
    status = store.status()
    return status.nodes["up"] == 4 and status.under_replicated == status.missing == status.healing == 0


def content(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_a_killed_storage_node_comes_back_with_its_replicas(healthy: ArtifactStore) -> None:
    data = content(1, 20 * MIB)
    healthy.upload("survives-storage", data)
    victim = healthy.nodes()[0]
    os.kill(victim.pid, signal.SIGKILL)
    assert healthy.get("survives-storage") == data
    back = eventually(lambda: next((n for n in healthy.nodes() if n.id == victim.id and n.pid != victim.pid), None))
    assert back.name == victim.name
    eventually(lambda: is_whole(healthy))


def test_a_killed_namenode_comes_back_with_its_catalog(healthy: ArtifactStore, cluster_directory: Path) -> None:
    data = content(2, 3 * MIB)
    healthy.upload("survives-namenode", data)
    epoch = healthy.status().epoch
    os.kill(int((cluster_directory / "namenode" / "lock").read_text()), signal.SIGKILL)
    assert healthy.get("survives-namenode") == data
    assert healthy.status().epoch == epoch + 1
    healthy.update("survives-namenode", b"and goes on")
    assert [version.version for version in healthy.history("survives-namenode")] == [2, 1]


def test_an_upload_goes_on_while_its_namenode_dies(healthy: ArtifactStore, cluster_directory: Path) -> None:
    data = content(3, 200 * MIB)
    killed = threading.Event()

    def kill_half_way(progress: object) -> None:
        if getattr(progress, "done_bytes", 0) > len(data) // 3 and not killed.is_set():
            killed.set()
            os.kill(int((cluster_directory / "namenode" / "lock").read_text()), signal.SIGKILL)

    healthy.upload("through the death of the NameNode", data, progress=kill_half_way)
    assert killed.is_set()
    assert healthy.get("through the death of the NameNode") == data


def test_every_acknowledged_artifact_is_readable_while_nodes_die_under_load(healthy: ArtifactStore) -> None:
    acknowledged: dict[str, int] = {}
    failures: list[DameError] = []
    finished = threading.Event()

    def write() -> None:
        for seed in range(60):
            name = f"under-load-{seed}"
            try:
                healthy.upload(name, content(seed, seed * 37_000))
            except DameError as error:
                failures.append(error)
            else:
                acknowledged[name] = seed
        finished.set()

    writer = threading.Thread(target=write)
    writer.start()
    turn = 0
    while not finished.wait(2.5):
        victim = healthy.nodes()[turn % 4]
        os.kill(victim.pid, signal.SIGKILL)
        turn += 1
    writer.join()
    assert turn and not failures
    for name, seed in acknowledged.items():
        assert healthy.get(name) == content(seed, seed * 37_000)


def test_a_corrupt_replica_is_never_given_out_and_is_replaced(healthy: ArtifactStore, cluster_directory: Path) -> None:
    data = content(4, 2 * MIB)
    healthy.upload("bit-rot", data)
    chunk = healthy.info("bit-rot").chunks[0]
    path = next(cluster_directory.glob(f"storage/slot-*/chunks/*/{chunk.id}"))
    with path.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    assert healthy.scrub() == 4
    for _ in range(6):
        assert healthy.get("bit-rot") == data
    eventually(lambda: healthy.status().corrupt >= 1)
    eventually(lambda: len(healthy.info("bit-rot").chunks[0].replicas) == 3)
    assert any("corrupt" in event.text for event in healthy.events())


def test_a_failed_node_is_seen_healed_around_and_welcomed_back(healthy: ArtifactStore) -> None:
    data = content(5, 10 * MIB)
    healthy.upload("failover", data)
    victim = healthy.nodes()[1]
    assert healthy.fail(victim.name).state == "failed"
    assert healthy.status().nodes["failed"] == 1
    eventually(lambda: healthy.status().under_replicated == 0, timeout_s=30)
    assert healthy.get("failover") == data
    assert all(victim.id not in chunk.replicas for chunk in healthy.info("failover").chunks)
    os.kill(victim.pid, signal.SIGKILL)  # a new process learns that its node is failed, and stays failed
    eventually(lambda: healthy.node(victim.id).node.pid != victim.pid)
    assert healthy.node(victim.id).node.state == "failed"
    healthy.recover(victim.name)
    eventually(lambda: healthy.node(victim.id).node.state == "up", timeout_s=10)
    eventually(lambda: all(len(chunk.replicas) == 3 for chunk in healthy.info("failover").chunks))


def test_a_stopped_process_is_suspected_then_down_and_may_wake_up(healthy: ArtifactStore) -> None:
    data = content(6, 4 * MIB)
    healthy.upload("gray", data)
    victim = healthy.nodes()[2]
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        eventually(lambda: healthy.node(victim.id).node.state == "suspect", timeout_s=8)
        assert healthy.get("gray") == data
        healthy.upload("written meanwhile", data[::-1])
        eventually(lambda: healthy.node(victim.id).node.state == "down", timeout_s=20)
        assert "heartbeat" in healthy.node(victim.id).node.reason
        eventually(lambda: healthy.status().under_replicated == 0, timeout_s=30)
    finally:
        os.kill(victim.pid, signal.SIGCONT)
    eventually(lambda: healthy.node(victim.id).node.state == "up", timeout_s=20)
    assert healthy.get("written meanwhile") == data[::-1]


def test_drained_means_nothing_depends_on_the_node(healthy: ArtifactStore) -> None:
    data = content(7, 6 * MIB)
    healthy.upload("drained", data)
    victim = healthy.nodes()[3]
    healthy.drain(victim.name)
    eventually(lambda: healthy.node(victim.id).node.state == "drained", timeout_s=30)
    healthy.fail(victim.name)
    assert healthy.status().under_replicated == 0
    healthy.recover(victim.name)
    eventually(lambda: healthy.node(victim.id).node.state == "up", timeout_s=15)


def test_large_content_streams_through_files(healthy: ArtifactStore, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content(8, 150 * MIB + 17))
    healthy.upload("streamed", source)
    healthy.download("streamed", target)
    assert target.read_bytes() == source.read_bytes()
