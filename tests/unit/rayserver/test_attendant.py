"""What an attendant says of its machine's storage nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.model import NodeInfo
from RayServer.attendant import judged
from tests.fakes import FakeStore

DIRECTORY = Path("/data/replica-1")


def node(directory: Path, slot: int = 0, **changes: object) -> NodeInfo:
    here = replace(FakeStore().nodes()[0], name="sn-05", directory=str(directory / f"slot-{slot}"), state="up")
    return replace(here, **changes)  # type: ignore[arg-type]


def test_a_node_whose_disk_was_replaced_says_nothing_of_the_one_that_is_there_now() -> None:
    old = node(DIRECTORY, id="old", name="sn-01", state="down", heartbeat_age_ms=60_000)
    new = node(DIRECTORY, id="new", heartbeat_age_ms=500)
    elsewhere = node(Path("/data/replica-2"), name="sn-09", state="down", heartbeat_age_ms=0)
    assert judged([old, new, elsewhere], DIRECTORY) == (True, "storage node sn-05 is up")
    assert judged([old], DIRECTORY) == (False, "storage node sn-01 is down")
    assert judged([elsewhere], DIRECTORY)[0] is False


def test_each_slot_of_a_machine_must_be_known_and_do_its_work(tmp_path: Path) -> None:
    for slot in ("slot-0", "slot-1"):
        (tmp_path / slot).mkdir()
    first = node(tmp_path)
    assert judged([first], tmp_path) == (False, f"the NameNode knows 1 of 2 storage nodes in {tmp_path} yet")
    second = node(tmp_path, 1, id="other", name="sn-06", state="down")
    assert judged([first, second], tmp_path) == (False, "storage node sn-05 is up, storage node sn-06 is down")
    assert judged([first, replace(second, state="draining")], tmp_path)[0] is True
