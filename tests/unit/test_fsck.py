"""fsck on a whole cluster in one process: real catalogs and directories, that somebody else has been at."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config import Config
from core.errors import Cancelled
from core.gateway import Call
from core.model import FsckReport, NodeRef, Steps
from tests.inprocess import Cluster, Faults, InProcessCall, InProcessGateway

CONTENT = random.Random(1).randbytes(2048)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, Config(chunk_size_bytes=1024, disk_reserve_bytes=0), count=4)
    cluster.store.upload("a", CONTENT)
    cluster.advance(2_000)
    yield cluster
    cluster.close()


def replicas(cluster: Cluster) -> list[Path]:
    """Files of the first chunk of the artifact."""
    chunk = cluster.store.info("a").chunks[0]
    return sorted(cluster.directory.glob(f"slot-*/chunks/*/{chunk.id}"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def counts(report: FsckReport) -> dict[str, int]:
    names = ("missing", "under", "surplus", "orphaned", "corrupt", "bad")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def test_a_clean_cluster(cluster: Cluster) -> None:
    report = cluster.store.fsck()
    assert report.clean
    assert (report.chunks, counts(report), report.findings, report.catalog) == (2, {}, (), ())
    assert [(node.node, node.walked) for node in report.nodes] == [(f"sn-0{number}", True) for number in range(1, 5)]
    assert sum(node.replicas for node in report.nodes) == 6
    assert report.repairs is None


def test_files_that_were_cut_or_removed_are_found_without_reading_all(cluster: Cluster) -> None:
    first, second, _ = replicas(cluster)
    first.unlink()
    os.truncate(second, 500)
    report = cluster.store.fsck()
    assert not report.clean
    assert sum(node.removed for node in report.nodes) == sum(node.corrupt for node in report.nodes) == 1
    assert report.corrupt == 1
    assert [kept.chunk for kept in report.quarantined] == [second.name]
    cluster.advance(5_000)
    assert len(cluster.store.info("a").chunks[0].replicas) == 3
    again = cluster.store.fsck()
    assert again.clean, "what was replaced is no fault any more"
    assert counts(again) == {"corrupt": 1}


def test_a_flipped_bit_is_found_by_a_deep_one(cluster: Cluster) -> None:
    flip(replicas(cluster)[0])
    assert cluster.store.fsck().clean
    report = cluster.store.fsck(deep=True)
    assert (report.clean, report.deep, report.bad, report.corrupt) == (False, True, 1, 1)
    repaired = cluster.store.fsck(deep=True, repair=True)
    assert (repaired.clean, repaired.bad) == (True, 0)
    assert cluster.store.get("a") == CONTENT


def test_a_chunk_that_is_nowhere_is_missing_even_after_repair(cluster: Cluster) -> None:
    for path in replicas(cluster):
        path.unlink()
    report = cluster.store.fsck(repair=True)
    assert (report.clean, counts(report)) == (False, {"missing": 1})
    (finding,) = report.findings
    assert (finding.problem, finding.artifacts) == ("missing", ("a",))
    assert report.repairs is not None
    assert (report.repairs.brought_back, report.repairs.healed) == (0, 0)


def test_replicas_that_were_unreadable_for_a_while_save_the_day(cluster: Cluster) -> None:
    """Every replica of a chunk looked bad; each is in quarantine, and good."""
    paths = replicas(cluster)
    good = paths[0].read_bytes()
    for path in paths:
        flip(path)
    cluster.store.fsck(deep=True)
    for path in paths:
        (path.parents[2] / "quarantine" / f"{path.name}.0").write_bytes(good)
    lost = cluster.store.fsck()
    assert (lost.clean, counts(lost)) == (False, {"missing": 1, "corrupt": 3})
    repaired = cluster.store.fsck(repair=True)
    assert (repaired.clean, counts(repaired)) == (True, {})
    assert repaired.repairs is not None
    assert (repaired.repairs.brought_back, repaired.repairs.healed) == (3, 1)
    assert cluster.store.get("a") == CONTENT


def test_a_repair_heals_at_once_what_would_have_waited(cluster: Cluster) -> None:
    cluster.kill("slot-0")
    cluster.kill("slot-1")
    cluster.advance(15_000)
    assert cluster.store.status().healing_waits
    report = cluster.store.fsck(repair=True)
    assert report.repairs is not None and report.repairs.wait_ended
    assert not report.clean, "two nodes can't hold three copies"
    assert all(finding.problem == "under" for finding in report.findings)
    assert cluster.store.get("a") == CONTENT
    cluster.restart_node("slot-0")
    cluster.advance(5_000)
    assert cluster.store.fsck(repair=True).clean


def test_nodes_that_are_down_are_told_and_not_asked(cluster: Cluster) -> None:
    cluster.kill("slot-0")
    cluster.advance(40_000)
    report = cluster.store.fsck()
    (down,) = [node for node in report.nodes if not node.walked]
    assert (down.state, down.replicas) == ("down", 0)
    assert "no heartbeat" in down.trouble
    assert report.clean, "its replicas were made anew elsewhere"


def test_a_node_that_falls_silent_while_it_is_asked_is_not_waited_for(cluster: Cluster) -> None:
    cluster.faults["slot-0"].hangs = True
    report = cluster.store.fsck()
    (silent,) = [node for node in report.nodes if not node.walked]
    assert not report.clean
    assert "did not answer" in silent.trouble


def test_a_node_that_refuses_is_told(cluster: Cluster) -> None:
    cluster.faults["slot-0"].dead = True
    report = cluster.store.fsck()
    (dead,) = [node for node in report.nodes if not node.walked]
    assert (report.clean, dead.trouble) == (False, "its process does not answer")


def test_steps_are_told_and_it_can_be_cancelled(cluster: Cluster) -> None:
    seen: list[Steps] = []
    cluster.store.fsck(deep=True, repair=True, progress=seen.append)
    doing = list(dict.fromkeys(step.doing for step in seen))
    assert doing == ["re-reading replicas", "comparing disks", "checking chunks", "healing"]
    assert all(step.done <= step.total for step in seen)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        cluster.store.fsck(cancel=cancel)


def test_a_lost_question_is_asked_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node is up all the time, so that its silence alone would be waited for without end."""
    walk, wait, asked = InProcessGateway.walk, InProcessGateway.wait, []

    def wait_while_nodes_beat(self: InProcessGateway, calls: list[Call], timeout_ms: int) -> list[Call]:
        cluster.beat()
        return wait(self, calls, timeout_ms)

    def lost_once(self: InProcessGateway, node: NodeRef) -> Call:
        asked.append(node.id)
        return InProcessCall(lambda: None, Faults(hangs=True)) if len(asked) == 1 else walk(self, node)

    monkeypatch.setattr(InProcessGateway, "walk", lost_once)
    monkeypatch.setattr(InProcessGateway, "wait", wait_while_nodes_beat)
    report = cluster.store.fsck()
    assert report.clean
    assert all(node.walked for node in report.nodes)
    assert len(asked) == 5
    assert asked[-1] == asked[0]


def test_a_node_that_is_forgotten_during_a_repair_is_told_of_as_it_was(cluster: Cluster) -> None:
    """Simulation, seed 61457."""
    cluster.kill("slot-3")
    cluster.advance(60_000)
    forgotten = []

    def forget_once(steps: Steps) -> None:
        if steps.doing == "healing" and not forgotten:
            forgotten.append(cluster.store.forget("sn-04"))

    report = cluster.store.fsck(repair=True, progress=forget_once)
    assert forgotten == ["sn-04"]
    assert [(node.node, node.walked) for node in report.nodes] == [
        ("sn-01", True),
        ("sn-02", True),
        ("sn-03", True),
        ("sn-04", False),
    ]
