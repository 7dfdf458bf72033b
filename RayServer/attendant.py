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
from core.units import plural
from RayServer import condition, sessions
from RayServer.claim import slots
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
            well, sentence = _look(role, directory, config)
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


def _look(role: str, directory: Path | None, config: Config) -> tuple[bool, str]:
    """Whether this machine does its work, and a sentence about it."""
    try:
        nodes = member.storage_nodes(host_name())
    except DameError as error:
        if role == "head":
            _bring_up(config)
        return False, str(error)
    if role != "storage" or directory is None:
        return True, "the NameNode answers"
    return judged(nodes, directory)


def _bring_up(config: Config) -> None:
    """See to it that there is a NameNode; one that is there and does not answer is not touched."""
    try:
        member.bring_up(config)
    except ClusterUnreachable as error:
        log.warning("the NameNode can't be started: %s", error)


def judged(nodes: Sequence[NodeInfo], directory: Path) -> tuple[bool, str]:
    """Whether each slot of a storage machine's directory has a node that does its work, and a sentence about them.

    The node of a disk that was replaced is known until it is forgotten; the other one in its slot is heard of.
    """
    here: dict[str, NodeInfo] = {}
    for node in sorted(nodes, key=lambda node: node.heartbeat_age_ms, reverse=True):
        if Path(node.directory).parent == directory:
            here[node.directory] = node
    wanted = slots(directory)
    if len(here) < wanted:
        return False, f"the NameNode knows {len(here)} of {plural(wanted, 'storage node')} in {directory} yet"
    said = ", ".join(f"storage node {here[slot].name} is {here[slot].state}" for slot in sorted(here))
    return all(node.state in WELL for node in here.values()), said
