"""Somebody puts an older copy of the catalog's directory back, on real Ray: two NameNodes claim the same storage nodes.

The nodes obey the one they met last, the other one finds out and changes nothing; with the right catalog in its place
again everything is there.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.integration.processes import Up, assert_same, dame, dame_json, eventually, fetch, namenode_pid
from tests.integration.wholeness import KIB, content

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

STARTS = 3
"""Of the right NameNode, after the copy was made."""


def upload(directory: Path, name: str, data: bytes) -> None:
    source = directory.with_name("source")
    source.write_bytes(data)
    dame_json("upload", name, "--file", str(source), "--chunk-size", "65536", data_dir=directory)


def replicas(directory: Path) -> dict[str, bytes]:
    """The files of all chunks."""
    found = (path for path in (directory / "storage").glob("slot-*/chunks/**/*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def kill_namenode(directory: Path) -> None:
    """Ray starts it again."""
    os.kill(namenode_pid(directory), signal.SIGKILL)


def store_over_some_starts(directory: Path) -> dict[str, bytes]:
    """Something is stored by each of some NameNodes, one after the other."""
    stored = {f"after-{number}": content(70 + number, 200 * KIB) for number in range(STARTS)}
    up = Up(directory)
    try:
        for number, (name, data) in enumerate(stored.items()):
            if number:
                kill_namenode(directory)
            upload(directory, name, data)
        eventually(lambda: dame_json("status", data_dir=directory)["under_replicated"] == 0, every_s=1)
    finally:
        up.stop()
    return stored


def exchange(directory: Path, copy: Path) -> None:
    aside = copy.with_name("aside")
    (directory / "namenode").rename(aside)
    copy.rename(directory / "namenode")
    aside.rename(copy)


def test_nobody_obeys_an_older_copy_and_it_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, copy = tmp_path / "data", tmp_path / "copy"
    stored = {"before": content(69, 200 * KIB)}
    up = Up(directory)
    try:
        upload(directory, "before", stored["before"])
    finally:
        up.stop()
    shutil.copytree(directory / "namenode", copy)
    stored |= store_over_some_starts(directory)

    exchange(directory, copy)
    assert b"is an older copy" in dame("doctor", "--json", data_dir=directory).stdout
    before = replicas(directory)
    with monkeypatch.context() as hasty:
        for name in ("SAFE_MODE_MS", "GARBAGE_GRACE_MS", "UNKNOWN_GRACE_MS"):
            hasty.setenv(f"DAME_{name}", "1000")  # it would have removed by now what it does not know
        up = Up(directory)
        try:
            refused = dame("upload", "under-the-copy", "text", data_dir=directory)
            assert refused.returncode != 0
            assert b"is an older copy" in refused.stderr
            deleting = dame("delete", "before", data_dir=directory)
            assert deleting.returncode != 0
            status = dame_json("status", data_dir=directory)
            assert "put the right catalog back" in status["read_only"]
            assert status["epoch"] == 2
        finally:
            up.stop()
    assert replicas(directory) == before, "nothing came and nothing went"

    exchange(directory, copy)
    up = Up(directory)
    try:
        for name, data in stored.items():
            assert_same(fetch(name, data_dir=directory), data)
        status = dame_json("status", data_dir=directory)
        assert (status["read_only"], status["epoch"], status["artifacts"]) == ("", 2 + STARTS, len(stored))
        assert (status["nodes"]["up"], status["missing"], status["under_replicated"]) == (4, 0, 0)
        assert dame_json("fsck", data_dir=directory)["clean"]
    finally:
        up.stop()
