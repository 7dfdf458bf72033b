"""The Docker engine of this machine, and one project of docker-compose.yml on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.processes import ROOT, eventually
from tests.integration.wholeness import tells_of_whole

BASE = "python:3.11-slim-bookworm"
"""What the Dockerfile begins with."""
PYTHON = (3, 11)
IMAGE = "rayserver:test"
"""Stays on the engine, so that the next session finds its layers."""

Done = subprocess.CompletedProcess[bytes]


def run(words: Sequence[str], *, timeout_s: float = 180, stdin: bytes = b"", **options: Any) -> Done:
    return subprocess.run(words, input=stdin, capture_output=True, timeout=timeout_s, check=False, **options)


def docker(*words: str, timeout_s: float = 180) -> bytes:
    """What one command of the engine's client says. It must succeed."""
    done = run(["docker", *words], timeout_s=timeout_s)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr.decode()}"
    return done.stdout


def inspect(name: str) -> Any:
    return json.loads(docker("inspect", name))[0]


def compose_command() -> list[str] | None:
    """Docker Compose as a plugin of the client, or as the older program of its own, or None."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]) and run([*words, "version"]).returncode == 0:
            return words
    return None


def why_not() -> str | None:
    """Why no cluster of containers can be started here, or None if it can."""
    if shutil.which("docker") is None:
        return "there is no docker client"
    try:
        if run(["docker", "version"], timeout_s=30).returncode != 0:
            return "no Docker engine answers"
    except subprocess.TimeoutExpired:
        return "no Docker engine answers within 30 s"
    if compose_command() is None:
        return "there is no Docker Compose"
    if run(["docker", "image", "inspect", BASE]).returncode != 0:
        try:
            pulled = run(["docker", "pull", "--quiet", BASE], timeout_s=600).returncode == 0
        except subprocess.TimeoutExpired:
            pulled = False
        if not pulled:
            return f"the image {BASE} is not here and can't be pulled"
    return None


@dataclass(frozen=True)
class Project:
    """A cluster of containers with names, volumes and published ports of its own."""

    name: str
    head_port: int
    client_port: int
    dashboard_port: int
    token: Path
    """Where a copy of the token is kept for clients on this machine, once there is one."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What differs from .env.example."""

    # --- Compose ------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """This machine's, with the project's settings and no other settings of DAME and Ray."""
        foreign = ("DAME_", "RAY_", "COMPOSE_")
        return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "COMPOSE_PROJECT_NAME": self.name,
            "DAME_IMAGE": IMAGE,
            "DAME_PUBLISH_RAY_PORT": str(self.head_port),
            "DAME_PUBLISH_CLIENT_PORT": str(self.client_port),
            "DAME_PUBLISH_DASHBOARD_PORT": str(self.dashboard_port),
            **self.settings,
        }

    def try_compose(self, *words: str, stdin: bytes = b"", timeout_s: float = 300, cwd: Path = ROOT) -> Done:
        command = compose_command()
        assert command is not None
        return run([*command, *words], stdin=stdin, timeout_s=timeout_s, env=self.environment(), cwd=cwd)

    def compose(self, *words: str, stdin: bytes = b"", timeout_s: float = 300, cwd: Path = ROOT) -> bytes:
        """What one command of Compose says. It must succeed."""
        done = self.try_compose(*words, stdin=stdin, timeout_s=timeout_s, cwd=cwd)
        assert done.returncode == 0, f"compose {' '.join(words)}: {done.stderr.decode()[-4000:]}"
        return done.stdout

    def up(self, nodes: int, *options: str) -> None:
        self.compose("up", "--detach", *options, "--scale", f"storage={nodes}", timeout_s=600)

    def containers(self, service: str) -> list[str]:
        """Names of the service's containers that run, in the order of their numbers."""
        labels = {"project": self.name, "service": service}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        form = '{{.Label "com.docker.compose.container-number"}} {{.Names}}'
        numbered = [line.split() for line in docker("ps", *filters, "--format", form).decode().splitlines()]
        return [name for _, name in sorted(numbered, key=lambda pair: int(pair[0]))]

    @property
    def head(self) -> str:
        (name,) = self.containers("head")
        return name

    # --- DAME in it ---------------------------------------------------------------------------------------------

    def from_tui(self, *words: str, stdin: bytes = b"") -> Done:
        """One verb as a member of the cluster: `docker compose run --rm tui VERB`."""
        return self.try_compose("run", "--rm", "-T", "tui", *words, stdin=stdin)

    def from_head(self, *words: str, stdin: bytes = b"") -> Done:
        """One verb in the head's own container: `docker compose exec head dame VERB`."""
        return self.try_compose("exec", "-T", "head", "dame", *words, stdin=stdin)

    def from_host(self, *words: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Done:
        """One verb of a client on this machine, over ray://."""
        client = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token), **(environment or {})}
        address = f"ray://127.0.0.1:{self.client_port}"
        words = (sys.executable, str(ROOT / "main.py"), "--address", address, *words)
        return run(words, stdin=stdin, env={**self.environment(), **client})

    def ask(self, *words: str) -> Any:
        """What a verb says as JSON, in the head's container. It must succeed."""
        done = self.from_head(*words, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Storage nodes by the names of their containers."""
        return {node["host"]: node for node in self.ask("nodes")}

    def is_whole(self, nodes: int) -> bool:
        """Whether so many storage nodes are up and nothing is missing, short of replicas or being healed."""
        done = self.from_head("status", "--json")
        return done.returncode == 0 and tells_of_whole(json.loads(done.stdout), nodes)

    def wait_until_whole(self, nodes: int) -> None:
        eventually(lambda: self.is_whole(nodes), timeout_s=420, every_s=1)

    def health(self, container: str) -> str:
        return str(inspect(container)["State"]["Health"]["Status"])

    def copy_secret(self, name: str, to: Path) -> None:
        """As README.md tells a newcomer to do with the token."""
        secret = self.compose("exec", "-T", "head", "cat", f"/var/lib/dame/secrets/{name}")
        to.touch(mode=0o600)
        to.write_bytes(secret)

    def remove(self) -> None:
        """Remove everything but the image."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")
