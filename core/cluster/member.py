"""A process that looks after DAME from inside a Ray cluster that was started for it: `RayServer` runs one beside the
Ray processes of each machine.

It differs from a client in two ways. Its code is not sent along: this machine's image holds it. And it alone, on the
head, starts the NameNode, so that the NameNode runs the head's code and settings and not those of the client that
happened to come first.
"""

from __future__ import annotations

from pathlib import Path

from core.cluster import launch, remote
from core.config import Config
from core.model import NodeInfo


def enter(address: str) -> None:
    """Join the cluster whose head is at HOST:PORT, by the Ray processes of this machine. Raises ClusterUnreachable."""
    launch.enter_ray(address=address)


def bring_up(config: Config) -> None:
    """Start the NameNode if it does not run; the head's environment says where its directory is.

    Raises ClusterUnreachable.
    """
    with remote.translated():
        launch.bring_up(None, None, config)


def session_directory() -> Path:
    """Where Ray keeps the sockets and the logs of this machine's processes, until they are started anew."""
    return Path(launch.log_directory()).parent


def storage_nodes(host: str) -> tuple[NodeInfo, ...]:
    """The storage nodes of one machine, as the NameNode sees them. Raises ClusterUnreachable, or its refusal."""
    nodes: tuple[NodeInfo, ...] = tuple(remote.ask_namenode("nodes_of", host))
    return nodes
