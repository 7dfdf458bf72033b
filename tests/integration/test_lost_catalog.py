"""The disk of the catalog is lost, on real Ray: what was checkpointed comes back from the storage directories alone."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.integration.processes import Up, dame, dame_json, eventually, processes_using

pytestmark = pytest.mark.ray


def kill_everything(up: Up, directory: Path) -> None:
    """SIGKILL for every process of the cluster at once, as a power cut would."""
    for pid in processes_using(directory):
        os.kill(pid, signal.SIGKILL)
    os.killpg(up.process.pid, signal.SIGKILL)
    up.process.communicate()
    eventually(lambda: not processes_using(directory), timeout_s=30)


def test_what_was_checkpointed_survives_the_loss_of_the_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAME_CHECKPOINT_INTERVAL_MS", "2000")
    monkeypatch.setenv("DAME_CHECKPOINT_FIRST_MS", "500")
    directory, content = tmp_path / "data", os.urandom(20_000_000)
    source = tmp_path / "source"
    source.write_bytes(content)
    up = Up(directory)
    try:
        dame_json("upload", "large", "--file", str(source), data_dir=directory)
        dame_json("upload", "text", "one", data_dir=directory)
        dame_json("update", "text", "two", data_dir=directory)
        dame_json("upload", "deleted", "gone", data_dir=directory)
        dame_json("delete", "deleted", data_dir=directory)
        eventually(lambda: dame_json("status", data_dir=directory)["checkpoint_edits_behind"] == 0)
        running = dame("restore-catalog", data_dir=directory)
        assert running.returncode == 1 and b"catalog.sqlite" in running.stderr
        kill_everything(up, directory)

        shutil.rmtree(directory / "namenode")
        refused = dame("list", data_dir=directory)
        assert refused.returncode == 1 and b"`restore-catalog`" in refused.stderr
        told = dame_json("restore-catalog", data_dir=directory)
        assert (told["artifacts"], told["versions"]) == (2, 3)
        assert told["not_found_chunks"] == 0 and told["not_whole"] == []

        up = Up(directory)
        assert dame("get", "large", data_dir=directory).stdout == content
        assert dame("get", "text", "--version", "1", data_dir=directory).stdout == b"one"
        assert dame("get", "text", data_dir=directory).stdout == b"two"
        assert dame_json("undelete", "deleted", data_dir=directory)["version"] == 1
        assert dame_json("upload", "after", "goes on", data_dir=directory)["version"] == 1
        assert dame("delete", "large", data_dir=directory).returncode == 0
        status = dame_json("status", data_dir=directory)
        assert (status["nodes"]["up"], status["missing"], status["artifacts"]) == (4, 0, 3)
        assert status["epoch"] == told["epoch"] + 1
        eventually(lambda: dame_json("status", data_dir=directory)["checkpoint_edits_behind"] == 0)
    finally:
        if up.process.poll() is None:
            up.kill()
