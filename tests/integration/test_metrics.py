"""What Prometheus and the logs are told by a real cluster: after an upload, a get and a failed node."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.cluster import metrics
from core.cluster.launch import log_directory
from core.cluster.metrics import METRICS
from core.errors import ArtifactNotFound
from core.store import ArtifactStore
from tests.integration.processes import eventually
from tests.integration.wholeness import KIB, content, has_all_copies, wait_until_whole

pytestmark = pytest.mark.ray

SIZE_BYTES = 700 * KIB
REFRESH_S = 90
"""Ray passes metrics on every 10 s."""

ABSENT_NOW_AND_THEN = {
    *("dame_healing_eta_seconds", "dame_scrub_age_seconds"),
    *("dame_checkpoint_age_seconds", "dame_checkpoint_edits_behind"),
}
"""Told only while they are known."""

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) (\S+) (.*)")


class Page:
    """Ray's Prometheus page of the cluster's only Ray node, at one moment."""

    def __init__(self) -> None:
        import ray  # after core.cluster has set the variables that it reads

        node = ray.nodes()[0]
        url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        self.samples = [sample for family in families for sample in family.samples]

    def values(self, name: str, *words: str) -> list[float]:
        """Of all series of this name, without `ray_`, that have labels with these values."""
        return [
            sample.value
            for sample in self.samples
            if sample.name == f"ray_{name}" and set(words) <= set(sample.labels.values())
        ]

    def sum(self, name: str, *words: str) -> float:
        return sum(self.values(name, *words))

    def gauge(self, name: str, *words: str) -> float:
        """For 20 s after a process has died its gauges stay beside those of its successor: the larger counts."""
        return max(self.values(name, *words), default=-1.0)

    def names(self) -> set[str]:
        return {re.sub(r"_(bucket|count|sum)$", "", sample.name) for sample in self.samples}


def refreshed(condition: Callable[[], bool]) -> None:
    """Until it is so: each process passes its metrics on at times of its own."""
    eventually(condition, timeout_s=REFRESH_S, every_s=1.0)


LEAST = {
    ("dame_operations_total", "upload", "done"): 1,
    ("dame_operations_total", "get", "done"): 1,
    ("dame_operations_total", "get", "rejected"): 1,
    ("dame_operations_total", "fail", "done"): 1,
    ("dame_namenode_call_seconds_count", "commit"): 1,
    ("dame_namenode_calls_total", "locate", "rejected"): 1,
    ("dame_events_total", "warning"): 1,
    ("dame_storage_written_bytes_total",): 3 * SIZE_BYTES,
    ("dame_storage_read_bytes_total",): SIZE_BYTES,
    ("dame_storage_copied_bytes_total",): 1,
    ("dame_storage_calls_total", "store", "done"): 3,
    ("dame_storage_call_seconds_count", "store"): 3,
    ("dame_storage_call_seconds_count", "copy"): 1,
}
"""By how much each must have grown, by values of its labels; summed over all others."""


def test_prometheus_is_told_of_an_upload_a_get_and_a_failed_node(healthy: ArtifactStore) -> None:
    data = content(61, SIZE_BYTES)
    before = Page()
    healthy.upload("metrics/one", data)
    assert healthy.get("metrics/one") == data
    with pytest.raises(ArtifactNotFound):
        healthy.get("metrics/none")
    healthy.scrub()
    victim = next(node for node in healthy.nodes() if node.id in healthy.info("metrics/one").chunks[0].replicas)
    healthy.fail(victim.name)
    try:
        refreshed(lambda: Page().gauge("dame_nodes", "failed") == 1)
        eventually(lambda: has_all_copies(healthy, "metrics/one"))  # others may want more copies than nodes are left
    finally:
        healthy.recover(victim.name)
        wait_until_whole(healthy)

    def short() -> dict[tuple[str, ...], float]:
        page = Page()
        grown = {series: page.sum(*series) - before.sum(*series) for series in LEAST}
        return {series: value for series, value in grown.items() if value < LEAST[series]}

    with suppress(AssertionError):  # what is still short says more
        refreshed(lambda: not short())
    assert short() == {}
    ours = {name for name in Page().names() if name.startswith("ray_dame_")}
    known = {metric.exported_name for metric in METRICS}
    assert ours <= known
    assert known - ours <= {f"ray_{name}" for name in ABSENT_NOW_AND_THEN}


def test_gauges_tell_the_state_of_the_cluster(healthy: ArtifactStore) -> None:
    healthy.upload("metrics/two", b"two")
    refreshed(lambda: Page().gauge("dame_chunks", "ok") == healthy.status().chunks)
    page = Page()
    assert page.gauge("dame_chunks", "lost") == page.gauge("dame_nodes", "failed") == 0
    assert page.gauge("dame_nodes", "up") == 4
    assert page.gauge("dame_namenode_serving") == 1
    assert page.gauge("dame_epoch") == healthy.status().epoch
    assert 0 < page.gauge("dame_stored_bytes") < page.gauge("dame_capacity_bytes")
    for metric in (metrics.USED_BYTES, metrics.FREE_BYTES, metrics.CHUNKS, metrics.HEARTBEAT_AGE):
        assert all(page.values(metric.name, node.name) for node in healthy.nodes())


def test_labels_name_no_artifact_and_no_chunk(healthy: ArtifactStore) -> None:
    healthy.upload("metrics/unmistakable", b"x" * 1000)
    chunk = healthy.info("metrics/unmistakable").chunks[0].id
    refreshed(lambda: Page().sum("dame_operations_total", "upload") >= 1)
    known = {label for metric in METRICS for label in metric.labels}
    for sample in Page().samples:
        if sample.name.startswith("ray_dame_"):
            ours = {key: value for key, value in sample.labels.items() if key in known}
            assert not any("unmistakable" in value or chunk[:12] in value for value in ours.values())


def test_each_event_is_a_line_in_rays_logs(healthy: ArtifactStore) -> None:
    victim = healthy.nodes()[0]
    healthy.fail(victim.name)
    healthy.recover(victim.name)
    events = healthy.events(0)
    lines = [
        found
        for path in Path(log_directory()).glob("worker-*.err*")
        for found in map(LINE.match, _lines(path))
        if found
    ]
    for event in events:
        told = [found for found in lines if f" seq={event.seq}" in found[3]]
        assert len(told) == 1, event
        assert told[0][1] == event.severity.upper() and told[0][2].startswith("namenode/")
        assert event.node == "" or f" node={event.node}" in told[0][3]
    opened = {found[3].partition(" node=")[2].partition(" ")[0] for found in lines if found[3].startswith("opened ")}
    assert {node.id for node in healthy.nodes()} <= opened
    assert any(found[2] == "supervisor" for found in lines)


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()
