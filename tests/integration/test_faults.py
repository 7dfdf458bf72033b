"""Processes and disks fail under the shared cluster; what was acknowledged stays readable and heals."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import DameError, NodeNotServing
from core.store import ArtifactStore
from tests.integration.processes import eventually, namenode_pid
from tests.integration.wholeness import MIB, content, has_all_copies, wait_until_whole

pytestmark = pytest.mark.ray


def test_a_killed_storage_node_comes_back_with_its_replicas(healthy: ArtifactStore) -> None:
    data = content(1, 20 * MIB)
    healthy.upload("survives-storage", data)
    victim = healthy.nodes()[0]
    os.kill(victim.pid, signal.SIGKILL)
    assert healthy.get("survives-storage") == data
    back = eventually(lambda: next((n for n in healthy.nodes() if n.id == victim.id and n.pid != victim.pid), None))
    assert back.name == victim.name
    wait_until_whole(healthy)


def test_a_killed_namenode_comes_back_with_its_catalog(healthy: ArtifactStore, cluster_directory: Path) -> None:
    data = content(2, 3 * MIB)
    healthy.upload("survives-namenode", data)
    epoch = healthy.status().epoch
    os.kill(namenode_pid(cluster_directory), signal.SIGKILL)
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
            os.kill(namenode_pid(cluster_directory), signal.SIGKILL)

    healthy.upload("through the death of the NameNode", data, progress=kill_half_way)
    assert killed.is_set()
    assert healthy.get("through the death of the NameNode") == data


def test_every_acknowledged_artifact_is_readable_while_nodes_die_under_load(healthy: ArtifactStore) -> None:
    failures: list[DameError] = []
    acknowledged: list[int] = []
    enough = threading.Event()

    def write() -> None:
        for seed in itertools.count():
            if enough.is_set():
                return
            try:
                healthy.upload(f"under-load-{seed}", content(seed, seed % 60 * 37_000))
            except DameError as error:
                failures.append(error)
            else:
                acknowledged.append(seed)

    writer = threading.Thread(target=write)
    writer.start()
    for node in healthy.nodes():
        os.kill(node.pid, signal.SIGKILL)
        eventually(lambda node=node: healthy.node(node.id).node.pid != node.pid)
    enough.set()
    writer.join()
    assert acknowledged and not failures
    for seed in acknowledged:
        assert healthy.get(f"under-load-{seed}") == content(seed, seed % 60 * 37_000)


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
    eventually(lambda: has_all_copies(healthy, "failover"))
    assert healthy.get("failover") == data
    assert all(victim.id not in chunk.replicas for chunk in healthy.info("failover").chunks)
    os.kill(victim.pid, signal.SIGKILL)  # a new process learns that its node is failed, and stays failed
    eventually(lambda: healthy.node(victim.id).node.pid != victim.pid)
    assert healthy.node(victim.id).node.state == "failed"
    healthy.recover(victim.name)
    eventually(lambda: healthy.node(victim.id).node.state == "up", timeout_s=10)
    eventually(lambda: has_all_copies(healthy, "failover"))


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
        eventually(lambda: has_all_copies(healthy, "gray"))
    finally:
        os.kill(victim.pid, signal.SIGCONT)
    eventually(lambda: healthy.node(victim.id).node.state == "up", timeout_s=20)
    assert healthy.node(victim.id).node.pid == victim.pid, "it goes on as the process that it was"
    eventually(lambda: has_all_copies(healthy, "gray"))
    assert healthy.get("written meanwhile") == data[::-1]


def test_a_call_meant_for_another_node_is_refused(healthy: ArtifactStore) -> None:
    """After a restart two storage nodes of one machine may have changed their addresses; a store that went to the wrong
    one would be counted twice."""
    healthy.upload("meant for another", content(9, 1000), replication=4)
    (chunk,) = healthy.info("meant for another").chunks
    gateway = healthy._gateway
    first, second = (gateway.namenode.node_ref(node.id) for node in healthy.nodes()[:2])
    for call in (
        gateway.store(replace(second, id=first.id), chunk.id, gateway.put(memoryview(content(9, 1000)))),
        gateway.verify(replace(second, id=first.id), chunk.id),
        gateway.fail(replace(second, id=first.id)),
    ):
        with pytest.raises(NodeNotServing, match=f"This is storage node {second.name} now"):
            call.result()
    assert gateway.verify(second, chunk.id).result()


def test_what_is_on_a_draining_node_is_copied_elsewhere(healthy: ArtifactStore) -> None:
    data = content(7, 6 * MIB)
    healthy.upload("drained", data)
    victim = healthy.nodes()[3]
    healthy.drain(victim.name)
    eventually(
        lambda: all(len({*chunk.replicas} - {victim.id}) == 3 for chunk in healthy.info("drained").chunks),
    )
    assert healthy.node(victim.id).node.state in ("draining", "drained")
    assert healthy.get("drained") == data
    assert healthy.undrain(victim.name).state == "up"


def test_large_content_streams_through_files(healthy: ArtifactStore, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content(8, 150 * MIB + 17))
    healthy.upload("streamed", source)
    healthy.download("streamed", target)
    assert target.read_bytes() == source.read_bytes()
