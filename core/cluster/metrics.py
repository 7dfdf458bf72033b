"""What DAME's processes tell Prometheus, by Ray's own metrics API: Ray serves it on the metrics port of each Ray node.

Ray puts `ray_` before every name. The names follow Prometheus' conventions: base units (seconds, bytes), and `_total`
at the end of what grows. A counter or histogram is of one process and begins anew with it; Ray tells the processes
apart by the label WorkerId. A gauge is gone some 20 s after it was last set.

Labels are names of nodes, methods, verbs and the like, of which there are few; never artifacts or chunks. Nothing is
decided here. Recording one value costs about 2 us.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ray.util.metrics import Counter, Gauge, Histogram

from core.errors import (
    ChunkCorrupt,
    ChunkMissing,
    DiskFailure,
    DiskFull,
    LocalFailure,
    NodeNotServing,
    Rejected,
    Unavailable,
)
from core.model import BeginRequest, ClusterStatus, CommitRequest, Event, Heartbeat, Lease, NodeInfo
from core.namenode.service import METHODS

log = logging.getLogger("dame")

PUBLISH_MS = 5_000
"""How often the cluster's state is told: twice in each of the periods (10 s) after which Ray forgets what is not."""

Kind = Literal["counter", "gauge", "histogram"]

CALL_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 1.0, 5.0)
"""Bounds for calls of the NameNode: most take less than a millisecond, a commit of many chunks takes seconds."""
CHUNK_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 20.0)
"""Bounds for chunks on their way to or from a disk, up to the default `store_timeout_ms`."""


@dataclass(frozen=True)
class Metric:
    """One metric; on the Prometheus page its name begins with `ray_`."""

    name: str
    kind: Kind
    text: str
    """What it tells, as a sentence."""
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, in seconds."""

    @property
    def exported_name(self) -> str:
        """As Prometheus knows it; of a histogram, without `_bucket`, `_count`, `_sum`."""
        return f"ray_{self.name}"


# --- Of the cluster: told by the NameNode's process -------------------------------------------------------------

Values = Mapping[str, float | None]
"""By value of the only label; by "" where there is none. None: not known just now, so nothing is told."""


@dataclass(frozen=True)
class StatusGauge:
    metric: Metric
    values: Callable[[ClusterStatus], Values]


def _one(name: str, text: str, value: Callable[[ClusterStatus], float | None]) -> StatusGauge:
    return StatusGauge(Metric(f"dame_{name}", "gauge", text), lambda status: {"": value(status)})


def _by_health(status: ClusterStatus) -> Values:
    return {
        "ok": status.chunks - status.under_replicated,
        "under": status.under_replicated - status.at_risk - status.missing,
        "at_risk": status.at_risk,
        "lost": status.missing,
    }


def _seconds(duration_ms: int | None) -> float | None:
    return None if duration_ms is None else duration_ms / 1000


def _scrub_age_s(status: ClusterStatus) -> float | None:
    return (status.now_ms - status.last_scrub_ms) / 1000 if status.last_scrub_ms else None


STATUS_GAUGES = (
    _one("epoch", "Number of this NameNode; grows by one with each start.", lambda s: s.epoch),
    _one("safe_mode", "1 while the NameNode waits for its nodes' first reports.", lambda s: s.safe_mode),
    _one("read_only", "1 while nothing can be stored or changed.", lambda s: bool(s.read_only)),
    StatusGauge(Metric("dame_nodes", "gauge", "Storage nodes by state.", ("state",)), lambda s: dict(s.nodes)),
    _one("artifacts", "Live artifacts.", lambda s: s.artifacts),
    _one("versions", "Versions of live artifacts.", lambda s: s.versions),
    _one("leases", "Uploads under way.", lambda s: s.leases),
    StatusGauge(Metric("dame_chunks", "gauge", "Chunks by health of their replicas.", ("health",)), _by_health),
    _one("logical_bytes", "Sizes of all live versions.", lambda s: s.logical_bytes),
    _one("stored_bytes", "All replicas on nodes that are not down.", lambda s: s.stored_bytes),
    _one("capacity_bytes", "What the nodes that are not down could hold.", lambda s: s.capacity_bytes),
    _one("healing_copies", "Replica copies ordered and not yet confirmed.", lambda s: s.healing),
    _one("healing_left_bytes", "Replicas still to be copied.", lambda s: s.healing_bytes),
    _one("healing_bytes_per_second", "Replicas copied, lately.", lambda s: s.healing_bytes_per_s),
    _one("healing_eta_seconds", "Until healing is done, at the speed of late.", lambda s: _seconds(s.healing_eta_ms)),
    _one("healing_waits", "1 while healing waits; `status` says why.", lambda s: bool(s.healing_waits)),
    _one("rebalancing_copies", "Copies under way that even out the nodes.", lambda s: s.rebalancing),
    _one("scrub_replicas", "Replicas in the scrubbers' present rounds.", lambda s: s.scrub_total),
    _one("scrub_replicas_done", "Replicas re-read in these rounds.", lambda s: s.scrub_done),
    _one("scrub_bytes_per_second", "Re-read by all scrubbers.", lambda s: s.scrub_bytes_per_s),
    _one("scrub_age_seconds", "Within this age every replica was re-read.", _scrub_age_s),
    _one("corrupt_replicas", "Found bad since the NameNode started.", lambda s: s.corrupt),
    _one("quarantined_replicas", "Bad replicas that are kept for a while.", lambda s: s.quarantined),
    _one("quarantined_bytes", "Size of the bad replicas; part of the stored bytes.", lambda s: s.quarantined_bytes),
    _one("garbage_chunks", "Chunks that nothing counts, to be removed.", lambda s: s.garbage_chunks),
    _one("garbage_bytes", "Size of the garbage; chunks of no known origin included.", lambda s: s.garbage_bytes),
    _one("unknown_bytes", "Chunks that this cluster knows nothing of.", lambda s: s.unknown_bytes),
    _one("trash_artifacts", "Deleted artifacts that can be undeleted.", lambda s: s.trash),
    _one("trash_bytes", "Sizes of all versions in the trash.", lambda s: s.trash_bytes),
    _one(
        "checkpoint_age_seconds",
        "Age of the newest copy of the catalog in the store.",
        lambda s: _seconds(s.checkpoint_age_ms),
    ),
    _one(
        "checkpoint_edits_behind",
        "Edits of the catalog that are not in that copy.",
        lambda s: s.checkpoint_edits_behind,
    ),
)

SERVING = Metric("dame_namenode_serving", "gauge", "1 while the NameNode answers, 0 while it refuses.")
HEARTBEAT_AGE = Metric(
    "dame_node_heartbeat_age_seconds", "gauge", "How long ago a storage node was last heard of.", ("node",)
)
CALLS = Metric(
    "dame_namenode_call_seconds",
    "histogram",
    "Calls of the NameNode, without the wait for its turn.",
    ("method",),
    CALL_SECONDS,
)
CALL_OUTCOMES = Metric("dame_namenode_calls_total", "counter", "Calls of the NameNode.", ("method", "outcome"))
OPERATIONS = Metric(
    "dame_operations_total", "counter", "What clients asked for, once for each that ended.", ("verb", "outcome")
)
EVENTS = Metric("dame_events_total", "counter", "Lines of the event log.", ("severity",))

# --- Of one storage node: told by its own process ---------------------------------------------------------------

CHUNK_CALLS = Metric(
    "dame_storage_call_seconds",
    "histogram",
    "A chunk stored, read or copied by a node's process.",
    ("node", "operation"),
    CHUNK_SECONDS,
)
CHUNK_OUTCOMES = Metric(
    "dame_storage_calls_total", "counter", "Chunks stored, read or copied.", ("node", "operation", "outcome")
)
READ_BYTES = Metric("dame_storage_read_bytes_total", "counter", "Read by clients and by other nodes.", ("node",))
WRITTEN_BYTES = Metric("dame_storage_written_bytes_total", "counter", "New replicas made durable.", ("node",))
COPIED_BYTES = Metric(
    "dame_storage_copied_bytes_total", "counter", "The part of written bytes pulled from other nodes.", ("node",)
)
USED_BYTES = Metric("dame_storage_used_bytes", "gauge", "Chunk files, quarantine included.", ("node",))
FREE_BYTES = Metric("dame_storage_free_bytes", "gauge", "What the node may still take.", ("node",))
CHUNKS = Metric("dame_storage_chunks", "gauge", "Replicas held.", ("node",))
COPYING = Metric("dame_storage_copying", "gauge", "Copies ordered from the node and not made.", ("node",))

NAMENODE_METRICS = (
    *(gauge.metric for gauge in STATUS_GAUGES),
    *(SERVING, HEARTBEAT_AGE, CALLS, CALL_OUTCOMES, OPERATIONS, EVENTS),
)
STORAGE_METRICS = (
    *(CHUNK_CALLS, CHUNK_OUTCOMES, READ_BYTES, WRITTEN_BYTES, COPIED_BYTES),
    *(USED_BYTES, FREE_BYTES, CHUNKS, COPYING),
)
METRICS: tuple[Metric, ...] = NAMENODE_METRICS + STORAGE_METRICS

# --- Words for labels -------------------------------------------------------------------------------------------

_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (NodeNotServing, "not_serving"),
    (ChunkMissing, "chunk_missing"),
    (ChunkCorrupt, "chunk_corrupt"),
    (DiskFull, "disk_full"),
    (DiskFailure, "disk_failure"),
    (Rejected, "rejected"),
    (Unavailable, "unavailable"),
    (LocalFailure, "local_failure"),
)

_VERBS = {"artifacts": "list", "set_replication": "replicate"} | {
    verb: verb for verb in ("history", "info", "trash", "delete", "undelete", "purge", "forget", "resume", "scrub")
}
"""Methods that are each called once for a verb."""

METHODS_NAMED = METHODS | {"meet", "resume"}
"""Whatever else a caller asks for is `other`."""

_WISHES = {"failed": "fail", "draining": "drain"}
_WISHES_OVER = {"failed": "recover", "draining": "undrain"}


def outcome(error: BaseException | None) -> str:
    """`done`, a storage node's reason, a branch of the tree of errors, or `defect` for all that nobody foresaw."""
    if error is None:
        return "done"
    return next((word for kind, word in _OUTCOMES if isinstance(error, kind)), "defect")


def operation(method: str, arguments: Sequence[Any], how: str) -> tuple[str, str] | None:
    """The verb that a call of the NameNode completes or ends, and how; None for a call that is only a part of one.

    An upload ends with its commit, with a refusal to begin, or when it is abandoned: whatever was refused between.
    """
    match method, arguments:
        case "begin", [BeginRequest(mode=("upload" | "update" | "checkpoint") as mode), *_] if how != "done":
            return mode, how
        case "commit", [CommitRequest(lease=Lease(mode=("upload" | "update" | "checkpoint") as mode)), *_]:
            return (mode, how) if how == "done" else None
        case "abandon", [Lease(mode=("upload" | "update" | "checkpoint") as mode), *_]:
            return mode, "abandoned"
        case "locate", [_, _, _, _, artifact, *_] if artifact is not None:
            return None  # a later window of a reading
        case "locate", _:
            return "get", how
        case "set_wish", [_, _, wish, *rest]:
            return _WISHES.get(wish) or _WISHES_OVER.get(rest[0] if rest else "", "recover"), how
        case "fsck", ["", *_]:
            return "fsck", how
    verb = _VERBS.get(method)
    return (verb, how) if verb else None


# --- Recording --------------------------------------------------------------------------------------------------


class Recorder:
    """Ray's objects for some metrics, by name. Made in the process that records."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._made = {metric.name: _made(metric) for metric in metrics}

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        if amount > 0:  # Ray refuses to add nothing
            self._made[metric.name].inc(amount, labels)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        self._made[metric.name].set(float(value), labels)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        self._made[metric.name].observe(value, labels)


def _made(metric: Metric) -> Any:
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.text, list(metric.bounds), metric.labels)
    return (Counter if metric.kind == "counter" else Gauge)(metric.name, metric.text, metric.labels)


@dataclass
class Measured:
    """A call under way."""

    outcome: str = "done"
    """May be set before it ends."""
    duration_s: float = 0.0
    """Once it has ended."""


@contextmanager
def _measured(tell: Callable[[Measured], None]) -> Iterator[Measured]:
    """Around a call, which is told when it has ended, however it does."""
    call = Measured()
    started = time.perf_counter()
    try:
        yield call
    except BaseException as error:
        call.outcome = outcome(error)
        raise
    finally:
        call.duration_s = time.perf_counter() - started
        try:
            tell(call)
        except Exception:  # whatever it is, what was called is over
            log.exception("counting a call failed inside")


class NameNodeMetrics:
    def __init__(self, recorder: Recorder | None = None) -> None:
        self._record = recorder or Recorder(NAMENODE_METRICS)

    def call(self, method: str, arguments: Sequence[Any]) -> AbstractContextManager[Measured]:
        """Around one call of the NameNode."""
        return _measured(lambda call: self._called(method, arguments, call))

    def _called(self, method: str, arguments: Sequence[Any], call: Measured) -> None:
        name = method if isinstance(method, str) and method in METHODS_NAMED else "other"
        self._record.observe(CALLS, call.duration_s, method=name)
        self._record.add(CALL_OUTCOMES, 1, method=name, outcome=call.outcome)
        if (ended := operation(name, arguments, call.outcome)) is not None:
            self._record.add(OPERATIONS, 1, verb=ended[0], outcome=ended[1])

    def event(self, event: Event) -> None:
        self._record.add(EVENTS, 1, severity=event.severity)

    def refuses(self) -> None:
        self._record.set(SERVING, 0)

    def state(self, status: ClusterStatus, nodes: Sequence[NodeInfo]) -> None:
        """To be told again every PUBLISH_MS."""
        self._record.set(SERVING, 1)
        for gauge in STATUS_GAUGES:
            for word, value in gauge.values(status).items():
                if value is not None:
                    self._record.set(gauge.metric, value, **dict.fromkeys(gauge.metric.labels, word))
        for node in nodes:
            self._record.set(HEARTBEAT_AGE, node.heartbeat_age_ms / 1000, node=node.name)


class StorageNodeMetrics:
    def __init__(self, recorder: Recorder | None = None) -> None:
        self._record = recorder or Recorder(STORAGE_METRICS)
        self._told: dict[Metric, int] = {}
        """Of the process' counters, what was told already."""

    def call(self, node: str, operation: str) -> AbstractContextManager[Measured]:
        """Around a chunk's way to or from the disk."""
        return _measured(lambda call: self._called(node, operation, call))

    def _called(self, node: str, operation: str, call: Measured) -> None:
        self._record.observe(CHUNK_CALLS, call.duration_s, node=node, operation=operation)
        self._record.add(CHUNK_OUTCOMES, 1, node=node, operation=operation, outcome=call.outcome)

    def heartbeat(self, node: str, heartbeat: Heartbeat) -> None:
        for gauge, value in (
            (USED_BYTES, heartbeat.usage.used_bytes),
            (FREE_BYTES, heartbeat.usage.free_bytes),
            (CHUNKS, heartbeat.chunks),
            (COPYING, heartbeat.copying),
        ):
            self._record.set(gauge, value, node=node)
        for counter, total in (
            (READ_BYTES, heartbeat.read_bytes),
            (WRITTEN_BYTES, heartbeat.written_bytes),
            (COPIED_BYTES, heartbeat.copied_bytes),
        ):
            self._record.add(counter, total - self._told.get(counter, 0), node=node)
            self._told[counter] = total
