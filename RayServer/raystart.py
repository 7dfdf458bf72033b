"""The command `ray start` for each part that a machine can have, and the environment of Ray's processes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from core.cluster import KEPT_HEAD, RAY_ENVIRONMENT, STORAGE_SLOT, with_this_code
from RayServer.settings import Settings

RAY_SETTINGS = {  # beside RAY_ENVIRONMENT, which this process has in its own environment already
    # Ray would wait for the work on a machine that ends to move elsewhere; storage nodes stay where their disks are.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
}


@dataclass(frozen=True)
class Part:
    """What a machine does in the cluster."""

    role: str
    """`head`, `storage` or `run`."""
    resources: Mapping[str, int] = field(default_factory=dict)
    """What Ray is told that it has; DAME's actors ask for these."""


HEAD = Part("head", {KEPT_HEAD: 1})
STORAGE = Part("storage", {STORAGE_SLOT: 1})
MEMBER = Part("run")


def storage_part(slots: int) -> Part:
    """A storage machine with several storage nodes, as `ray start` alone may have left one."""
    return replace(STORAGE, resources={STORAGE_SLOT: slots})


def ray_start(part: Part, settings: Settings) -> list[str]:
    """The command that starts Ray's processes and stays, until one of them ends."""
    words = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=0", "--num-gpus=0"),
        f"--temp-dir={settings.ray_directory}",
        f"--object-store-memory={settings.object_store_bytes}",
        f"--resources={json.dumps(dict(part.resources))}",
        *_ports(settings),
    ]
    if settings.node_address:
        words.append(f"--node-ip-address={settings.node_address}")
    if part is not HEAD:
        return [*words, f"--address={settings.head}"]
    dashboard = settings.dashboard_port != 0
    return [
        *words,
        "--head",
        f"--port={settings.gcs_port}",
        f"--ray-client-server-port={settings.client_port}",
        f"--include-dashboard={str(dashboard).lower()}",
        *((f"--dashboard-host={settings.dashboard_host}", f"--dashboard-port={settings.dashboard_port}") * dashboard),
    ]


def _ports(settings: Settings) -> list[str]:
    """Where this machine's own processes listen; 0 is any port, which lets several such machines be one."""
    first, last = settings.ports or (0, 0)
    fixed = [first + index if first else 0 for index in range(6)]
    flags = ("node-manager", "object-manager", "dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent")
    return [
        *(f"--{flag}-port={port}" for flag, port in zip(flags, fixed, strict=False)),
        *([f"--metrics-export-port={port}"] if (port := settings.metrics_port or fixed[5]) else []),
        f"--min-worker-port={first + 6 if first else 0}",
        f"--max-worker-port={last}",
    ]


def ray_environment(settings: Settings, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What Ray's processes and all that call them need to know. The token is named by its file, never by itself."""
    environment = {**RAY_ENVIRONMENT, **RAY_SETTINGS, **inherited}
    if not environment.get("RAY_AUTH_TOKEN"):
        environment["RAY_AUTH_TOKEN_PATH"] = str(settings.token_path)
    environment["PYTHONPATH"] = with_this_code(environment.get("PYTHONPATH", ""))
    return environment
