"""Machines of a cluster as processes of one: each is the entry point's own command, with directories of its own."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from RayServer import condition
from tests.integration.processes import ROOT, dame, dame_json, eventually
from tests.integration.terminal import Terminal
from tests.integration.wholeness import tells_of_whole

ENTRY_POINT = (sys.executable, "-m", "RayServer")


def lasting_port() -> int:
    """A free port that no other process is given by chance, while whoever listens on it is killed and comes back.

    Below those that the kernel hands out, and clear of those that Ray's client server takes for its own processes.
    """
    while True:
        port = random.randrange(24_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def entry_point(*words: str, environment: dict[str, str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `python -m RayServer ...` to its end."""
    return subprocess.run(
        [*ENTRY_POINT, *words],
        input=stdin,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=180,
        check=False,
    )


class Machine:
    """`python -m RayServer ...`, from its start to its stop; and from another start on."""

    def __init__(self, role: str, directory: Path, environment: dict[str, str]) -> None:
        self.role = role
        self.directory = directory
        self.environment = environment
        directory.mkdir()
        self.process = self._started()

    @property
    def name(self) -> str:
        return self.directory.name

    def start_again(self) -> None:
        """After `stop` or `kill`, on the same directories."""
        assert self.process.poll() is not None
        self._condition.unlink(missing_ok=True)  # a killed one leaves it, and would seem well at once
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [*ENTRY_POINT, self.role],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def well(self) -> bool:
        """What `health` says, without a process for it."""
        try:
            return condition.believed(condition.read(self._condition)).well
        except FileNotFoundError:
            return False

    @property
    def _condition(self) -> Path:
        return self.directory / "run" / self.role / condition.FILE_NAME

    def health(self) -> int:
        """The exit code of the command itself."""
        return entry_point("health", environment=self.environment).returncode

    def kill_below(self) -> None:
        """SIGKILL all that the keeper started, at once: Ray's processes, the actors, the attendant."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and (stat := _stat(entry)):
                children.setdefault(int(stat[1]), []).append(int(entry.name))
        waiting = [self.process.pid]
        while waiting:
            for pid in children.get(waiting.pop(), []):
                waiting.append(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """SIGKILL all of it, as `docker kill` does. The keeper starts nothing again meanwhile."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
        kill_living(self.environment)
        self.process.wait(60)

    def living(self) -> list[int]:
        return living(self.environment)


def living(environment: Mapping[str, str]) -> list[int]:
    """All processes that a machine's environment was handed down to."""
    mark = f"DAME_RUN_DIR={environment['DAME_RUN_DIR']}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                told = (entry / "environ").read_bytes().split(b"\0")
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
            if mark in told:
                found.append(int(entry.name))
    return found


def kill_living(environment: Mapping[str, str]) -> None:
    """Until none is left: one of them may just have started another."""
    while pids := living(environment):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _stat(entry: Path) -> list[str]:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class Machines:
    """A cluster of them under one directory, with ports that nobody else has."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.ray_directory = Path(tempfile.mkdtemp(prefix="dame-"))
        """Short, for the names of sockets are."""
        self.port, self.client_port, self.dashboard_port = lasting_port(), lasting_port(), lasting_port()
        self.head_address = f"127.0.0.1:{self.port}"
        self.client_address = f"ray://127.0.0.1:{self.client_port}"
        self.token_path = directory / "secrets" / "auth_token"
        self.environment = {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # off in a process that runs an embedded cluster
            "SPT_NOENV": "1",  # Ray's workers and agents take new titles, which would wipe out what `living` looks for
            "RAY_AUTH_TOKEN": "",
            "RAY_AUTH_TOKEN_PATH": str(self.token_path),
            "DAME_HEAD": self.head_address,
            "DAME_CLIENT_PORT": str(self.client_port),
            "DAME_DASHBOARD_PORT": str(self.dashboard_port),
            "DAME_NAMENODE_DIR": str(directory / "namenode"),
            "DAME_STORAGE_DIR": str(directory / "storage"),
            "DAME_OBJECT_STORE_BYTES": str(100 * 1024 * 1024),
            **settings,
        }
        self.started: list[Machine] = []

    @property
    def head(self) -> Machine:
        return self.of("head")[0]

    def of(self, role: str) -> list[Machine]:
        """Those that run, in the order in which they were started first."""
        return [machine for machine in self.started if machine.role == role and machine.process.poll() is None]

    def start(self, role: str, name: str, **settings: str) -> Machine:
        self.started.append(Machine(role, self.directory / name, {**self.environment_of(name), **settings}))
        return self.started[-1]

    def environment_of(self, name: str) -> dict[str, str]:
        """What a machine of this name is told."""
        return {
            **self.environment,
            "RAY_TMPDIR": str(self.ray_directory / name),
            "DAME_RUN_DIR": str(self.directory / name / "run"),
            "DAME_HOST": name,
        }

    def from_member(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A verb, from one more machine that joins for it."""
        return entry_point("run", *words, environment=self.environment_of("member"), stdin=stdin)

    def from_client(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A verb, from a client over ray://."""
        return dame("--address", self.client_address, *words, environment=self.environment, stdin=stdin)

    def on_terminal(self) -> Terminal:
        """The dashboard, on one more machine that joins for it."""
        return Terminal(*ENTRY_POINT, "run", environment={**os.environ, **self.environment_of("member")})

    def ask(self, *words: str) -> Any:
        """A verb's answer, from a client on this machine."""
        return dame_json("--address", self.head_address, *words, environment=self.environment)

    def get(self, name: str, address: str | None = None) -> bytes:
        done = dame("--address", address or self.head_address, "get", name, environment=self.environment)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Storage nodes by the names of their machines."""
        return {node["host"]: node for node in self.ask("nodes")}

    def is_whole(self, nodes: int) -> bool:
        """Whether so many storage nodes are up and nothing is missing, short of replicas or being healed."""
        done = dame("--address", self.head_address, "status", "--json", environment=self.environment)
        return done.returncode == 0 and tells_of_whole(json.loads(done.stdout), nodes)

    def wait_until_whole(self, nodes: int) -> None:
        eventually(lambda: self.is_whole(nodes), timeout_s=300, every_s=0.5)

    def end(self) -> None:
        for machine in self.started:
            machine.kill()
        kill_living(self.environment_of("member"))
        shutil.rmtree(self.ray_directory, ignore_errors=True)


def all_well(*machines: Machine) -> None:
    """Wait until each does its work."""
    started_s = time.monotonic()
    try:
        eventually(lambda: all(machine.well() for machine in machines), timeout_s=180)
    except AssertionError as error:
        ends = [f"{machine.name}:\n{(machine.directory / 'log').read_text()[-3000:]}" for machine in machines]
        raise AssertionError(f"not well after {time.monotonic() - started_s:.0f} s\n" + "\n".join(ends)) from error
