from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from core.config import Config
from core.errors import (
    ArtifactNotFound,
    Cancelled,
    DiskFull,
    NodeNotServing,
    NotEnoughNodes,
    NotEnoughSpace,
    SourceFailure,
)
from core.model import Progress
from core.store import ArtifactStore
from tests.inprocess import Cluster

TEXT = b"a sentence that is longer than one chunk of eight bytes"


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 1000])
def test_content_of_every_size_comes_back(store: ArtifactStore, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    version = store.upload("sized", content)
    assert (version.size_bytes, version.chunks) == (size, -(-size // 8))
    assert version.digest == blake3(content).hexdigest()
    assert store.get("sized") == content


def test_every_chunk_is_on_three_nodes(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("spread", TEXT)
    for chunk in store.info("spread").chunks:
        assert len(set(chunk.replicas)) == 3
    assert {node for chunk in store.info("spread").chunks for node in chunk.replicas} == {
        node.id for node in store.nodes()
    }


def test_an_update_sends_only_what_the_cluster_lacks(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("log", b"11111111" + b"22222222" + b"33333333")
    before = sum(faults.stores for faults in cluster.faults.values())
    told: list[Progress] = []
    store.update("log", b"11111111" + b"changed!" + b"33333333", progress=told.append)
    assert sum(faults.stores for faults in cluster.faults.values()) - before == 3
    assert (told[-1].done_bytes, told[-1].sent_bytes, told[-1].stage) == (24, 8, "done")
    assert store.get("log", 1) == b"111111112222222233333333"


def test_equal_chunks_of_one_upload_are_sent_once(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("zeros", bytes(8 * 100))
    assert sum(faults.stores for faults in cluster.faults.values()) == 3
    assert store.get("zeros") == bytes(800)


def test_a_node_that_refuses_is_replaced(store: ArtifactStore, cluster: Cluster) -> None:
    cluster.faults["slot-0"].refuses_stores = NodeNotServing("gone for lunch")
    store.upload("stubborn", TEXT)
    cluster.advance(2_000)
    refused = cluster.nodes["slot-0"].registration("", 0).node_id
    for chunk in store.info("stubborn").chunks:
        assert len(chunk.replicas) == 3
        assert refused not in chunk.replicas
    assert cluster.faults["slot-0"].stores <= 7, "a node that refused was asked again and again"


def test_a_node_that_hangs_is_left_behind_once_the_quorum_has_the_chunk(store: ArtifactStore, cluster: Cluster) -> None:
    cluster.faults["slot-1"].hangs = True
    before = cluster.now_ms
    store.upload("patient", TEXT)
    assert store.get("patient") == TEXT
    assert cluster.now_ms - before < 10_000, "the upload waited for a silent node as if it were needed"


def test_two_of_three_copies_are_enough_and_one_is_not(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, Config(chunk_size_bytes=8, disk_reserve_bytes=0), count=3)
    store = cluster.store
    cluster.faults["slot-0"].refuses_stores = NodeNotServing("no")
    version = store.upload("quorum", TEXT)
    assert version.warnings, "fewer copies than asked for is worth a word"
    cluster.faults["slot-1"].refuses_stores = NodeNotServing("nor I")
    with pytest.raises(NotEnoughNodes, match=r"(?s)1 of the 2.*nor I") as caught:
        store.upload("no quorum", b"other content that is new")
    assert "nothing was published" in str(caught.value)
    with pytest.raises(ArtifactNotFound):
        store.get("no quorum")
    cluster.close()


def test_full_disks_are_called_full(store: ArtifactStore, cluster: Cluster) -> None:
    for faults in cluster.faults.values():
        faults.refuses_stores = DiskFull("no room")
    with pytest.raises(NotEnoughSpace, match="no room"):
        store.upload("too much", TEXT)


def test_cancelling_leaves_nothing(store: ArtifactStore) -> None:
    cancel = threading.Event()

    def stop_half_way(progress: Progress) -> None:
        if progress.done_bytes > 400:
            cancel.set()

    with pytest.raises(Cancelled):
        store.upload("never", bytes(index % 251 for index in range(4000)), progress=stop_half_way, cancel=cancel)
    assert [artifact.name for artifact in store.list()] == []
    store.upload("never", b"the name is free")


def test_a_source_that_fails_half_way_leaves_nothing(store: ArtifactStore) -> None:
    class Broken(io.RawIOBase):
        given = 0

        def read(self, count: int = -1) -> bytes:
            self.given += 1
            if self.given > 5:
                raise OSError(5, "Input/output error")
            return bytes([self.given]) * count

    with pytest.raises(SourceFailure, match="Input/output error"):
        store.upload("half", Broken())  # type: ignore[arg-type]
    with pytest.raises(ArtifactNotFound):
        store.get("half")


def test_progress_only_grows_and_ends_at_the_whole(store: ArtifactStore) -> None:
    told: list[Progress] = []
    store.upload("measured", TEXT, progress=told.append)
    done = [progress.done_bytes for progress in told]
    assert done == sorted(done)
    assert (told[0].stage, told[-1].stage) == ("starting", "done")
    assert told[-1].done_bytes == told[-1].total_bytes == told[-1].sent_bytes == len(TEXT)


def test_the_namenode_may_restart_in_the_middle(store: ArtifactStore, cluster: Cluster) -> None:
    content = bytes(index * 7 % 251 for index in range(8 * 300))
    restarted = []

    def restart_once(progress: Progress) -> None:
        if progress.done_bytes > 1000 and not restarted:
            restarted.append(True)
            cluster.restart_namenode()
            cluster.advance(3_000)
        if progress.stage == "committing":
            cluster.advance(1_000)  # what was stored around the restart is believed when the nodes have told of it

    store.upload("through a restart", content, progress=restart_once)
    assert restarted
    assert store.get("through a restart") == content
