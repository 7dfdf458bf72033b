"""What Ray raises reaches nobody as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from core.cluster import remote
from core.cluster.remote import translated
from core.config import Config
from core.errors import ClusterUnreachable, NodeNotServing
from core.model import NodeRef
from core.storagenode.chunkstore import ChunkStore


@pytest.mark.parametrize("raised", [ConnectionError("gone"), TimeoutError("gone"), Exception("gone")])
def test_a_lost_cluster_is_named(raised: Exception) -> None:
    with pytest.raises(ClusterUnreachable, match="gone"), translated():
        raise raised


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("ours")


def test_calls_that_are_done_are_told_beside_one_that_could_not_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept back, they would be taken for nodes that do not answer."""
    monkeypatch.setattr(remote.ray, "wait", lambda refs, num_returns, timeout: (refs[:num_returns], refs[num_returns:]))
    gateway = remote.RayGateway.__new__(remote.RayGateway)
    done = [remote.RayCall(endpoint, ref=object()) for endpoint in ("one", "two")]
    refused = remote.RayCall("three", error=NodeNotServing("gone"))
    told = gateway.wait([*done, refused], 100)
    assert set(told) == {*done, refused}
    assert gateway.wait([refused], 100) == [refused]


def test_what_is_read_past_a_process_is_told_to_it_in_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str, int]] = []
    monkeypatch.setattr(remote, "start", lambda *call: told.append(call))
    reads = remote.ReadsPast()
    small = remote.ReadsPast.LOT_BYTES // 4
    for _ in range(9):
        reads.add("one", small)
    reads.add("two", 5 * small)
    assert told == [("one", "note_read", 4 * small), ("one", "note_read", 4 * small), ("two", "note_read", 5 * small)]


def test_a_replica_is_read_past_its_process_on_the_same_host_only(tmp_path: Path) -> None:
    data = b"content"
    chunk_id = blake3(data).hexdigest()
    store = ChunkStore(tmp_path, Config(), "here")
    store.open()
    store.write(chunk_id, data)
    node = NodeRef("node-1", "sn-01", "here", "storage-1", str(tmp_path))
    assert remote.read_here(node, "here", chunk_id) == data
    assert remote.read_here(node, "elsewhere", chunk_id) is None
    assert remote.read_here(node, "here", "0" * 64) is None
