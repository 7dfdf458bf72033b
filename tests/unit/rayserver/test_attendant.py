"""What an attendant says of its machine's storage node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from RayServer.attendant import _of_storage
from tests.fakes import FakeStore

DIRECTORY = Path("/data/replica-1")


def test_a_node_whose_disk_was_replaced_says_nothing_of_the_one_that_is_there_now() -> None:
    node = FakeStore().nodes()[0]
    here = replace(node, host="one", directory=str(DIRECTORY / "slot-0"))
    old = replace(here, id="old", name="sn-01", state="down", heartbeat_age_ms=60_000)
    new = replace(here, id="new", name="sn-05", state="up", heartbeat_age_ms=500)
    elsewhere = replace(here, name="sn-09", directory="/data/replica-2/slot-0", state="down", heartbeat_age_ms=0)
    assert _of_storage([old, new, elsewhere], "one", DIRECTORY) == (True, "storage node sn-05 is up")
    assert _of_storage([old], "one", DIRECTORY) == (False, "storage node sn-01 is down")
    assert _of_storage([elsewhere], "one", DIRECTORY)[0] is False
