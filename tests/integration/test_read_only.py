"""A request that breaks an invariant of the NameNode, again and again, on real Ray: it stops failing and only reads."""

from __future__ import annotations

import pytest

from core.cluster import remote
from core.errors import Defect, ReadOnly, Unavailable
from core.store import ArtifactStore
from tests.integration.processes import eventually

pytestmark = pytest.mark.ray


def test_a_poisonous_request_leaves_a_namenode_that_reads(real_store: ArtifactStore) -> None:
    class Poison(str):
        """A name that breaks whoever looks at it, by an error that nobody foresaw."""

        def encode(self, *_: object) -> bytes:
            raise KeyError("poison")

    store = real_store
    store.upload("before-the-poison", b"content")
    for _ in range(3):
        eventually(lambda: not store.status().read_only)
        with pytest.raises(Unavailable):
            remote.ask_namenode("history", Poison("name"))
    reason = eventually(lambda: store.status().read_only)
    assert "failed 3 times" in reason
    with pytest.raises(Defect):
        remote.ask_namenode("history", Poison("name"))
    assert eventually(lambda: store.get("before-the-poison")) == b"content"
    with pytest.raises(ReadOnly, match="`resume`"):
        store.upload("while-it-only-reads", b"content")
    with pytest.raises(ReadOnly):
        store.delete("before-the-poison")
    assert store.resume() is True
    eventually(lambda: store.status().nodes["up"] == 4)
    store.upload("after-the-poison", b"content")
    store.delete("before-the-poison")
    assert store.status().read_only == ""
