"""States as people see them: always a glyph and a word, and a tone that colour may add."""

from __future__ import annotations

from core.model import Artifact, ClusterStatus, DiskState, Health, NodeState, Severity
from tui.lines import Run, Tone

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


def cluster_health(status: ClusterStatus) -> Run:
    """The one word for the whole cluster. Red is for data in danger alone."""
    if status.missing:
        return Run("✗ DATA OUT OF REACH", "bad")
    if status.at_risk:
        return Run("▲ AT RISK", "bad")
    if status.safe_mode:
        return Run("◌ SAFE MODE", "accent")
    down = status.nodes.get("down", 0) + status.nodes.get("failed", 0) + status.nodes.get("suspect", 0)
    if status.under_replicated or down:
        return Run("◐ DEGRADED", "warn")
    return Run("● HEALTHY", "good")
