"""What the dashboard knows: one immutable picture of the cluster, and the few things around it of the screen's own."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.model import Artifact, ClusterStatus, Event, NodeInfo, Severity

HISTORY_MAX = 600
"""Samples kept for sparklines: ten minutes at one a second."""
OWN_EVENTS_MAX = 500
STALE_AFTER_S = 3.5
"""A picture older than this is called stale even before a call has failed: three polls missed."""


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment. Replaced as a whole, never changed."""

    sequence: int
    fetched_s: float
    """On the monotonic clock."""
    status: ClusterStatus
    nodes: tuple[NodeInfo, ...]
    artifacts: tuple[Artifact, ...]
    events: tuple[Event, ...]
    """The newest events of the cluster, oldest first."""

    def artifact(self, name: str) -> Artifact | None:
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)

    def node(self, id: str) -> NodeInfo | None:
        return next((node for node in self.nodes if node.id == id), None)


class Link(enum.Enum):
    """How the dashboard stands with the cluster."""

    CONNECTING = "CONNECTING"
    LIVE = "LIVE"
    STALE = "STALE"
    PAUSED = "PAUSED"


@dataclass
class AppState:
    """The one state of the app; owned by the event loop's thread."""

    place: str = ""
    """Where the cluster is, for people."""
    stage: str = "starting"
    """The start-up stage while connecting."""
    trouble: str = ""
    """The sentence of the last failed fetch; empty while fetches succeed."""
    latest: Snapshot | None = None
    shown: Snapshot | None = None
    """What panels draw: the latest picture, or the one that was there when the view was paused."""
    paused_s: float | None = None
    read_rates: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))
    write_rates: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))
    own_events: deque[Event] = field(default_factory=lambda: deque(maxlen=OWN_EVENTS_MAX))
    """What this dashboard did and was refused, told among the cluster's events."""
    deleted: list[str] = field(default_factory=list)
    """Names deleted from here, the last one last, for undo."""

    _merged: list[Event] | None = None
    _merged_from: tuple[Event, ...] = ()

    def accept(self, snapshot: Snapshot) -> None:
        """A new picture arrived."""
        self.latest = snapshot
        self.trouble = ""
        self.read_rates.append(snapshot.status.read_bytes_per_s)
        self.write_rates.append(snapshot.status.write_bytes_per_s)
        if self.paused_s is None:
            self.shown = snapshot

    def toggle_pause(self, now_s: float) -> None:
        self.paused_s = now_s if self.paused_s is None else None
        if self.paused_s is None:
            self.shown = self.latest

    def link(self, now_s: float) -> Link:
        if self.latest is None:
            return Link.CONNECTING
        if self.trouble or now_s - self.latest.fetched_s > STALE_AFTER_S:
            return Link.STALE
        return Link.LIVE if self.paused_s is None else Link.PAUSED

    def age_s(self, now_s: float) -> float:
        """Age of the newest picture, or of the pause."""
        if self.latest is None:
            return 0.0
        if self.paused_s is not None and self.link(now_s) is Link.PAUSED:
            return now_s - self.paused_s
        return max(0.0, now_s - self.latest.fetched_s)

    def tell(self, time_ms: int, text: str, severity: Severity = "info", artifact: str = "", node: str = "") -> None:
        """Note an event of this dashboard's own."""
        self.own_events.append(Event(0, time_ms, severity, text, node, artifact))
        self._merged = None

    def events(self) -> Sequence[Event]:
        """The cluster's events and our own, in the order of time. The same object while nothing has been added."""
        theirs = self.shown.events if self.shown else ()
        if self._merged is None or self._merged_from is not theirs:
            self._merged = sorted([*theirs, *self.own_events], key=lambda event: event.time_ms)
            self._merged_from = theirs
        return self._merged
