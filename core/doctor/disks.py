"""Room: on each storage node, and where the catalog is."""

from __future__ import annotations

from core.config import GIB, MIB, Config
from core.doctor.facts import Facts, Space
from core.doctor.finding import Finding, ok, problem, warning
from core.model import NodeInfo
from core.units import human_bytes, plural

CATALOG_WARN_BYTES = 1 * GIB
"""The catalog of some million chunks, and another one while it is checkpointed."""
CATALOG_BYTES = 64 * MIB
"""Less is eaten by the next large version; then the NameNode takes no uploads."""
MORE_ROOM = "Free space on that disk, add a storage node, or lower what is kept (`delete`, `--keep-versions`)."


def check_storage_disks(facts: Facts, config: Config) -> list[Finding]:
    """How full storage nodes are; while the cluster does not say, the disks of the directories that are here."""
    nodes = [node for node in facts.cluster.nodes if node.state not in ("down", "failed")]
    if not nodes:
        return _local_disks(facts, config)
    wrong = [_filling(node, config) for node in nodes if node.disk != "ok"]
    if wrong:
        return wrong
    fullest = max(_share(node.used_bytes, node.capacity_bytes) for node in nodes)
    status = facts.cluster.status
    room = status.capacity_bytes - status.stored_bytes if status else 0  # a disk that nodes share is counted once
    return [
        ok("disks", f"{plural(len(nodes), 'storage node')}, the fullest at {fullest:.0%}; {human_bytes(room)} free.")
    ]


def _share(used_bytes: int, capacity_bytes: int) -> float:
    return used_bytes / capacity_bytes if capacity_bytes else 1.0


def _filling(node: NodeInfo, config: Config) -> Finding:
    full = f"{_share(node.used_bytes, node.capacity_bytes):.0%} full, {human_bytes(node.free_bytes)} free"
    where = f"{node.name} ({node.directory} on {node.host})"
    if node.disk == "read_only":
        return problem("disks", f"{where} can't take any more chunks: {full}.", MORE_ROOM)
    if node.disk == "no_new_chunks":
        mark = f"{config.disk_no_new_share:.0%}"
        return warning("disks", f"{where} is past {mark} and takes no new chunks of clients: {full}.", MORE_ROOM)
    return warning("disks", f"{where} is past {config.disk_warn_share:.0%}: {full}.", MORE_ROOM)


def _local_disks(facts: Facts, config: Config) -> list[Finding]:
    here = [each for each in facts.directories if each.kind == "storage" and each.disk is not None]
    short = [each for each in here if each.disk is not None and each.disk.free_bytes < config.disk_reserve_bytes]
    if short:
        return [
            problem(
                "disks",
                f"The disk of {each.path} has {human_bytes(_free(each.disk))} free; storage nodes leave"
                f" {human_bytes(config.disk_reserve_bytes)} alone.",
                MORE_ROOM,
            )
            for each in short
        ]
    if not here:
        return []
    least = min(_free(each.disk) for each in here)
    return [
        ok("disks", f"{plural(len(here), 'storage directory', 'storage directories')} here, {human_bytes(least)} free.")
    ]


def _free(space: Space | None) -> int:
    return space.free_bytes if space is not None else 0


def check_catalog_disk(facts: Facts) -> list[Finding]:
    place, disk = _catalog(facts)
    if disk is None:
        return []
    seen = (
        f"The disk of the catalog ({place}) has {human_bytes(disk.free_bytes)} free of {human_bytes(disk.total_bytes)}."
    )
    advice = "Free space there: when it is full, nothing new is stored, and only reading and deleting work."
    if disk.free_bytes < CATALOG_BYTES:
        return [problem("catalog disk", seen, advice)]
    if disk.free_bytes < CATALOG_WARN_BYTES:
        return [warning("catalog disk", seen, advice)]
    return [ok("catalog disk", seen)]


def _catalog(facts: Facts) -> tuple[str, Space | None]:
    """As the NameNode says, else as the directory here shows."""
    for process in facts.cluster.heard:
        if process.name == "the NameNode":
            return f"{process.facts.directory} on {process.facts.host}", process.facts.disk
    for directory in facts.directories:
        if directory.kind == "namenode":
            return directory.path, directory.disk
    return "", None
