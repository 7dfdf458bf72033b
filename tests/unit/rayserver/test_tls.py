"""Certificates, tried by real handshakes in memory."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from RayServer import tls
from RayServer.secrets import AUTHORITY, has_authority
from RayServer.settings import Settings, settings_of


@pytest.fixture
def machine(tmp_path: Path) -> Settings:
    for name in ("secrets", "run"):
        (tmp_path / name).mkdir()
    return _machine(tmp_path, tmp_path / "secrets")


def _machine(directory: Path, secrets: Path) -> Settings:
    return settings_of(
        {
            "RAY_AUTH_TOKEN_PATH": str(secrets / "auth_token"),
            "DAME_RUN_DIR": str(directory / "run"),
            "DAME_HEAD": "127.0.0.1:7000",
            "DAME_TLS_NAMES": "store.example",
        }
    )


def _shake_hands(server_pem: Path, client_pem: Path | None, authority: Path, name: str) -> None:
    """As Ray does it: each side shows a certificate and checks the other's. Raises ssl.SSLError."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_pem)
    server.load_verify_locations(authority)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(authority))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    if client_pem is not None:
        client.load_cert_chain(client_pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done: set[int] = set()
    for turn in range(20):
        try:
            sides[turn % 2].do_handshake()
            done.add(turn % 2)
        except ssl.SSLWantReadError:
            continue
        if len(done) == 2:
            return
    raise AssertionError("the handshake does not end")


def test_machines_know_each_other_by_every_name_they_have(machine: Settings) -> None:
    assert tls.make_authority(machine.secrets) and not tls.make_authority(machine.secrets)
    assert has_authority(machine.secrets)
    told = tls.certify(machine)
    own = Path(told["RAY_TLS_SERVER_CERT"])
    assert own.stat().st_mode & 0o077 == 0
    authority = Path(told["RAY_TLS_CA_CERT"])
    for name in ("127.0.0.1", "localhost", "store.example"):
        _shake_hands(own, own, authority, name)
        _shake_hands(own, machine.secrets / tls.CLIENT, authority, name)


def test_a_stranger_is_refused(machine: Settings, tmp_path: Path) -> None:
    tls.make_authority(machine.secrets)
    own = Path(tls.certify(machine)["RAY_TLS_SERVER_CERT"])
    authority = machine.secrets / AUTHORITY
    with pytest.raises(ssl.SSLError):
        _shake_hands(own, None, authority, "localhost")

    (tmp_path / "other" / "run").mkdir(parents=True)
    other = _machine(tmp_path / "other", tmp_path / "other" / "secrets")
    tls.make_authority(other.secrets)
    with pytest.raises(ssl.SSLError):
        _shake_hands(own, Path(tls.certify(other)["RAY_TLS_SERVER_CERT"]), authority, "localhost")


def test_a_name_that_is_not_the_machine_s_is_refused(machine: Settings) -> None:
    tls.make_authority(machine.secrets)
    own = Path(tls.certify(machine)["RAY_TLS_SERVER_CERT"])
    with pytest.raises(ssl.SSLError, match="mismatch"):
        _shake_hands(own, own, machine.secrets / AUTHORITY, "elsewhere.example")
