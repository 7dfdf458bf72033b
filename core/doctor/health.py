"""What the NameNode itself says of the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.config import MINUTE_MS, Config
from core.doctor.facts import Facts
from core.doctor.finding import Finding, ok, problem, warning
from core.model import ClusterStatus, NodeInfo
from core.units import plural

CHECKPOINTS_MISSED = 3
"""A checkpoint may be late for a while: disks nearly full, storage nodes away."""

Check = Callable[[ClusterStatus], Iterator[Finding]]


def check_namenode(facts: Facts) -> list[Finding]:
    """Whether it takes changes, and acts."""
    status = facts.cluster.status
    if status is None:
        return []
    findings = []
    if status.read_only:
        advice = "Make room on the catalog's disk if it is full; after failures, `resume` lets it take changes again."
        findings.append(problem("NameNode", status.read_only, advice))
    if status.safe_mode:
        seen = "The NameNode is in safe mode: it has just started and waits for the reports of storage nodes."
        findings.append(
            warning("NameNode", seen, "Wait half a minute; then it goes on without those that are missing.")
        )
    return findings or [ok("NameNode", f"The NameNode takes changes (epoch {status.epoch}).")]


def check_checkpoint(facts: Facts, config: Config) -> list[Finding]:
    """How old the copy of the catalog on the storage nodes is."""
    status = facts.cluster.status
    if status is None:
        return []
    age_ms, due_ms = status.checkpoint_age_ms, CHECKPOINTS_MISSED * config.checkpoint_interval_ms
    advice = (
        "`events` says why; `nodes` whether storage nodes are up and have room. Until then, mind the catalog's disk."
    )
    if age_ms is None:
        if not status.artifacts or status.now_ms - status.started_ms < due_ms:
            return []
        return [warning("checkpoint", "No copy of the catalog is on the storage nodes yet.", advice)]
    minutes = f"{plural(age_ms // MINUTE_MS, 'minute')} old" if age_ms >= MINUTE_MS else "less than a minute old"
    if status.checkpoint_edits_behind and age_ms > due_ms:
        behind = plural(status.checkpoint_edits_behind, "change")
        return [warning("checkpoint", f"The newest copy of the catalog is {minutes} and lacks {behind}.", advice)]
    return [ok("checkpoint", f"The newest copy of the catalog is {minutes}.")]


def check_replicas(facts: Facts) -> list[Finding]:
    status = facts.cluster.status
    if status is None or status.safe_mode:  # what looks missing then may only be late
        return []
    findings = []
    if status.missing:
        findings.append(
            problem(
                "replicas",
                f"{plural(status.missing, 'chunk')} without a replica on any storage node that is up.",
                "Bring back the nodes that are down (`nodes`); `fsck` says which artifacts it is about.",
            )
        )
    short = status.under_replicated
    if short:
        risk = f", {status.at_risk} of them with one left" if status.at_risk else ""
        waits = status.healing_waits or "Healing makes them by itself; `status` shows how far it is."
        advice = f"{waits} If it does not get less, add storage nodes or room."
        findings.append(warning("replicas", f"{plural(short, 'chunk')} short of replicas{risk}.", advice))
    return findings or [ok("replicas", f"{plural(status.chunks, 'chunk')}, and every replica is there.")]


def check_nodes(facts: Facts, config: Config) -> list[Finding]:
    """Storage nodes that are not up, and too few of them."""
    if facts.cluster.status is None:
        return []
    nodes = facts.cluster.nodes
    up = sum(node.state == "up" for node in nodes)
    findings = [finding for node in nodes for finding in _node(node)]
    findings += [
        warning(
            "nodes",
            f"{name} beats, but did not answer a call from here.",
            "If it stays so, the ports between this machine and that one are closed, or its process is stuck.",
        )
        for name in facts.cluster.silent
    ]
    if not up:
        findings.append(problem("nodes", "No storage node is up: nothing can be stored.", _START_NODES))
    elif up < config.replication:
        seen = f"{plural(up, 'storage node is', 'storage nodes are')} up, and {config.replication} copies are wanted."
        findings.append(warning("nodes", seen, _START_NODES))
    return findings or [ok("nodes", f"{plural(up, 'storage node is', 'storage nodes are')} up.")]


_START_NODES = (
    "Start more: `--nodes N`, `DAME_STORAGE_NODES=N` in .env and `docker compose up --detach`, or a Ray node with"
    " storage_slot."
)


def _node(node: NodeInfo) -> Iterator[Finding]:
    name = f"{node.name} on {node.host}"
    if node.state in ("down", "suspect"):
        where = f" on {node.directory}" if node.directory else ""  # unknown until it is heard
        yield warning(
            "nodes",
            f"{name} is {node.state}: {node.reason}.",
            f"Start it again{where}; if it is gone for good, `forget {node.name}`.",
        )
    elif node.state == "failed":
        yield warning("nodes", f"{name}: {node.reason}.", f"`recover {node.name}` when it is to work again.")
    elif node.drain_warning:
        yield warning(
            "nodes", f"{name} is draining: {node.drain_warning}", "Add storage nodes, or take the drain back."
        )
