"""What can be gathered without a cluster, from a real disk and real sockets."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from core.config import Config
from core.directory import is_in_use, lock_directory
from core.doctor import gather
from core.doctor.facts import Port
from tests.inprocess import Cluster


@pytest.mark.parametrize(
    ("content", "mode", "state"), [(None, 0, "missing"), (b" \n", 0o600, "empty"), (b"secret\n", 0o640, "there")]
)
def test_the_token_in_the_home_directory(tmp_path: Path, content: bytes | None, mode: int, state: str) -> None:
    path = tmp_path / ".ray" / "auth_token"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
        path.chmod(mode)
    token = gather.token_facts({}, tmp_path)
    assert (token.mode, token.source, token.state, token.named) == ("token", str(path), state, False)
    assert token.permissions == (mode or None)


def test_a_token_that_the_environment_names(tmp_path: Path) -> None:
    named = gather.token_facts({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}, tmp_path)
    assert (named.source, named.state, named.named) == (str(tmp_path / "none"), "missing", True)
    value = gather.token_facts({"RAY_AUTH_TOKEN": "x", "RAY_AUTH_TOKEN_PATH": "/none"}, tmp_path)
    assert (value.source, value.state) == ("RAY_AUTH_TOKEN", "there")
    assert gather.token_facts({"RAY_AUTH_MODE": "Disabled"}, tmp_path).mode == "disabled"


def test_what_there_is_to_knock_at() -> None:
    def of(address: str, embedded: bool = False) -> list[tuple[int, bool]]:
        return [(port.port, port.needed) for port in gather.head_ports(address, embedded)]

    assert of("ray://head:10002") == [(10002, True), (6379, False), (8265, False)]
    assert of("head:6380") == [(6380, True), (10001, False), (8265, False)]
    assert of("127.0.0.1:4711", embedded=True) == [(4711, True)]
    assert of("auto") == of("") == []


def test_knocking() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answers = Port("a", "127.0.0.1", server.getsockname()[1], True)
        refuses = Port("b", "127.0.0.1", unused.getsockname()[1], True)
        found = gather.knocked([answers, refuses])
    assert [port.trouble for port in found] == ["", "connection refused"]


def test_the_directories_of_a_cluster(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, Config(), count=2)
    try:
        found = gather.directories(tmp_path / "namenode", tmp_path)
        assert [(each.kind, Path(each.path).name) for each in found] == [
            ("namenode", "namenode"), ("storage", "slot-0"), ("storage", "slot-1"),
        ]  # fmt: skip
        assert {each.cluster_id for each in found} == {cluster.namenode.status(cluster.now_ms).cluster_id}
        assert all(each.in_use and each.disk and not each.trouble for each in found)
        assert {each.epoch for each in found} == {1}
    finally:
        cluster.close()
    found = gather.directories(tmp_path / "namenode", tmp_path)
    assert not any(each.in_use for each in found)
    assert len({each.node_id for each in found[1:]}) == 2


def test_directories_of_several_nodes_under_one_root_and_one_that_is_broken(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "made", Config(), count=1)
    cluster.close()
    shutil.copytree(tmp_path / "made" / "slot-0", tmp_path / "root" / "replica-2" / "slot-0")
    broken = tmp_path / "root" / "replica-3" / "slot-0"
    broken.mkdir(parents=True)
    (broken / "identity.json").write_text("{")
    found = gather.directories(None, tmp_path / "root")
    assert [bool(each.trouble) for each in found] == [False, True]
    assert gather.directories(tmp_path / "none", tmp_path / "none") == ()


def test_whether_a_directory_is_in_use(tmp_path: Path) -> None:
    assert not is_in_use(tmp_path), "nobody ever locked it"
    lock = lock_directory(tmp_path)
    assert is_in_use(tmp_path)
    lock.release()
    assert not is_in_use(tmp_path)
    lock_directory(tmp_path).release()


def test_an_embedded_cluster_runs_starts_or_is_stopped(tmp_path: Path) -> None:
    assert gather.running_session(tmp_path / "run") is None
    run = tmp_path / "run"
    run.mkdir()
    session = run / "session.json"
    session.write_text(json.dumps({"address": "127.0.0.1:4711", "pid": 1}))
    assert gather.running_session(run) is None, "it is of a process that was killed"
    lock = lock_directory(run)
    try:
        assert gather.running_session(run) == "127.0.0.1:4711"
        session.unlink()
        assert gather.running_session(run) == ""
    finally:
        lock.release()


def test_this_process() -> None:
    here = gather.process_facts("2.60.0")
    assert (here.ray, here.directory, here.disk) == ("2.60.0", "", None)
    assert abs(here.clock_ms - gather.wall_ms()) < 60_000
    assert gather.space(Path("/none/at/all")) is None
