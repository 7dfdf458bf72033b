"""The cluster as its operator sees it: status, nodes, events, and nodes that are failed and drained on purpose."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator

import pytest

from core.errors import Cancelled, InvalidRequest, NodeNotFound
from core.model import DISK_STATES, NODE_STATES, ScrubProgress, Steps
from core.store import ArtifactStore
from core.verbs import to_json
from tests.contract.conftest import Backend


@pytest.fixture
def node(backend: Backend) -> Iterator[str]:
    """Name of a node that a test may fail or drain; the cluster is well again afterwards."""
    name = backend.store.nodes()[0].name
    yield name
    backend.store.recover(name)
    backend.store.undrain(name)
    backend.eventually(lambda: all(node.state == "up" for node in backend.store.nodes()))


def test_status_counts(store: ArtifactStore, name: str) -> None:
    before = store.status()
    store.upload(name, f"one {name}")
    store.update(name, f"two {name}")
    after = store.status()
    assert tuple(after.nodes) == NODE_STATES
    assert sum(after.nodes.values()) == len(store.nodes()) == 4
    assert after.artifacts == before.artifacts + 1
    assert after.versions == before.versions + 2
    assert after.logical_bytes == before.logical_bytes + 2 * len(f"one {name}")
    assert after.capacity_bytes > 0
    assert after.cluster_id and after.epoch >= 1
    store.delete(name)
    assert store.status().trash == before.trash + 1


def test_status_and_the_rest_become_json(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"content", chunk_size_bytes=4)
    for value in (
        store.status(),
        store.nodes(),
        store.node(store.nodes()[0].name),
        store.list(name),
        store.history(name),
        store.info(name),
        store.events(),
    ):
        assert json.loads(json.dumps(to_json(value))) is not None


def test_nodes_say_who_they_are(store: ArtifactStore) -> None:
    nodes = store.nodes()
    assert len({node.id for node in nodes}) == len({node.name for node in nodes}) == len(nodes)
    for node in nodes:
        assert node.state == "up"
        assert node.reason
        assert node.pid > 0 and node.directory and node.host
        assert 0 <= node.used_bytes <= node.capacity_bytes
        assert node.heartbeat_age_ms >= 0


def test_a_node_is_found_by_name_id_and_prefix(store: ArtifactStore) -> None:
    for node in store.nodes():
        assert store.node(node.name).node.id == node.id
        assert store.node(node.id).node.id == node.id
        assert store.node(node.id[:-1]).node.id == node.id


@pytest.mark.parametrize("wrong", ["no-such-node", "", "*"])
def test_nodes_that_are_not_there(store: ArtifactStore, wrong: str) -> None:
    for ask in (store.node, store.fail, store.recover, store.drain, store.undrain, store.forget):
        with pytest.raises(NodeNotFound) as refused:
            ask(wrong)
        assert refused.value.message.endswith(".")


def test_a_prefix_of_several_nodes_is_refused(store: ArtifactStore) -> None:
    names = [node.name for node in store.nodes()]
    shared = names[0][: next(n for n in range(len(names[0])) if len({name[: n + 1] for name in names}) > 1)]
    assert shared, "the nodes' names have nothing in common"
    with pytest.raises(NodeNotFound) as refused:
        store.node(shared)
    assert names[0] in refused.value.message


def test_a_node_shows_what_is_on_it(store: ArtifactStore, name: str) -> None:
    store.upload(name, f"{name} is here", replication=4)
    for node in store.nodes():
        detail = store.node(node.id)
        assert detail.artifacts_total >= 1
        assert (name, 1, 1) in [(row.name, row.version, row.chunks) for row in detail.artifacts]


def test_events_go_on_from_where_one_left(store: ArtifactStore, node: str, backend: Backend) -> None:
    last = max((event.seq for event in store.events()), default=0)
    store.fail(node)
    news = store.events(last)
    assert news
    assert all(event.seq > last for event in news)
    assert [event.seq for event in news] == sorted({event.seq for event in news})
    assert any(node in event.text for event in news)
    assert store.events(news[-1].seq + 1_000) == []


def test_a_failed_node_says_so_and_works_again_when_recovered(
    backend: Backend, store: ArtifactStore, name: str, node: str
) -> None:
    store.upload(name, f"kept {name}" * 5, chunk_size_bytes=4)
    assert store.fail(node).state == "failed"
    assert store.node(node).node.state == "failed"
    assert store.status().nodes["failed"] == 1
    assert store.get(name) == (f"kept {name}" * 5).encode()
    store.recover(node)
    backend.eventually(lambda: store.node(node).node.state == "up")
    assert store.status().nodes["failed"] == 0
    assert store.get(name) == (f"kept {name}" * 5).encode()


def test_failing_and_recovering_twice_is_harmless(backend: Backend, store: ArtifactStore, node: str) -> None:
    for _ in range(2):
        assert store.fail(node).state == "failed"
    for _ in range(2):
        store.recover(node)
    backend.eventually(lambda: store.node(node).node.state == "up")


def test_uploads_go_on_without_a_failed_node(backend: Backend, store: ArtifactStore, name: str, node: str) -> None:
    failed = store.fail(node)
    version = store.upload(name, f"without {name}")
    assert failed.id not in store.info(name).chunks[0].replicas
    backend.eventually(lambda: len(store.info(name).chunks[0].replicas) == 3)
    assert not any("nodes join" in warning for warning in version.warnings)


def test_a_drained_node_gets_nothing_new_and_is_still_read(
    store: ArtifactStore, name: str, node: str, backend: Backend
) -> None:
    store.upload(name, f"before {name}", replication=4)
    drained = store.drain(node)
    assert drained.state in ("draining", "drained")
    store.upload(f"{name}/new", f"after {name}", replication=3)
    (chunk,) = store.info(f"{name}/new").chunks
    assert drained.id not in chunk.replicas
    assert store.get(name) == f"before {name}".encode()
    store.undrain(node)
    backend.eventually(lambda: store.node(node).node.state == "up")


def test_a_drain_shows_what_is_left(store: ArtifactStore, name: str, node: str, backend: Backend) -> None:
    assert store.node(node).node.drain_left is None
    store.upload(name, f"drained {name}", replication=4)
    begun = store.drain(node)
    assert begun.drain_left is not None and begun.drain_total is not None
    assert 0 <= begun.drain_left <= begun.drain_total
    undone = store.undrain(node)
    assert (undone.drain_left, undone.drain_total, undone.drain_eta_ms) == (None, None, None)
    assert undone.drain_warning == ""
    backend.eventually(lambda: store.node(node).node.state == "up")


def test_nodes_say_how_full_their_disks_are(store: ArtifactStore) -> None:
    assert {node.disk for node in store.nodes()} <= set(DISK_STATES)


def test_a_node_that_may_be_alive_is_not_forgotten(store: ArtifactStore, node: str) -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="only a node that is down can be forgotten"):
            store.forget(node)
        store.fail(node)
    assert node in [info.name for info in store.nodes()]


def test_scrub_asks_every_node_that_is_up(store: ArtifactStore) -> None:
    assert store.scrub() == 4


def test_a_scrub_can_be_waited_for(store: ArtifactStore, name: str) -> None:
    store.upload(name, f"read again {name}", replication=4)
    seen: list[ScrubProgress] = []
    done = store.scrub_and_wait(progress=seen.append)
    assert seen[-1] == done
    assert (done.nodes, done.finished, done.away) == (4, 4, ())
    assert done.done == done.total >= 4
    assert done.bad == 0


def test_fsck_of_a_healthy_cluster(store: ArtifactStore, name: str, backend: Backend) -> None:
    store.upload(name, f"in its place {name}")
    backend.eventually(lambda: store.status().under_replicated == 0)
    seen: list[Steps] = []
    report = store.fsck(progress=seen.append)
    assert seen
    assert (report.missing, report.catalog, report.deep, report.repairs) == (0, (), False, None)
    assert report.chunks >= 1
    assert len(report.nodes) == 4 and all(node.walked for node in report.nodes)
    assert json.loads(json.dumps(to_json(report)))["missing"] == 0


def test_fsck_tells_of_a_chunk_short_of_replicas_and_whose_it_is(
    backend: Backend, store: ArtifactStore, name: str, node: str
) -> None:
    store.upload(name, f"on all {name}", replication=4)
    backend.eventually(lambda: len(store.info(name).chunks[0].replicas) == 4)
    store.fail(node)
    report = store.fsck()
    assert not report.clean
    (finding,) = [finding for finding in report.findings if name in finding.artifacts]
    assert (finding.problem, finding.wanted, finding.replicas) == ("under", 4, 3)
    assert [check.node for check in report.nodes if not check.walked] == [node]
    store.recover(node)
    backend.eventually(lambda: store.node(node).node.state == "up")
    backend.eventually(lambda: len(store.info(name).chunks[0].replicas) == 4)
    assert store.fsck(repair=True).repairs is not None


def test_fsck_can_be_cancelled(store: ArtifactStore) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        store.fsck(cancel=cancel)


def test_waiting_for_a_scrub_can_be_given_up(store: ArtifactStore, name: str) -> None:
    store.upload(name, f"read again {name}", replication=4)
    cancel = threading.Event()
    cancel.set()
    assert store.scrub_and_wait(cancel=cancel).nodes == 4


def test_what_comes_back_is_plain_and_frozen(store: ArtifactStore, name: str) -> None:
    version = store.upload(name, b"content")
    with pytest.raises(dataclasses.FrozenInstanceError):
        version.version = 2  # type: ignore[misc]


def test_recovering_and_draining_keep_out_of_each_others_way(backend: Backend, store: ArtifactStore, node: str) -> None:
    store.fail(node)
    assert store.undrain(node).state == "failed"
    with pytest.raises(InvalidRequest, match="recover it first"):
        store.drain(node)
    store.recover(node)
    backend.eventually(lambda: store.node(node).node.state == "up")
    store.drain(node)
    assert store.recover(node).state in ("draining", "drained")


def test_a_namenode_that_did_not_fail_has_nothing_to_resume(store: ArtifactStore) -> None:
    assert store.status().read_only == ""
    assert store.resume() is False
