"""The embedded cluster as processes: joined by others, stopped, killed as a whole, started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.processes import (
    ROOT,
    Up,
    assert_same,
    child_of,
    dame,
    dame_json,
    eventually,
    fetch,
    processes_using,
)

pytestmark = pytest.mark.ray

StartUp = Callable[..., Up]


@pytest.fixture
def start_up() -> Iterator[StartUp]:
    """Starts `main.py up`; what still runs at the end of the test is killed."""
    started: list[Up] = []

    def start(data_dir: Path, *options: str) -> Up:
        started.append(Up(data_dir, *options))
        return started[-1]

    yield start
    for up in started:
        if up.process.poll() is None:
            up.kill()


def test_everything_is_back_after_a_stop_and_after_a_kill(tmp_path: Path, start_up: StartUp) -> None:
    directory = tmp_path / "data"
    binary = bytes(range(256)) * 5000
    source = tmp_path / "source"
    source.write_bytes(binary)

    up = start_up(directory, "--nodes", "3")
    assert dame_json("upload", "text", "hello", data_dir=directory)["version"] == 1
    assert (
        dame_json("upload", "binary", "--file", str(source), "--chunk-size", "100000", data_dir=directory)["chunks"]
        == 13
    )
    assert dame_json("update", "text", "hello again", data_dir=directory)["version"] == 2
    assert up.stop() == 0
    eventually(lambda: not processes_using(directory), timeout_s=20)

    up = start_up(directory)
    assert dame_json("status", data_dir=directory)["nodes"]["up"] == 3, "as many nodes as there are directories"
    assert_same(fetch("binary", data_dir=directory), binary)
    up.kill()

    up = start_up(directory)
    assert fetch("text", "--version", "1", data_dir=directory) == b"hello"
    assert fetch("text", data_dir=directory) == b"hello again"
    assert [row["name"] for row in dame_json("list", data_dir=directory)] == ["binary", "text"]
    assert {row["health"] for row in dame_json("list", data_dir=directory)} == {"ok"}
    os.killpg(up.process.pid, signal.SIGKILL)
    up.process.communicate()

    assert_same(fetch("binary", data_dir=directory), binary)
    eventually(lambda: not processes_using(directory), timeout_s=20)


def test_up_starts_ray_again_when_its_head_is_killed(tmp_path: Path, start_up: StartUp) -> None:
    directory = tmp_path / "data"
    up = start_up(directory, "--nodes", "1")
    assert dame("upload", "kept", "content", data_dir=directory).returncode == 0
    os.kill(child_of(up.process.pid, "gcs_server"), signal.SIGKILL)
    eventually(lambda: dame("get", "kept", data_dir=directory).stdout == b"content", timeout_s=120)
    assert up.process.poll() is None
    assert dame_json("status", data_dir=directory)["epoch"] == 2
    assert up.stop() == 0
    eventually(lambda: not processes_using(directory), timeout_s=20)


def test_a_catalog_that_is_gone_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    assert dame("--nodes", "1", "upload", "precious", "content", data_dir=directory).returncode == 0
    for path in (directory / "namenode").iterdir():
        path.unlink()
    refused = dame("list", data_dir=directory)
    assert refused.returncode == 1
    assert b"is gone" in refused.stderr and b"`restore-catalog`" in refused.stderr


def test_one_node_is_a_cluster_with_a_warning(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    done = dame("--nodes", "1", "upload", "lonely", "content", data_dir=tmp_path / "data", environment=home)
    assert done.returncode == 0
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600, "the token is its owner's alone"
    assert b"1" in done.stderr and b"cop" in done.stderr, done.stderr
    refused = dame("upload", "greedy", "content", "--replication", "5", data_dir=tmp_path / "data")
    assert refused.returncode == 1
    assert dame("get", "greedy", data_dir=tmp_path / "data").returncode == 1


def test_a_cancelled_upload_leaves_nothing(tmp_path: Path, start_up: StartUp) -> None:
    directory = tmp_path / "data"
    up = start_up(directory, "--nodes", "3")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), "--data-dir", str(directory), "upload", "never", "--file", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(os.urandom(20_000_000))
    process.stdin.flush()
    eventually(lambda: any(directory.glob("storage/slot-*/chunks/*/*")))
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    process.stdin.close()
    process.stdin = None
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told.decode()
    assert json.loads(dame("list", "--json", data_dir=directory).stdout) == []
    assert up.stop() == 0
