"""A cluster of containers moves to the machine's own network, where others join it, as docs/OPERATIONS.md tells."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose.conftest import NODES, Cluster
from tests.compose.engine import IMAGE, Project, docker, run
from tests.integration.processes import ROOT, eventually
from tests.integration.raylets import free_port

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(900)]

USER = 10001
"""Of the image."""


OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()


def on_host() -> list[str]:
    """The options that the document puts into ON_HOST first, for any cluster."""
    return OPERATIONS.partition('ON_HOST="')[2].partition('"')[0].split()


def test_with_tls_the_document_tells_a_container_what_compose_tells_it() -> None:
    given = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-environment"]
    told = dict(re.findall(r"--env (\w+)=([^\s\"]+)", OPERATIONS))
    assert told.pop("DAME_TLS") == told.pop("RAY_USE_TLS") == "1"
    assert told == {name: value for name, value in given.items() if name.startswith("RAY_TLS_")}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, *words: str) -> str:
    container = docker("run", *on_host(), *words).decode().strip()
    stack.callback(docker, "rm", "--force", container)
    return container


def ask(head: str, port: int, *words: str) -> Any:
    done = run(["docker", "exec", head, "dame", "--address", f"127.0.0.1:{port}", *words, "--json"])
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_a_cluster_moves_to_the_host_network_and_a_machine_joins(
    cluster: Cluster, stack: ExitStack, tmp_path: Path
) -> None:
    project = cluster.project
    known = {node["id"] for node in project.nodes().values()}
    project.compose("down")
    port, secrets = free_port(), volume(project, "secrets")
    ports = ("DAME_HEAD", f"127.0.0.1:{port}"), ("DAME_CLIENT_PORT", str(free_port())), ("DAME_DASHBOARD_PORT", "0")
    others = [word for name, value in ports for word in ("-e", f"{name}={value}")]  # those of the document may be taken
    head = start(stack, *others, "-v", volume(project, "namenode"), "-v", secrets, IMAGE, "head")
    for _ in range(NODES):
        start(
            stack,
            "-v",
            volume(project, "storage"),
            "-v",
            f"{secrets}:ro",
            IMAGE,
            "storage",
            "--head",
            f"127.0.0.1:{port}",
        )
    eventually(lambda: up(ask(head, port, "status")) == NODES, timeout_s=300, every_s=1)

    (tmp_path / "secrets").mkdir()
    token = docker("exec", head, "cat", "/var/lib/dame/secrets/auth_token")
    (tmp_path / "secrets" / "auth_token").write_bytes(token)
    (tmp_path / "storage").mkdir()
    for path in (tmp_path / "storage", tmp_path / "secrets", tmp_path / "secrets" / "auth_token"):
        shutil.chown(path, USER, USER)
    (tmp_path / "secrets" / "auth_token").chmod(0o600)
    tmp_path.chmod(0o755)
    newcomer = start(
        stack, "-v", f"{tmp_path}/storage:/var/lib/dame/storage", "-v", f"{tmp_path}/secrets:/var/lib/dame/secrets:ro",
        IMAGE, "storage", "--head", f"127.0.0.1:{port}",
    )  # fmt: skip
    eventually(lambda: up(ask(head, port, "status")) == NODES + 1, timeout_s=120, every_s=1)
    for name, data in cluster.stored.items():
        done = run(["docker", "exec", head, "dame", "--address", f"127.0.0.1:{port}", "get", name])
        assert done.stdout == data, f"{name} is not what was stored"
    (joined,) = [node["id"] for node in ask(head, port, "nodes") if node["id"] not in known]
    assert ask(head, port, "drain", joined)
    eventually(lambda: ask(head, port, "node", joined)["state"] == "drained", timeout_s=120, every_s=1)
    docker("stop", newcomer)
    eventually(lambda: ask(head, port, "node", joined)["state"] == "down", every_s=1)
    assert ask(head, port, "forget", joined)


def volume(project: Project, name: str) -> str:
    return f"{project.name}_{name}:/var/lib/dame/{name}"


def up(status: Any) -> int:
    return int(status["nodes"]["up"]) if status else 0
