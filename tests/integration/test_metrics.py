"""What Prometheus and the logs are told by a real cluster: after an upload, a get and a failed node."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.cluster import metrics
from core.cluster.launch import log_directory
from core.cluster.metrics import METRICS
from core.errors import ArtifactNotFound
from core.store import ArtifactStore
from tests.integration.processes import eventually
from tests.integration.wholeness import KIB, content, is_whole

pytestmark = pytest.mark.ray

REFRESH_S = 90
"""Ray passes metrics on every 10 s."""

ABSENT_NOW_AND_THEN = {"dame_healing_eta_seconds", "dame_scrub_age_seconds", "dame_checkpoint_age_seconds"}
"""Told only while they are known."""

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) (\S+) (.*)")

Labels = frozenset[tuple[str, str]]


class Page:
    """Ray's Prometheus page of the cluster's only Ray node, at one moment."""

    def __init__(self) -> None:
        import ray  # after core.cluster has set the variables that it reads

        node = ray.nodes()[0]
        url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        self.samples = [sample for family in families for sample in family.samples]

    def values(self, name: str, **labels: str) -> list[float]:
        """Of all series of this name that have these labels."""
        return [
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def sum(self, name: str, **labels: str) -> float:
        return sum(self.values(name, **labels))

    def gauge(self, name: str, **labels: str) -> float:
        """For 20 s after a process has died its gauges stay beside those of its successor: the larger counts."""
        return max(self.values(name, **labels), default=-1.0)

    def names(self) -> set[str]:
        return {re.sub(r"_(bucket|count|sum)$", "", sample.name) for sample in self.samples}


def refreshed(condition: object) -> None:
    eventually(condition, timeout_s=REFRESH_S, every_s=1.0)  # type: ignore[arg-type]


def test_prometheus_is_told_of_an_upload_a_get_and_a_failed_node(healthy: ArtifactStore) -> None:
    data = content(61, 700 * KIB)
    before = Page()
    healthy.upload("metrics/one", data)
    assert healthy.get("metrics/one") == data
    with pytest.raises(ArtifactNotFound):
        healthy.get("metrics/none")
    healthy.scrub()
    victim = healthy.nodes()[0]
    healthy.fail(victim.name)
    try:
        refreshed(lambda: Page().gauge("ray_dame_nodes", state="failed") == 1)
        eventually(lambda: healthy.status().under_replicated == 0)
        refreshed(lambda: Page().sum("ray_dame_storage_copied_bytes_total") > 0)
    finally:
        healthy.recover(victim.name)
        eventually(lambda: is_whole(healthy))
    refreshed(lambda: Page().gauge("ray_dame_nodes", state="failed") == 0)

    page = Page()

    def grown(name: str, **labels: str) -> float:
        return page.sum(name, **labels) - before.sum(name, **labels)

    assert grown("ray_dame_operations_total", verb="upload", outcome="done") >= 1
    assert grown("ray_dame_operations_total", verb="get", outcome="done") >= 1
    assert grown("ray_dame_operations_total", verb="get", outcome="rejected") >= 1
    assert grown("ray_dame_operations_total", verb="fail", outcome="done") == 1
    assert grown("ray_dame_storage_written_bytes_total") >= 3 * len(data)
    assert grown("ray_dame_storage_read_bytes_total") >= len(data)
    assert grown("ray_dame_storage_calls_total", operation="store", outcome="done") >= 3
    assert grown("ray_dame_storage_call_seconds_count", operation="read") >= 1
    assert grown("ray_dame_namenode_call_seconds_count", method="commit") >= 1
    assert grown("ray_dame_events_total", severity="warning") >= 1
    assert page.gauge("ray_dame_chunks", health="ok") == healthy.status().chunks
    assert page.gauge("ray_dame_chunks", health="lost") == 0
    assert page.gauge("ray_dame_epoch") == healthy.status().epoch
    assert 0 < page.gauge("ray_dame_stored_bytes") < page.gauge("ray_dame_capacity_bytes")
    names = {node.name for node in healthy.nodes()}
    for metric in (metrics.USED_BYTES, metrics.FREE_BYTES, metrics.CHUNKS, metrics.HEARTBEAT_AGE):
        assert all(page.values(metric.exported_name, node=name) for name in names)

    missing = {metric.name for metric in METRICS if metric.exported_name not in page.names()}
    assert missing <= ABSENT_NOW_AND_THEN
    strangers = {name for name in page.names() if name.startswith("ray_dame_")}
    assert strangers <= {metric.exported_name for metric in METRICS}


def test_labels_name_no_artifact_and_no_chunk(healthy: ArtifactStore) -> None:
    healthy.upload("metrics/unmistakable", b"x" * 1000)
    chunk = healthy.info("metrics/unmistakable").chunks[0].id
    refreshed(lambda: Page().sum("ray_dame_operations_total", verb="upload") >= 1)
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
