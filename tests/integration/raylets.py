"""A Ray cluster of several raylets on this machine, in a process of its own.

Speaks JSON lines: on stdin `["add", directory, slots]`, `["kill", index]`, `["kill_head"]`,
`["end"]`; on stdout the answer to each.
The first line of stdout, before any command, holds the addresses.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.processes import dame

ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray would take 127.0.0.1 for the address by which other machines reach this one."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve() -> None:
    """The body of the process."""
    # Ray's own processes write to our stdout; answers go where they can't.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from core.cluster import RAY_ENVIRONMENT

    # Ray reads these when it is imported; the second keeps it on 127.0.0.1.
    os.environ.update(RAY_ENVIRONMENT, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
    from ray.cluster_utils import Cluster

    client_port = free_port()
    common: dict[str, Any] = {
        "num_cpus": 0,
        "node_ip_address": "127.0.0.1",
        "object_store_memory": 200 * 1024 * 1024,
        "include_dashboard": False,
    }
    cluster = Cluster()
    cluster.add_node(**common, ray_client_server_port=client_port, env_vars={"DAME_NAMENODE_DIR": sys.argv[1]})
    answers.write(json.dumps({"address": cluster.address, "client": f"ray://127.0.0.1:{client_port}"}) + "\n")
    nodes = []
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        if command == "add":
            directory, slots = arguments
            nodes.append(
                cluster.add_node(**common, resources={"storage_slot": slots}, env_vars={"DAME_STORAGE_DIR": directory})
            )
        elif command == "kill":
            cluster.remove_node(nodes[arguments[0]], allow_graceful=False)
        elif command == "kill_head":
            cluster.remove_node(cluster.head_node, allow_graceful=False)
        elif command == "end":
            cluster.shutdown()
        answers.write(json.dumps(len(nodes)) + "\n")
        if command == "end":
            return


def ask(address: str, *words: str) -> Any:
    done = dame("--address", address, *words, "--json", environment=ON_LOOPBACK)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


class Raylets:
    """The other end: what tests hold."""

    def __init__(self, namenode_directory: Path) -> None:
        root = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.raylets", str(namenode_directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,
            text=True,
        )
        addresses = self._answer()
        self.address: str = addresses["address"]
        self.client_address: str = addresses["client"]

    def add(self, directory: Path, slots: int = 1) -> int:
        """Start a raylet with storage slots under the directory. Its index is the answer."""
        return int(self._ask("add", str(directory), slots)) - 1

    def kill(self, index: int) -> None:
        """SIGKILL a raylet, and with it its actors."""
        self._ask("kill", index)

    def kill_head(self) -> None:
        """SIGKILL the head: Ray's own directory of the cluster (GCS), the raylet beside it and the NameNode."""
        self._ask("kill_head")

    def end(self) -> None:
        if self._process.poll() is None:
            self._ask("end")
        self._process.communicate(timeout=60)

    def _ask(self, *command: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process with the raylets ended"
        return json.loads(line)


if __name__ == "__main__":
    serve()
