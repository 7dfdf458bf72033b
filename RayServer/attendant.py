"""The process beside Ray's on each machine that is connected to the cluster: it sees to the NameNode on the head, and
writes down each second whether this machine does its work.

A process of its own, since Ray ends the one that is connected to a node that dies. It ends with STALE when the head
that this machine's Ray processes belong to has been replaced by another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from core.cluster import member
from core.cluster.head import incarnation
from core.config import Config
from core.errors import ClusterUnreachable, DameError
from core.host import host_name
from core.model import NodeInfo
from RayServer import condition, sessions
from RayServer.settings import Settings

STEP_S = 1.0
WELL = ("up", "draining", "drained")
"""States of a storage node that does what it is told to."""
ENTER_PATIENCE_S = 120.0

log = logging.getLogger("RayServer")


def attend(role: str, path: Path, directory: Path | None, settings: Settings) -> int:
    """Look after this machine until its head is another one; the answer is the exit code.

    The condition goes to the file `path`; `directory` is a storage machine's own.
    """
    config = Config.from_environment()
    head = f"{settings.node_address or '127.0.0.1'}:{settings.gcs_port}" if role == "head" else settings.head
    identity = _enter(head)
    if identity is None:
        return condition.STALE
    told = ""
    looks = _Look(role, directory, config)
    session = member.session_directory()
    while True:
        started_s = time.monotonic()
        sessions.mark(session)
        there = incarnation(head)
        if there is None:
            well, sentence = False, f"the head at {head} does not answer"
        elif there != identity:
            return condition.STALE
        else:
            well, sentence = looks.look()
        condition.write(path, well, sentence)
        if sentence != told:
            (log.info if well else log.warning)("%s", sentence)
            told = sentence
        time.sleep(max(0.0, STEP_S - (time.monotonic() - started_s)))


def _enter(head: str) -> str | None:
    """Join the cluster. None if Ray's processes here belong to another head than the one that answers."""
    deadline_s = time.monotonic() + ENTER_PATIENCE_S
    while time.monotonic() < deadline_s:
        identity = incarnation(head)
        if identity is not None:
            try:
                member.enter(head)
                return identity
            except ClusterUnreachable as error:
                log.warning("%s", error)
        time.sleep(0.2)
    return None


class _Look:
    """Whether this machine does its work."""

    def __init__(self, role: str, directory: Path | None, config: Config) -> None:
        self._role = role
        self._directory = directory
        self._config = config
        self._own: list[str] = []
        """Ids of the storage nodes here while all is well: a large cluster need not be listed for each of its machines
        each second."""

    def look(self) -> tuple[bool, str]:
        """Whether it does, and a sentence about it."""
        own, self._own = self._own, []
        try:
            nodes = [member.storage_node(node_id) for node_id in own] or member.storage_nodes()
        except DameError as error:
            if self._role == "head":
                _bring_up(self._config)
            return False, str(error)
        if self._role != "storage" or self._directory is None:
            return True, "the NameNode answers"
        here = of_directory(nodes, host_name(), self._directory)
        well, sentence = judged(here, self._directory)
        self._own = [node.id for node in here] if well else []
        return well, sentence


def _bring_up(config: Config) -> None:
    """See to it that there is a NameNode; one that is there and does not answer is not touched."""
    try:
        member.bring_up(config)
    except ClusterUnreachable as error:
        log.warning("the NameNode can't be started: %s", error)


def of_directory(nodes: Sequence[NodeInfo], host: str, directory: Path) -> list[NodeInfo]:
    """The storage nodes whose slots are in a machine's directory, one for each slot.

    The node of a disk that was replaced is known until it is forgotten; the other one in its slot is heard of.
    """
    here: dict[str, NodeInfo] = {}
    for node in sorted(nodes, key=lambda node: node.heartbeat_age_ms, reverse=True):
        if node.host == host and Path(node.directory).parent == directory:
            here[node.directory] = node
    return [here[slot] for slot in sorted(here)]


def judged(here: Sequence[NodeInfo], directory: Path) -> tuple[bool, str]:
    """Whether these storage nodes do their work, and a sentence about them."""
    if not here:
        return False, f"the NameNode knows no storage node in {directory} yet"
    said = ", ".join(f"storage node {node.name} is {node.state}" for node in here)
    return all(node.state in WELL for node in here), said
