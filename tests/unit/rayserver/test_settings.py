"""What a machine is told by its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigurationFailure
from RayServer.settings import settings_of


def test_defaults_are_one_machine_closed_to_others() -> None:
    settings = settings_of({"HOME": "/home/someone"})
    assert settings.head == "127.0.0.1:6379"
    assert (settings.client_port, settings.dashboard_port, settings.dashboard_host) == (10001, 8265, "127.0.0.1")
    assert settings.token_path == Path("/home/someone/.ray/auth_token")
    assert settings.storage_root == Path("/home/someone/.local/share/dame/storage")
    assert settings.ports is None and not settings.tls


def test_what_is_set_is_taken() -> None:
    settings = settings_of(
        {
            "DAME_HEAD": "head.example:7000",
            "DAME_PORTS": "20000-20099",
            "DAME_REPLICA": "auto",
            "DAME_TLS": "1",
            "DAME_TLS_NAMES": "store.example,192.0.2.7",
            "RAY_AUTH_TOKEN_PATH": "/secrets/token",
            "RAY_TMPDIR": "/scratch",
        }
    )
    assert (settings.head_host, settings.gcs_port) == ("head.example", 7000)
    assert settings.ports == (20000, 20099)
    assert settings.replica == "auto"
    assert settings.tls and settings.tls_names == ("store.example", "192.0.2.7")
    assert settings.secrets == Path("/secrets")
    assert settings.ray_directory == Path("/scratch/ray")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DAME_HEAD", "head"),
        ("DAME_HEAD", "head:"),
        ("DAME_HEAD", ":6379"),
        ("DAME_HEAD", "head:70000"),
        ("DAME_CLIENT_PORT", "-1"),
        ("DAME_DASHBOARD_PORT", "http"),
        ("DAME_PORTS", "20000"),
        ("DAME_PORTS", "20000-20010"),
        ("DAME_PORTS", "20099-20000"),
        ("DAME_PORTS", "80-1000"),
        ("DAME_NODE_ADDRESS", "head"),
        ("DAME_OBJECT_STORE_BYTES", "1GiB"),
        ("DAME_REPLICA", "0"),
        ("DAME_REPLICA", "first"),
        ("DAME_TLS", "yes"),
    ],
)
def test_what_can_not_be_meant_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(ConfigurationFailure, match=variable):
        settings_of({variable: text})
