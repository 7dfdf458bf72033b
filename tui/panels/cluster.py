"""Panel 3: the cluster as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from core.model import NODE_STATES, ClusterStatus
from core.units import plural
from tui.lines import Line, Run, Tone, bar, line, sparkline, wrap
from tui.panels.nodes import used_tone
from tui.state import AppState
from tui.text import count, duration, last_scrub, rate, safe, share, size
from tui.words import NODE_GLYPHS, checkpoint, cluster_health, garbage

LABEL_WIDTH = 10


def lines(state: AppState, width: int, height: int) -> list[Line]:
    """As much of the picture as there are lines for, the weightiest first."""
    if state.shown is None:
        return []
    status = state.shown.status
    blocks = (
        [_health(status)],
        _notes(status, width),
        _capacity(status, width),
        [_nodes(status)],
        [_replicas(status)],
        [_healing(status, width)],
        _quarantine(status),
        [
            _spark("read", state.read_rates, status.read_bytes_per_s, width),
            _spark("write", state.write_rates, status.write_bytes_per_s, width),
        ],
        [_counts(status)],
        [_namenode(status)],
        _upkeep(status),
        _why_read_only(status, width),
    )
    return [shown for block in blocks for shown in block][:height]


def _labelled(label: str, *parts: str | Run) -> Line:
    return line(Run(f" {label:<{LABEL_WIDTH - 1}}", "dim"), *parts)


def _health(status: ClusterStatus) -> Line:
    return _labelled("health", cluster_health(status))


def _notes(status: ClusterStatus, width: int) -> list[Line]:
    """Why things are not as they should be."""
    notes: list[tuple[Tone, str]] = []
    if status.read_only:
        notes.append(("warn", "Nothing new is stored; why, and what ends it, is said below."))
    if status.safe_mode:
        notes.append(("accent", "Safe mode: nothing is copied or deleted until the storage nodes have reported."))
    if status.healing_waits:
        notes.append(("warn", f"Healing waits: {safe(status.healing_waits)}"))
    return [row for tone, text in notes for row in _wrapped(text, tone, width)]


def _why_read_only(status: ClusterStatus, width: int) -> list[Line]:
    """At the end, since it is as long as a panel is high; the panel scrolls."""
    return [(), *_wrapped(safe(status.read_only), "warn", width)] if status.read_only else []


def _wrapped(text: str, tone: Tone, width: int) -> list[Line]:
    return [line(Run(f" {piece}", tone)) for piece in wrap(text, max(8, width - 2))]


def _capacity(status: ClusterStatus, width: int) -> list[Line]:
    part = status.stored_bytes / status.capacity_bytes if status.capacity_bytes > 0 else 0.0
    percent = share(status.stored_bytes, status.capacity_bytes)
    amounts = f"{size(status.stored_bytes)} of {size(status.capacity_bytes)}"
    room = width - LABEL_WIDTH - len(percent) - 3
    return [
        _labelled("capacity", Run(bar(part, max(4, min(room, 60))), used_tone(part) or "accent"), f" {percent}"),
        _labelled("stored", amounts),
    ]


def _nodes(status: ClusterStatus) -> Line:
    parts: list[str | Run] = []
    for state in NODE_STATES:
        number = status.nodes.get(state, 0)
        if number or state == "up":
            glyph, tone = NODE_GLYPHS[state]
            parts += [Run(f"{glyph} {number} {state}", tone), "  "]
    return _labelled("nodes", *parts)


def _replicas(status: ClusterStatus) -> Line:
    """Chunks by what they lack, the worst first; the numbers are there even when they are none."""
    return _labelled(
        "chunks",
        count(status.chunks),
        Run("  missing ", "dim"),
        Run(count(status.missing), "bad" if status.missing else ""),
        Run("  at risk ", "dim"),
        Run(count(status.at_risk), "bad" if status.at_risk else ""),
        Run("  under ", "dim"),
        Run(count(status.under_replicated), "warn" if status.under_replicated else ""),
    )


def _healing(status: ClusterStatus, width: int) -> Line:
    if status.healing:
        return _labelled("healing", Run(_copying(status, width - LABEL_WIDTH), "accent"))
    if status.rebalancing:
        return _labelled("healing", Run(f"◌ rebalancing, {plural(status.rebalancing, 'copy', 'copies')}", "dim"))
    if status.healing_waits:
        return _labelled("healing", Run("‖ waiting", "warn"))
    return _labelled("healing", Run("nothing to do" if not status.under_replicated else "none under way", "dim"))


def _copying(status: ClusterStatus, room: int) -> str:
    """`◐ 12 copies, 4.0 GiB, 20s at 212 MiB/s`: what is left and for how long; the pace only where there is room."""
    text = f"◐ {plural(status.healing, 'copy', 'copies')}"
    if not status.healing_bytes:
        return text
    text += f", {size(status.healing_bytes)}"
    if status.healing_eta_ms is not None:
        text += f", {duration(status.healing_eta_ms / 1000)}"
    pace = f" at {rate(status.healing_bytes_per_s)}"
    return text + pace if cell_len(text + pace) <= room else text


def _spark(label: str, values: Sequence[float], now: int, width: int) -> Line:
    speed = f"{rate(now):>11}"
    room = max(4, min(60, width - LABEL_WIDTH - len(speed) - 2))
    return _labelled(label, Run(sparkline(list(values), room), "accent"), " ", speed)


def _counts(status: ClusterStatus) -> Line:
    return _labelled(
        "holds",
        f"{plural(status.artifacts, 'artifact')}, {plural(status.versions, 'version')}, {size(status.logical_bytes)}",
    )


def _namenode(status: ClusterStatus) -> Line:
    up = duration((status.now_ms - status.started_ms) / 1000)
    return _labelled("namenode", f"up {up}", Run("  epoch ", "dim"), str(status.epoch))


def _quarantine(status: ClusterStatus) -> list[Line]:
    """No line while there is nothing in it: it has a place far up."""
    if not status.quarantined:
        return []
    return [_labelled("replicas", Run(f"{count(status.quarantined)} in quarantine", "warn"))]


def _upkeep(status: ClusterStatus) -> list[Line]:
    return [
        _labelled("upkeep", Run("trash ", "dim"), count(status.trash), Run("  garbage ", "dim"), garbage(status)),
        _labelled("scrub", _scrub(status)),
        _labelled("catalog", Run("checkpoint ", "dim"), checkpoint(status)),
    ]


def _scrub(status: ClusterStatus) -> str:
    """`19% at 12 MiB/s; all of it 3d ago`."""
    last = last_scrub(status, status.now_ms)
    if status.scrub_done >= status.scrub_total:
        return f"resting; {last}"
    return f"{share(status.scrub_done, status.scrub_total)} at {rate(status.scrub_bytes_per_s)}; {last}"
