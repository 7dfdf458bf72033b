"""What is told to Prometheus, and under which words. tests/integration/test_metrics.py reads it back from Ray."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core import errors
from core.cluster import metrics
from core.cluster.metrics import METRICS, Metric, NameNodeMetrics, Recorder, StorageNodeMetrics, operation, outcome
from core.model import BeginRequest, CommitRequest, DiskUsage, Event, Heartbeat, Lease
from tests.fakes import FakeStore


class Told(Recorder):
    """Keeps what Ray would be told."""

    def __init__(self) -> None:
        self.added: Counter[tuple[str, ...]] = Counter()
        self.values: dict[tuple[str, ...], float] = {}
        self.observed: list[tuple[str, ...]] = []

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        self.added[self._key(metric, labels)] += amount  # type: ignore[assignment]

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        self.values[self._key(metric, labels)] = value

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        self.observed.append(self._key(metric, labels))

    @staticmethod
    def _key(metric: Metric, labels: dict[str, str]) -> tuple[str, ...]:
        assert metric in METRICS and tuple(labels) == metric.labels and all(map(str.__instancecheck__, labels.values()))
        return (metric.name, *labels.values())


# --- The list of metrics ----------------------------------------------------------------------------------------


def test_names_are_unique_and_follow_prometheus_conventions() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"dame_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not re.search(r"_(ms|kib|mib)(_|$)", metric.name)
        assert bool(metric.bounds) == (metric.kind == "histogram") and list(metric.bounds) == sorted(metric.bounds)
        assert metric.text.endswith(".")


def test_labels_are_of_few_values() -> None:
    assert {label for metric in METRICS for label in metric.labels} == {
        *("state", "health", "method", "outcome", "verb", "severity", "node", "operation")
    }


def test_the_manual_tells_of_every_metric_and_of_no_other() -> None:
    manual = (Path(__file__).resolve().parents[3] / "docs" / "OPERATIONS.md").read_text()
    for metric in METRICS:
        row = f"| `{metric.exported_name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.text} |"
        assert row in manual
    series = {metric.exported_name for metric in METRICS} | {f"{metrics.CALLS.exported_name}_bucket"}
    assert set(re.findall(r"ray_dame_\w*[a-z]", manual)) <= series


# --- The NameNode -----------------------------------------------------------------------------------------------


def lease(mode: Any) -> Lease:
    return Lease("l", "name", mode, 3, 8, 0)


@pytest.mark.parametrize(
    ("method", "arguments", "how", "told"),
    [
        ("begin", (BeginRequest("b", "n", "upload", 1, None, None),), "done", None),
        ("begin", (BeginRequest("b", "n", "update", 1, None, None),), "rejected", ("update", "rejected")),
        ("commit", (CommitRequest(lease("upload"), 1, "", ()),), "done", ("upload", "done")),
        ("commit", (CommitRequest(lease("upload"), 1, "", ()),), "unavailable", None),
        ("abandon", (lease("checkpoint"),), "done", ("checkpoint", "abandoned")),
        ("locate", ("n", None, 0, 64), "done", ("get", "done")),
        ("locate", ("n", None, 0, 64, None), "rejected", ("get", "rejected")),
        ("locate", ("n", 3, 64, 64, 17), "done", None),
        ("set_wish", ("o", "sn-1", "failed", None), "done", ("fail", "done")),
        ("set_wish", ("o", "sn-1", "draining", None), "done", ("drain", "done")),
        ("set_wish", ("o", "sn-1", "none", "failed"), "done", ("recover", "done")),
        ("set_wish", ("o", "sn-1", "none", "draining"), "done", ("undrain", "done")),
        ("artifacts", ("",), "done", ("list", "done")),
        ("fsck", ("", 10), "done", ("fsck", "done")),
        ("fsck", ("ab", 10), "done", None),
        ("delete", ("o", "n"), "rejected", ("delete", "rejected")),
        ("heartbeat", (), "done", None),
        ("begin", (), "defect", None),
        ("begin", ("garbage",), "defect", None),
        ("commit", (CommitRequest(lease("a mode of one's own"), 1, "", ()),), "done", None),
    ],
)
def test_the_verb_that_a_call_completes(
    method: str, arguments: tuple[Any, ...], how: str, told: tuple[str, str] | None
) -> None:
    assert operation(method, arguments, how) == told


def test_every_error_has_an_outcome_and_they_are_few() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DameError)]
    assert outcome(None) == "done" and outcome(KeyError()) == "defect"
    found = {outcome(kind("why")) for kind in kinds}
    assert found == {word for _, word in metrics._OUTCOMES} | {"defect"}
    assert outcome(errors.DiskFull("")) == "disk_full" and outcome(errors.ArtifactNotFound("")) == "rejected"


def test_calls_are_counted_by_method_and_outcome_and_strangers_are_not_named() -> None:
    told = Told()
    tell = NameNodeMetrics(told)
    with tell.call("artifacts", ("",)):
        pass
    with pytest.raises(errors.ArtifactNotFound), tell.call("delete", ("o", "n")):
        raise errors.ArtifactNotFound("none")
    with pytest.raises(errors.InvalidRequest), tell.call("x" * 1000, ()):
        raise errors.InvalidRequest("no such method")
    assert told.added == {
        ("dame_namenode_calls_total", "artifacts", "done"): 1,
        ("dame_namenode_calls_total", "delete", "rejected"): 1,
        ("dame_namenode_calls_total", "other", "rejected"): 1,
        ("dame_operations_total", "list", "done"): 1,
        ("dame_operations_total", "delete", "rejected"): 1,
    }
    assert told.observed == [("dame_namenode_call_seconds", name) for name in ("artifacts", "delete", "other")]
    assert "other" not in metrics.METHODS_NAMED


def test_the_state_of_the_cluster() -> None:
    told = Told()
    tell = NameNodeMetrics(told)
    store = FakeStore()
    status = dataclasses.replace(
        store.status(), chunks=10, under_replicated=6, at_risk=3, missing=1, healing_eta_ms=None, last_scrub_ms=0
    )
    tell.state(status, store.nodes())
    values = told.values
    assert {word: values["dame_chunks", word] for word in ("ok", "under", "at_risk", "lost")} == {
        "ok": 4,
        "under": 2,
        "at_risk": 3,
        "lost": 1,
    }
    assert values["dame_nodes", "up"] == status.nodes["up"] and values[("dame_namenode_serving",)] == 1
    assert values[("dame_checkpoint_age_seconds",)] == 12.0
    assert {node.name for node in store.nodes()} == {key[1] for key in values if key[0] == metrics.HEARTBEAT_AGE.name}
    absent = {gauge.metric.name for gauge in metrics.STATUS_GAUGES} - {key[0] for key in values}
    assert absent == {"dame_healing_eta_seconds", "dame_scrub_age_seconds"}

    tell.state(dataclasses.replace(status, healing_eta_ms=1_500, last_scrub_ms=status.now_ms - 60_000), [])
    assert (values[("dame_healing_eta_seconds",)], values[("dame_scrub_age_seconds",)]) == (1.5, 60.0)
    tell.refuses()
    assert values[("dame_namenode_serving",)] == 0


def test_events_are_counted_by_severity() -> None:
    told = Told()
    for severity in ("info", "error", "info"):
        NameNodeMetrics(told).event(Event(1, 0, severity, "text"))  # type: ignore[arg-type]
    assert told.added == {("dame_events_total", "info"): 2, ("dame_events_total", "error"): 1}


# --- A storage node ---------------------------------------------------------------------------------------------


def test_a_heartbeats_totals_become_what_was_added_since_the_one_before() -> None:
    told = Told()
    tell = StorageNodeMetrics(told)
    beat = Heartbeat("id", "i", 1, DiskUsage(100, 900, "disk"), 3, 0, read_bytes=10, written_bytes=30, copied_bytes=20)
    tell.heartbeat("sn-1", beat)
    tell.heartbeat("sn-1", beat)
    tell.heartbeat("sn-1", dataclasses.replace(beat, read_bytes=15, copying=2))
    assert told.added["dame_storage_read_bytes_total", "sn-1"] == 15
    assert told.added["dame_storage_written_bytes_total", "sn-1"] == 30
    assert told.added["dame_storage_copied_bytes_total", "sn-1"] == 20
    assert told.values["dame_storage_used_bytes", "sn-1"] == 100
    assert told.values["dame_storage_free_bytes", "sn-1"] == 900
    assert (told.values["dame_storage_chunks", "sn-1"], told.values["dame_storage_copying", "sn-1"]) == (3, 2)


def test_a_chunks_way_is_counted_by_how_it_ended() -> None:
    told = Told()
    tell = StorageNodeMetrics(told)
    with tell.call("sn-1", "store"):
        pass
    with pytest.raises(errors.DiskFull), tell.call("sn-1", "store"):
        raise errors.DiskFull("no room")
    with tell.call("sn-1", "copy") as call:
        call.outcome = "failed"
    assert told.added == {
        ("dame_storage_calls_total", "sn-1", "store", "done"): 1,
        ("dame_storage_calls_total", "sn-1", "store", "disk_full"): 1,
        ("dame_storage_calls_total", "sn-1", "copy", "failed"): 1,
    }
    assert len(told.observed) == 3


def test_nothing_added_is_not_told_to_ray_which_would_refuse_it() -> None:
    recorder = Recorder(METRICS)
    recorder.add(metrics.READ_BYTES, 0, node="sn-1")
    recorder.add(metrics.READ_BYTES, 1, node="sn-1")
    recorder.set(metrics.SERVING, 1)
    recorder.observe(metrics.CALLS, 0.1, method="status")
