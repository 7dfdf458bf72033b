from __future__ import annotations

import io
import os
import random
import stat
import threading
from pathlib import Path

import pytest

from core.errors import Cancelled, ContentLost, OutputFailure
from core.model import Progress
from core.store import ArtifactStore
from tests.inprocess import Cluster

CONTENT = bytes(index * 31 % 251 for index in range(8 * 40 + 3))


def test_a_dead_node_is_passed_over(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("a", CONTENT)
    cluster.kill("slot-0")
    assert store.get("a") == CONTENT


def test_any_two_nodes_may_die(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("a", CONTENT)
    cluster.kill("slot-0")
    cluster.kill("slot-3")
    assert store.get("a") == CONTENT


def test_a_hanging_node_delays_and_does_not_stop(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("a", CONTENT)
    cluster.faults["slot-2"].hangs = True
    assert store.get("a") == CONTENT


def test_a_corrupt_answer_is_never_given_out(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("a", CONTENT)
    for endpoint in ("slot-0", "slot-1"):
        cluster.faults[endpoint].corrupts_reads = True
    assert store.get("a") == CONTENT


def test_a_corrupt_replica_is_quarantined_and_healed(store: ArtifactStore, cluster: Cluster) -> None:
    version = store.upload("a", b"12345678")
    chunk = store.info("a").chunks[0]
    for path in cluster.directory.glob(f"slot-*/chunks/*/{chunk.id}"):
        damaged = bytearray(path.read_bytes())
        damaged[-1] ^= 0x40
        path.write_bytes(damaged)
        break
    for _ in range(8):
        assert store.get("a", version.version) == b"12345678"
    cluster.advance(5_000)
    assert len(list(cluster.directory.glob("slot-*/quarantine/*"))) == 1
    assert store.status().corrupt == 1
    assert len(store.info("a").chunks[0].replicas) == 3


def test_a_file_is_written_and_nothing_else_replaced(store: ArtifactStore, tmp_path: Path) -> None:
    """`get --output /dev/null` must not make a file of the device, nor of a pipe that somebody reads."""
    store.upload("a", CONTENT)
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    with pytest.raises(OutputFailure, match="a device or a pipe"):
        store.download("a", pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    link.symlink_to(file)
    for _ in range(2):
        store.download("a", link)
        assert link.is_symlink() and file.read_bytes() == CONTENT


def test_with_every_replica_out_of_reach_the_error_says_which_nodes(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("a", b"12345678")
    cluster.advance(2_000)
    for endpoint in list(cluster.nodes):
        cluster.kill(endpoint)
    with pytest.raises(ContentLost, match=r"(?s)could not be read.*sn-0"):
        store.get("a")
    cluster.advance(60_000)
    with pytest.raises(ContentLost, match=r"sn-0\d"):
        store.get("a")


def test_download_replaces_a_file_only_as_a_whole(store: ArtifactStore, cluster: Cluster, tmp_path: Path) -> None:
    store.upload("a", CONTENT)
    target = tmp_path / "out" / "file"
    with pytest.raises(OutputFailure, match="No such file"):
        store.download("a", target)
    target.parent.mkdir()
    target.write_bytes(b"old")
    for endpoint in list(cluster.nodes):
        cluster.faults[endpoint].dead = True
    with pytest.raises(ContentLost):
        store.download("a", target)
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]
    for endpoint in list(cluster.nodes):
        cluster.faults[endpoint].dead = False
    store.download("a", target)
    assert target.read_bytes() == CONTENT
    with pytest.raises(OutputFailure, match="directory"):
        store.download("a", target.parent)


def test_cancelling_a_download_leaves_no_file(store: ArtifactStore, tmp_path: Path) -> None:
    store.upload("a", CONTENT)
    cancel = threading.Event()

    def stop(progress: Progress) -> None:
        if progress.done_bytes > 100:
            cancel.set()

    with pytest.raises(Cancelled):
        store.download("a", tmp_path / "file", progress=stop, cancel=cancel)
    assert not list(tmp_path.glob("*file*"))


def test_the_reader_is_a_file_like_any_other(store: ArtifactStore) -> None:
    store.upload("a", CONTENT)
    model = io.BytesIO(CONTENT)
    rng = random.Random(7)
    with store.open("a") as stream:
        assert stream.readable() and stream.seekable() and not stream.writable()
        for _ in range(300):
            if rng.random() < 0.5:
                offset = rng.randrange(len(CONTENT) + 5)
                assert stream.seek(offset) == model.seek(offset)
            size = rng.choice([0, 1, 7, 8, 9, 50, -1])
            assert stream.read(size) == model.read(size)
            assert stream.tell() == model.tell()
        with pytest.raises((OSError, ValueError)):
            stream.write(b"x")
    with store.open("a") as stream:
        assert b"".join(stream) == CONTENT


def test_reading_in_order_asks_for_each_chunk_once(store: ArtifactStore, cluster: Cluster) -> None:
    store.upload("a", CONTENT)
    before = sum(faults.reads for faults in cluster.faults.values())
    with store.open("a") as stream:
        while stream.read(5):
            pass
    assert sum(faults.reads for faults in cluster.faults.values()) - before == 41


def test_a_reader_keeps_its_version_while_others_update(store: ArtifactStore) -> None:
    store.upload("a", CONTENT)
    with store.open("a") as stream:
        first = stream.read(10)
        store.update("a", b"something else entirely")
        assert first + stream.read() == CONTENT


def test_a_reading_never_mixes_an_artifact_with_another_of_its_name(cluster: Cluster) -> None:
    store, old, new = cluster.store, bytes(range(200)) * 28, b"NEWNEWNE" * 700
    store.upload("a", old)
    with store.open("a") as stream:
        stream.read(100)
        store.delete("a")
        store.upload("a", new)
        stream.seek(4000)
        assert stream.read(100) == old[4000:4100], "what it began with is in the trash"
        store.purge("a")
        cluster.advance(2_000)
        stream.seek(5000)
        with pytest.raises(ContentLost, match="made anew while it was being read"):
            stream.read(400)
    assert store.get("a") == new


def test_a_download_of_what_is_deleted_meanwhile_ends_well(cluster: Cluster) -> None:
    content = bytes(range(200)) * 60
    cluster.store.upload("a", content)
    pieces = iter(cluster.store._download("a", None))
    first = bytes(next(pieces))
    cluster.store.delete("a")
    assert first + b"".join(bytes(piece) for piece in pieces) == content
