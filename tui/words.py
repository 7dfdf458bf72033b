"""States as people see them: always a glyph and a word, and a tone that colour may add."""

from __future__ import annotations

from core.model import Artifact, ClusterStatus, DiskState, Health, NodeInfo, NodeState, Severity
from core.units import plural
from tui.lines import Run, Tone
from tui.text import age, count, duration, rate, share, size

NODE_GLYPHS: dict[NodeState, tuple[str, Tone]] = {
    "up": ("●", "good"),
    "suspect": ("◐", "warn"),
    "down": ("✗", "bad"),
    "failed": ("✗", "bad"),
    "draining": ("◌", "accent"),
    "drained": ("○", "dim"),
}

DISK_WORDS: dict[DiskState, tuple[str, Tone]] = {
    "ok": ("", ""),
    "filling": ("▲ FILLING", "warn"),
    "no_new_chunks": ("▲ NO NEW", "warn"),
    "read_only": ("✗ FULL", "bad"),
}

HEALTH_WORDS: dict[Health, tuple[str, Tone]] = {
    "ok": ("ok", "good"),
    "under": ("UNDER", "warn"),
    "at_risk": ("AT RISK", "bad"),
    "lost": ("LOST", "bad"),
}

HEALTH_RANK: dict[Health, int] = {"lost": 0, "at_risk": 1, "under": 2, "ok": 3}
"""Worst first."""

SEVERITY_WORDS: dict[Severity, tuple[str, Tone]] = {
    "info": ("INFO ", "dim"),
    "warning": ("WARN ", "warn"),
    "error": ("ERROR", "bad"),
}


def node_state(state: NodeState) -> Run:
    glyph, tone = NODE_GLYPHS[state]
    return Run(f"{glyph} {state.upper()}", tone)


def disk_state(state: DiskState) -> Run:
    """Nothing to say of a disk that has room."""
    return Run(*DISK_WORDS[state])


def state_of(node: NodeInfo) -> Run:
    """`● UP`, `✗ DOWN`, `◌ DRAIN 71%`."""
    if node.state != "draining" or not node.drain_total or node.drain_left is None:
        return node_state(node.state)
    glyph, tone = NODE_GLYPHS["draining"]
    return Run(f"{glyph} DRAIN {share(node.drain_total - node.drain_left, node.drain_total)}", tone)


def drain_progress(node: NodeInfo) -> str:
    """`34 of 120 chunks left, 20s`; empty for a node that is not draining, and for one that is drained."""
    if not node.drain_left:
        return ""
    when = f", {duration(node.drain_eta_ms / 1000)}" if node.drain_eta_ms is not None else ""
    return f"{count(node.drain_left)} of {count(node.drain_total or 0)} chunks left{when}"


def healing_progress(status: ClusterStatus) -> str:
    """`, 4.2 GiB left at 212 MiB/s, 20s`; empty when nothing is left to copy."""
    if not status.healing_bytes:
        return ""
    when = f", {duration(status.healing_eta_ms / 1000)}" if status.healing_eta_ms is not None else ""
    return f", {size(status.healing_bytes)} left at {rate(status.healing_bytes_per_s)}{when}"


def health(health: Health, replication: int) -> Run:
    """`3/3 ok`, `<3 UNDER`, `1/3 AT RISK`, `0/3 LOST`: the replicas of the chunk that is worst off."""
    word, tone = HEALTH_WORDS[health]
    return Run(f"{_worst(health, replication)} {word}", tone)


def _worst(health: Health, replication: int) -> str:
    """How many replicas the worst chunk has; of an under-replicated one it is only known that some are missing."""
    if health == "under":
        return f"2/{replication}" if replication == 3 else f"<{replication}"
    return f"{ {'ok': replication, 'at_risk': 1, 'lost': 0}[health] }/{replication}"


def artifact_health(artifact: Artifact) -> Run:
    return health(artifact.health, artifact.replication)


def checkpoint(status: ClusterStatus) -> Run:
    """`2m ago`, `2m ago, 3 edits since`, `none yet`: how old the newest copy of the catalog on the storage nodes is."""
    if status.checkpoint_age_ms is None:
        return Run("none yet", "warn")
    behind = status.checkpoint_edits_behind
    return Run(f"{age(status.checkpoint_age_ms)} ago" + (f", {plural(behind, 'edit')} since" if behind else ""))


def garbage(status: ClusterStatus) -> str:
    """`12 MiB, goes in 8m, 1 MiB of it unknown`."""
    words = [size(status.garbage_bytes)]
    if status.garbage_due_ms is not None:
        left_ms = status.garbage_due_ms - status.now_ms
        words.append(f"goes in {age(left_ms)}" if left_ms > 0 else "goes now")
    if status.unknown_bytes:
        words.append(f"{size(status.unknown_bytes)} of it unknown")
    return ", ".join(words)


def cluster_health(status: ClusterStatus) -> Run:
    """The one word for the whole cluster. Red is for data in danger alone."""
    if status.missing:
        return Run("✗ DATA OUT OF REACH", "bad")
    if status.at_risk:
        return Run("▲ AT RISK", "bad")
    if status.read_only:
        return Run("‖ READ-ONLY", "warn")
    if status.safe_mode:
        return Run("◌ SAFE MODE", "accent")
    down = status.nodes.get("down", 0) + status.nodes.get("failed", 0) + status.nodes.get("suspect", 0)
    if status.under_replicated or down:
        return Run("◐ DEGRADED", "warn")
    return Run("● HEALTHY", "good")
