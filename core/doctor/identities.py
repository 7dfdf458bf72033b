"""Whether each data directory is one node of this one cluster, and whether somebody serves it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from core.doctor.facts import Directory, Facts
from core.doctor.finding import Finding, ok, problem, warning
from core.model import NodeInfo
from core.units import plural


def check_identities(facts: Facts) -> list[Finding]:
    wrong = [
        *_lost_catalog(facts),
        *_older_catalog(facts),
        *_unreadable(facts),
        *_clusters(facts),
        *_copies(facts),
        *_replaced(facts),
        *_unserved(facts),
    ]
    if wrong:
        return wrong
    known = f"{plural(len(facts.cluster.nodes), 'storage node')} known to the cluster"
    here = f"{plural(len(facts.directories), 'data directory', 'data directories')} on this machine"
    if not facts.cluster.nodes and not facts.directories:
        return []
    return [ok("identities", f"{known if facts.cluster.nodes else here}: each is its own, and of one cluster.")]


def _lost_catalog(facts: Facts) -> Iterator[Finding]:
    """Chunks without their catalog; elsewhere than in an embedded cluster it may be on another machine."""
    kinds = {directory.kind for directory in facts.directories}
    if facts.link.embedded and facts.link.state == "stopped" and kinds == {"storage"}:
        yield problem(
            "identities",
            f"The catalog is gone; what it knew of is still in {facts.directories[0].path} and its like.",
            "`restore-catalog` puts the newest checkpoint in its place, and says what may be missing.",
        )


def _older_catalog(facts: Facts) -> Iterator[Finding]:
    """Storage nodes do not obey its NameNode yet, but each start on it makes it newer."""
    for catalog in facts.directories:
        met = [
            each.epoch for each in facts.directories if each.kind == "storage" and each.cluster_id == catalog.cluster_id
        ]
        if catalog.kind == "namenode" and 0 < catalog.epoch < max(met, default=0):
            yield problem(
                "identities",
                f"The catalog in {catalog.path} is an older copy: its last NameNode was number {catalog.epoch}, and"
                f" storage nodes here have met number {max(met)}.",
                "Stop the cluster at once and put the right catalog back, or move this one away and run"
                " `restore-catalog`. Started more often, it would have everything removed that it does not know.",
            )


def _unreadable(facts: Facts) -> Iterator[Finding]:
    for directory in facts.directories:
        if directory.trouble:
            yield problem(
                "identities",
                directory.trouble,
                "Restore the file from a copy, or mend the disk; a storage node with other good replicas elsewhere may"
                " be emptied, and joins as a new one.",
            )


def _clusters(facts: Facts) -> Iterator[Finding]:
    """The cluster's own word counts most, then the catalog's, then that of most storage directories."""
    told = [facts.cluster.status.cluster_id] if facts.cluster.status else []
    told += [each.cluster_id for each in facts.directories if each.kind == "namenode" and each.cluster_id]
    others = [each.cluster_id for each in facts.directories if each.cluster_id]
    told += sorted(others, key=others.count, reverse=True)
    for directory in facts.directories:
        if directory.cluster_id and directory.cluster_id != told[0]:
            yield problem(
                "identities",
                f"{directory.path} belongs to cluster {directory.cluster_id[:8]}, and this is cluster {told[0][:8]}.",
                "Move it away, or start it with its own cluster; a catalog that was lost comes back by"
                " `restore-catalog`, never by a new one.",
            )


def _copies(facts: Facts) -> Iterator[Finding]:
    by_node: dict[str, list[Directory]] = defaultdict(list)
    for directory in facts.directories:
        if directory.node_id:
            by_node[directory.node_id].append(directory)
    for node_id, same in by_node.items():
        if len(same) > 1:
            places = " and ".join(directory.path for directory in same)
            yield problem(
                "identities",
                f"{places} are one storage node ({node_id[:8]}): one is a copy of the other.",
                "Empty the copy; an empty directory becomes a new storage node.",
            )


def _replaced(facts: Facts) -> Iterator[Finding]:
    """Known nodes whose place another node has now: their disk was replaced, or emptied."""
    places = {(node.host, node.directory): node for node in facts.cluster.nodes if node.state == "up"}
    for node in facts.cluster.nodes:
        other = places.get((node.host, node.directory))
        if node.state == "down" and other is not None:
            yield warning(
                "identities",
                f"{node.name} was in {node.directory} on {node.host}, where {other.name} is now.",
                f"If its disk was replaced for good: `forget {node.name}`. Its replicas are made again elsewhere.",
            )


def _unserved(facts: Facts) -> Iterator[Finding]:
    """Only while the cluster runs; before, nothing is served."""
    if facts.link.state != "reached":
        return
    nodes = {node.id: node for node in facts.cluster.nodes}
    served = {directory.node_id for directory in facts.directories if directory.in_use}
    for directory in facts.directories:
        node = nodes.get(directory.node_id)
        idle = directory.kind == "storage" and not directory.in_use and directory.node_id not in served
        if idle and not directory.trouble and not _done_with(node):
            name = f" ({node.name})" if node else ""
            yield warning(
                "identities",
                f"No process serves the storage directory {directory.path}{name}.",
                "Start a storage node on it (`--nodes N`, `DAME_STORAGE_NODES=N` in .env, or a Ray node with a"
                " storage_slot). If it is not wanted any more and nothing is missing, remove it.",
            )


def _done_with(node: NodeInfo | None) -> bool:
    return node is not None and node.state == "drained"
