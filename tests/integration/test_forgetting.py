"""A storage node that is gone for good is forgotten, on real Ray; when it comes back after all, it is a new one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from core import connect
from core.errors import InvalidRequest, NodeNotFound
from tests.integration.processes import eventually
from tests.integration.wholeness import KIB, content, has_all_copies, is_whole

pytestmark = pytest.mark.ray


def test_a_node_that_was_forgotten_comes_back_as_a_new_one(tmp_path: Path) -> None:
    data = content(45, 500 * KIB)
    with connect(data_dir=tmp_path / "data", nodes=4) as store:
        eventually(lambda: is_whole(store))
        store.upload("outlives a node", data)
        victim = store.nodes()[0]
        with pytest.raises(InvalidRequest, match="only a node that is down"):
            store.forget(victim.name)
        os.kill(victim.pid, signal.SIGSTOP)
        try:
            eventually(lambda: store.node(victim.id).node.state == "down")
            eventually(lambda: has_all_copies(store, "outlives a node"))
            assert store.forget(victim.name) == victim.name
            with pytest.raises(NodeNotFound):
                store.node(victim.id)
            assert len(store.nodes()) == 3
            assert store.get("outlives a node") == data
        finally:
            os.kill(victim.pid, signal.SIGCONT)
        eventually(lambda: is_whole(store))
        assert [node.name for node in store.nodes()] == ["sn-02", "sn-03", "sn-04", "sn-05"]
        assert store.node("sn-05").node.id == victim.id
        eventually(lambda: has_all_copies(store, "outlives a node"))
        assert store.get("outlives a node") == data
