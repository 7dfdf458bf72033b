"""What a machine of the cluster is told, by its environment or by flags that mean the same."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.cluster import OBJECT_STORE_BYTES
from core.errors import ConfigurationFailure

GCS_PORT = 6379
CLIENT_PORT = 10001
DASHBOARD_PORT = 8265

FIXED_PORTS_MIN = 20
"""Fewer than this in DAME_PORTS, and Ray's own processes would leave none for workers."""


@dataclass(frozen=True)
class Settings:
    """Everything that differs between machines. Directories are absolute."""

    head_host: str
    """Where the head is, as this machine calls it."""
    gcs_port: int
    """Of the head, for machines that join."""
    client_port: int
    """Of the head, for clients by ray://."""
    dashboard_host: str
    """Address that Ray's dashboard listens on."""
    dashboard_port: int
    """0 for no dashboard."""
    node_address: str
    """The IP address by which other machines reach this one; empty for Ray's own choice."""
    ports: tuple[int, int] | None
    """First and last of the ports that Ray's processes of this machine listen on, for firewalls; None for any."""
    metrics_port: int
    """Where Prometheus reads Ray's metrics; 0 for any."""
    object_store_bytes: int
    storage_root: Path
    replica: str
    """Which directory under the root a storage machine prefers: a number, `auto` to find it in the container's name,
    or empty for the first that is free."""
    run_directory: Path
    """What only matters while the machine runs: the state that `health` reads, certificates."""
    ray_directory: Path
    """Ray's sessions, with its sockets and logs. The path must be short, for sockets have short names."""
    token_path: Path
    tls: bool
    """Whether Ray's processes know each other by certificates, and encrypt what they say."""
    tls_names: tuple[str, ...]
    """Names and addresses by which clients call this machine, beside those that it knows of itself."""

    @property
    def head(self) -> str:
        return f"{self.head_host}:{self.gcs_port}"

    @property
    def secrets(self) -> Path:
        """The token's directory; certificates are made from the authority that lies there."""
        return self.token_path.parent


def settings_of(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises ConfigurationFailure, naming the variable."""
    host, gcs_port = _head(environment.get("DAME_HEAD") or f"127.0.0.1:{GCS_PORT}")
    home = Path(environment.get("HOME") or "/")
    return Settings(
        head_host=host,
        gcs_port=gcs_port,
        client_port=_number(environment, "DAME_CLIENT_PORT", CLIENT_PORT, 65_535),
        dashboard_host=environment.get("DAME_DASHBOARD_HOST") or "127.0.0.1",
        dashboard_port=_number(environment, "DAME_DASHBOARD_PORT", DASHBOARD_PORT, 65_535),
        node_address=_address(environment.get("DAME_NODE_ADDRESS") or ""),
        ports=_ports(environment.get("DAME_PORTS") or ""),
        metrics_port=_number(environment, "DAME_METRICS_PORT", 0, 65_535),
        object_store_bytes=_number(environment, "DAME_OBJECT_STORE_BYTES", OBJECT_STORE_BYTES, 1 << 60),
        storage_root=Path(environment.get("DAME_STORAGE_DIR") or home / ".local/share/dame/storage").absolute(),
        replica=_replica(environment.get("DAME_REPLICA") or ""),
        run_directory=Path(environment.get("DAME_RUN_DIR") or "/tmp/dame").absolute(),
        ray_directory=Path(environment.get("RAY_TMPDIR") or "/tmp").absolute() / "ray",
        token_path=Path(environment.get("RAY_AUTH_TOKEN_PATH") or home / ".ray/auth_token").absolute(),
        tls=_switch(environment, "DAME_TLS"),
        tls_names=tuple(filter(None, (environment.get("DAME_TLS_NAMES") or "").split(","))),
    )


def _head(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigurationFailure(f"DAME_HEAD (or --head) is {text!r}; write HOST:PORT, such as head:{GCS_PORT}.")
    return host, int(port)


def _number(environment: Mapping[str, str], variable: str, default: int, largest: int) -> int:
    text = environment.get(variable) or str(default)
    if not (text.isascii() and text.isdecimal() and int(text) <= largest):
        raise ConfigurationFailure(f"{variable} is {text!r}; give a whole number from 0 to {largest}, or unset it.")
    return int(text)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise ConfigurationFailure(f"DAME_NODE_ADDRESS is {text!r}; give an IP address, or unset it.") from None


def _ports(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    numbers = [int(part) for part in text.split("-") if part.isascii() and part.isdecimal()]
    if len(numbers) == 2 and 1024 <= numbers[0] <= numbers[1] - FIXED_PORTS_MIN + 1 and numbers[1] < 65_536:
        return numbers[0], numbers[1]
    raise ConfigurationFailure(
        f"DAME_PORTS is {text!r}; give a range of at least {FIXED_PORTS_MIN} ports such as 20000-20099, or unset it."
    )


def _replica(text: str) -> str:
    if text and text != "auto" and not (text.isascii() and text.isdecimal() and int(text)):
        raise ConfigurationFailure(f"DAME_REPLICA is {text!r}; give a number from 1 on, `auto`, or unset it.")
    return text


def _switch(environment: Mapping[str, str], variable: str) -> bool:
    text = environment.get(variable) or "0"
    if text not in ("0", "1"):
        raise ConfigurationFailure(f"{variable} is {text!r}; give 1 or 0.")
    return text == "1"
