"""Machines of a cluster as processes of one: each is the entry point's own command, with directories of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from RayServer import condition
from tests.integration.processes import ROOT, dame, dame_json, eventually


def lasting_port() -> int:
    """A free port that no other process is given by chance, while whoever listens on it is killed and comes back.

    Below those that the kernel hands out, and clear of those that Ray's client server takes for its own processes.
    """
    while True:
        port = random.randrange(24_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def entry_point(*words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run `python -m RayServer ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "RayServer", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=180,
        check=False,
    )


class Machine:
    """`python -m RayServer ...`, from its start to its stop."""

    def __init__(self, role: str, directory: Path, environment: dict[str, str]) -> None:
        self.role = role
        self.directory = directory
        self.environment = {**environment, "DAME_RUN_DIR": str(directory / "run"), "DAME_HOST": directory.name}
        directory.mkdir(exist_ok=True)
        with (directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "RayServer", role],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def well(self) -> bool:
        """What `health` says, without a process for it."""
        try:
            return condition.believed(condition.read(self.directory / "run" / self.role / condition.FILE_NAME)).well
        except FileNotFoundError:
            return False

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
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> int:
        """As `docker stop` does. Its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        """The keeper first, so that it starts nothing again."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)

    def living(self) -> list[int]:
        """All processes that this machine's environment was handed down to."""
        mark = f"DAME_RUN_DIR={self.environment['DAME_RUN_DIR']}".encode()
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

    def start(self, role: str, name: str) -> Machine:
        self.started.append(Machine(role, self.directory / name, self._of(name)))
        return self.started[-1]

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """A verb, from one more machine that joins for it."""
        environment = {**self._of("member"), "DAME_RUN_DIR": str(self.directory / "member" / "run")}
        return entry_point("run", *words, environment=environment)

    def _of(self, name: str) -> dict[str, str]:
        return {**self.environment, "RAY_TMPDIR": str(self.ray_directory / name)}

    def ask(self, *words: str) -> Any:
        """A verb's answer, from a client on this machine."""
        return dame_json("--address", self.head_address, *words, environment=self.environment)

    def get(self, name: str, address: str | None = None) -> bytes:
        done = dame("--address", address or self.head_address, "get", name, environment=self.environment)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def end(self) -> None:
        for machine in self.started:
            machine.kill()
        shutil.rmtree(self.ray_directory, ignore_errors=True)


def all_well(*machines: Machine) -> None:
    """Wait until each does its work."""
    started_s = time.monotonic()
    try:
        eventually(lambda: all(machine.well() for machine in machines), timeout_s=180)
    except AssertionError as error:
        ends = [f"{machine.directory.name}:\n{(machine.directory / 'log').read_text()[-3000:]}" for machine in machines]
        raise AssertionError(f"not well after {time.monotonic() - started_s:.0f} s\n" + "\n".join(ends)) from error
