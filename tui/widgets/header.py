"""The first line: where we are, how the cluster is, and how old the picture is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tui.lines import Line, Run, line, spread, width_of
from tui.state import AppState, Link
from tui.text import age, count, duration, safe, share
from tui.widgets.toned import Canvas
from tui.words import cluster_health


def header(state: AppState, crumbs: Sequence[str], now_s: float, width: int) -> Line:
    """As many facts as fit, the weightiest first; the link to the cluster always."""
    right = (link_run(state, now_s, width), Run(" "))
    left = [Run(" dame", "strong")]
    if width >= 60:
        left.append(Run(f" {safe(state.place)}" if state.place else "", "dim"))
    left += [Run(f" › {safe(crumb)}", "dim") for crumb in crumbs]
    room = width - width_of(right) - 1
    facts = _facts(state)
    if state.link(now_s) is Link.STALE:
        facts = [tuple(Run(run.text, "dim") for run in fact) for fact in facts]
    for fact in facts:
        if width_of(left) + width_of(fact) + 3 <= room:
            left += [Run("   "), *fact]
    return spread(left, right, width)


def _facts(state: AppState) -> list[Line]:
    if state.shown is None:
        return []
    status = state.shown.status
    total = sum(status.nodes.values())
    up = status.nodes.get("up", 0) + status.nodes.get("draining", 0) + status.nodes.get("drained", 0)
    facts = [line(cluster_health(status)), line(Run(f"{up}/{total}", "" if up == total else "warn"), " nodes up")]
    if status.under_replicated:
        facts.append(line(Run(count(status.under_replicated), "warn"), " under-replicated"))
    facts.append(line(f"{share(status.stored_bytes, status.capacity_bytes)} full"))
    if status.healing:
        facts.append(line(Run(f"healing {count(status.healing)}", "accent")))
    return facts


def link_run(state: AppState, now_s: float, width: int) -> Run:
    link, old_s = state.link(now_s), state.age_s(now_s)
    if link is Link.CONNECTING:
        stage = f" {safe(state.stage)}" if width >= 60 else ""
        return Run(f"◌ CONNECTING{stage}", "accent")
    if link is Link.STALE:
        return Run(f"◌ STALE {duration(old_s)}", "bad")
    if link is Link.PAUSED:
        return Run(f"‖ PAUSED {duration(old_s)}", "warn")
    return Run(f"● LIVE {age(int(old_s * 1000))}", "good")


class Header(Canvas):
    """One line, drawn from the app's state."""

    def __init__(self, state: AppState, crumbs: Callable[[], Sequence[str]], clock: Callable[[], float]) -> None:
        super().__init__()
        self._state = state
        self._crumbs = crumbs
        self._clock = clock

    def draw(self, width: int, height: int) -> Sequence[Line]:
        return [header(self._state, self._crumbs(), self._clock(), width)]
