"""What an attendant says of its machine's storage node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.cluster import member
from core.config import Config
from core.errors import NodeNotFound
from core.model import NodeInfo
from RayServer import attendant
from RayServer.attendant import judged, of_directory
from tests.fakes import FakeStore

DIRECTORY = Path("/data/replica-1")


@pytest.fixture
def here() -> NodeInfo:
    return replace(FakeStore().nodes()[0], host="one", name="sn-05", directory=str(DIRECTORY / "slot-0"), state="up")


def seen(*nodes: NodeInfo) -> tuple[bool, str]:
    return judged(of_directory(nodes, "one", DIRECTORY), DIRECTORY)


def test_a_node_whose_disk_was_replaced_says_nothing_of_the_one_that_is_there_now(here: NodeInfo) -> None:
    old = replace(here, id="old", name="sn-01", state="down", heartbeat_age_ms=60_000)
    new = replace(here, id="new", heartbeat_age_ms=500)
    elsewhere = replace(here, name="sn-09", directory="/data/replica-2/slot-0", state="down", heartbeat_age_ms=0)
    assert seen(old, new, elsewhere) == (True, "storage node sn-05 is up")
    assert seen(old) == (False, "storage node sn-01 is down")
    assert seen(elsewhere)[0] is False


def test_each_slot_of_a_machine_must_do_its_work(here: NodeInfo) -> None:
    other = replace(here, id="other", name="sn-06", directory=str(DIRECTORY / "slot-1"), state="down")
    assert seen(here, other) == (False, "storage node sn-05 is up, storage node sn-06 is down")
    assert seen(here, replace(other, state="draining"))[0] is True


def test_all_nodes_are_asked_for_only_until_its_own_is_well(here: NodeInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = {here.id: replace(here, state="down")}
    asked: list[str] = []

    def all_nodes() -> tuple[NodeInfo, ...]:
        asked.append("all")
        return tuple(nodes.values())

    def one_node(node_id: str) -> NodeInfo:
        asked.append(node_id)
        if node_id not in nodes:
            raise NodeNotFound(node_id)
        return nodes[node_id]

    monkeypatch.setattr(member, "storage_nodes", all_nodes)
    monkeypatch.setattr(member, "storage_node", one_node)
    monkeypatch.setattr(attendant, "host_name", lambda: "one")
    looks = attendant._Look("storage", DIRECTORY, Config())
    assert looks.look()[0] is False
    nodes[here.id] = here
    assert looks.look()[0] is True
    assert looks.look()[0] is True
    nodes = {"new": replace(here, id="new")}
    assert looks.look()[0] is False
    assert looks.look()[0] is True
    assert asked == ["all", "all", here.id, here.id, "all"]
