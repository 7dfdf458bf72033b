"""The head is killed, and before Ray is started again the storage directories change places, are copied and emptied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import assert_same, dame, eventually, fetch
from tests.integration.raylets import ON_LOOPBACK, Raylets, ask
from tests.integration.wholeness import KIB, content

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

KEPT = content(50, 640 * KIB)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_directories_keep_who_they_are(tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the head all of Ray is gone; whatever new raylets the directories are given to, they are the same store."""
    monkeypatch.setenv("DAME_SAFE_MODE_MS", "5000")  # the node whose directory is emptied is waited for as long
    disks = [tmp_path / f"disk-{number}" for number in range(4)]
    source = tmp_path / "kept"
    source.write_bytes(KEPT)
    before = Raylets(tmp_path / "namenode")
    stack.callback(before.end)
    for disk in disks[:3]:
        before.add(disk)
    eventually(lambda: ask(before.address, "status")["nodes"]["up"] == 3)
    ask(before.address, "upload", "kept", "--file", str(source), "--chunk-size", "65536")
    before.kill_head()
    refused = dame("--address", before.address, "list", environment=ON_LOOPBACK)
    assert refused.returncode == 1 and b"Traceback" not in refused.stderr
    before.end()

    known = [identity(disk)["node_id"] for disk in disks[:3]]
    swap(disks[0], disks[1])
    shutil.copytree(disks[0], disks[3])
    shutil.rmtree(disks[2])

    after = Raylets(tmp_path / "namenode")
    stack.callback(after.end)
    for disk in disks:
        after.add(disk)
    eventually(lambda: ask(after.address, "status")["nodes"]["up"] == 3)
    nodes = {node["id"]: node for node in ask(after.address, "nodes")}
    assert nodes[known[0]]["directory"].startswith(str(disks[1])), "a directory is the node that it was"
    assert nodes[known[1]]["directory"].startswith((str(disks[0]), str(disks[3]))), "a copy or its original, not both"
    newcomer = next(node for node in nodes.values() if node["directory"].startswith(str(disks[2])))
    assert newcomer["id"] not in known, "an emptied directory is a new node"
    assert nodes[known[2]]["state"] in ("suspect", "down"), "and the one that was there is missed"
    eventually(lambda: any("is a copy of" in event["text"] for event in ask(after.address, "events")))

    eventually(lambda: ask(after.address, "status")["under_replicated"] == 0)
    chunks = ask(after.address, "info", "kept")["chunks"]
    assert all(set(chunk["replicas"]) == {known[0], known[1], newcomer["id"]} for chunk in chunks)
    assert_same(fetch("kept", "--address", after.address, environment=ON_LOOPBACK), KEPT)
    assert ask(after.address, "status")["epoch"] == 2


def identity(disk: Path) -> Any:
    return json.loads((disk / "slot-0" / "identity.json").read_bytes())


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
