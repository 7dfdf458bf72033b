"""Panel 2: the storage nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from core.model import DISK_STATES, NODE_STATES, NodeInfo
from tui.filters import matches
from tui.lines import Run, Tone, bar
from tui.state import Snapshot
from tui.text import beat, count, rate, safe, share, size
from tui.widgets.live_table import Column, Row, Sort
from tui.words import disk_state, state_of

FULL = 0.9
"""From this share on a disk is called nearly full."""

COLUMNS = (
    Column("name", "NODE"),
    Column("state", "STATE", 11),
    Column("used", "USED", 10, from_width=44),
    Column("disk", "DISK", 9, from_width=84),
    Column("size", "BYTES", 9, "right", from_width=74),
    Column("chunks", "CHUNKS", 6, "right", from_width=38),
    Column("traffic", "READ / WRITE", 25, "right", from_width=105),
    Column("beat", "BEAT", 5, "right", from_width=29),
    Column("host", "HOST", 16, from_width=92),
)


def used_share(node: NodeInfo) -> float:
    return node.used_bytes / node.capacity_bytes if node.capacity_bytes > 0 else 0.0


SORTS: dict[str, Callable[[NodeInfo], Any]] = {
    "name": lambda node: node.name,
    "state": lambda node: -NODE_STATES.index(node.state),
    "used": used_share,
    "disk": lambda node: -DISK_STATES.index(node.disk),
    "size": lambda node: node.used_bytes,
    "chunks": lambda node: node.chunks,
    "traffic": lambda node: node.read_bytes_per_s + node.write_bytes_per_s,
    "beat": lambda node: node.heartbeat_age_ms,
    "host": lambda node: node.host,
}
SORT_FIRST = Sort("name")
EMPTY = "No storage node has registered yet."


def used_tone(part: float) -> Tone:
    return "warn" if part >= FULL else ""


def rows(snapshot: Snapshot, filter: str = "", sort: Sort = SORT_FIRST) -> list[Row]:
    passing = [node for node in snapshot.nodes if matches(f"{node.name} {node.id} {node.state} {node.host}", filter)]
    passing.sort(key=lambda node: node.name)
    passing.sort(key=SORTS[sort.column], reverse=sort.reverse)
    return [Row(node.id, partial(_cells, node)) for node in passing]


def _cells(node: NodeInfo) -> tuple[Run, ...]:
    part, disk = used_share(node), disk_state(node.disk)
    silent = node.state in ("down", "failed")
    return (
        Run(safe(node.name)),
        state_of(node),
        Run(f"{bar(part, 5)} {share(node.used_bytes, node.capacity_bytes):>4}", disk.tone or used_tone(part)),
        disk,
        Run(size(node.used_bytes)),
        Run(count(node.chunks)),
        Run(f"{rate(node.read_bytes_per_s)} / {rate(node.write_bytes_per_s)}", "dim"),
        Run(beat(node.heartbeat_age_ms), "warn" if silent or node.state == "suspect" else "dim"),
        Run(safe(node.host), "dim"),
    )


def problems(snapshot: Snapshot) -> list[str]:
    """Ids of nodes that are not up as they should be, the worst first."""
    hurt = [node for node in snapshot.nodes if node.state in ("down", "failed", "suspect")]
    return [node.id for node in sorted(hurt, key=lambda node: (-NODE_STATES.index(node.state), node.name))]
