"""`DAME_TLS=1`: Ray's processes speak TLS, and the same commands work."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.compose.conftest import Figures
from tests.compose.engine import Project
from tests.compose.test_strangers import CALLS, answer_to
from tests.compose.test_verbs import same_python
from tests.integration.processes import eventually
from tests.integration.raylets import free_port

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]


def nodes_up(project: Project) -> int:
    done = project.from_head("status", "--json")
    return int(json.loads(done.stdout)["nodes"]["up"]) if done.returncode == 0 else 0


@pytest.fixture(scope="module")
def encrypted(project: Project, tmp_path_factory: pytest.TempPathFactory, figures: Figures) -> Iterator[Project]:
    """A second cluster, of two storage nodes, with that one setting."""
    encrypted = dataclasses.replace(
        project,
        name=f"{project.name}-tls",
        head_port=free_port(),
        client_port=free_port(),
        dashboard_port=free_port(),
        token=tmp_path_factory.mktemp("secrets") / "auth_token",
        settings={"DAME_TLS": "1"},
    )
    try:
        encrypted.up(2)
        eventually(lambda: nodes_up(encrypted) == 2, timeout_s=420, every_s=1)
        encrypted.copy_secret("auth_token", encrypted.token)
        yield encrypted
    finally:
        encrypted.remove()


def test_containers_talk_to_each_other(encrypted: Project) -> None:
    done = encrypted.from_tui("upload", "secret", "said in private", "--replication", "2")
    assert done.returncode == 0, done.stderr.decode()
    assert encrypted.from_head("get", "secret").stdout == b"said in private"


@same_python
def test_a_client_has_a_certificate_and_the_token(encrypted: Project, tmp_path: Path) -> None:
    for name in ("ca.crt", "client.pem"):
        encrypted.copy_secret(name, tmp_path / name)
    client = {
        "RAY_USE_TLS": "1",
        "RAY_TLS_CA_CERT": str(tmp_path / "ca.crt"),
        "RAY_TLS_SERVER_CERT": str(tmp_path / "client.pem"),
        "RAY_TLS_SERVER_KEY": str(tmp_path / "client.pem"),
    }
    done = encrypted.from_host("upload", "from outside", "said in private", "--replication", "2", environment=client)
    assert done.returncode == 0, done.stderr.decode()
    assert encrypted.from_head("get", "from outside").stdout == b"said in private"


def test_nobody_is_answered_without_tls_and_a_certificate(encrypted: Project, tmp_path: Path) -> None:
    token = encrypted.token.read_text().strip()
    encrypted.copy_secret("ca.crt", tmp_path / "ca.crt")
    authority = grpc.ssl_channel_credentials((tmp_path / "ca.crt").read_bytes())
    for port, calls in CALLS.items():
        number = getattr(encrypted, port)
        assert answer_to(number, calls[0], token) is grpc.StatusCode.UNAVAILABLE
        assert answer_to(number, calls[0], token, authority) is grpc.StatusCode.UNAVAILABLE
