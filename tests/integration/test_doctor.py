"""The doctor's visit to a real cluster: from a process outside of it, and from one that is connected already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.cluster.examine import inside
from core.doctor.examination import examine
from core.doctor.finding import DoctorReport, Finding
from core.store import ArtifactStore
from tests.integration.processes import dame, eventually

pytestmark = pytest.mark.ray


def test_the_doctor_asks_every_process_and_leaves_the_cluster_as_it_is(real_store: ArtifactStore) -> None:
    directory = Path(real_store.description.removeprefix("embedded in "))
    real_store.upload("looked-at", b"content")
    eventually(lambda: real_store.status().nodes["up"] == 4 and not real_store.status().under_replicated)
    for report in (examine(data_dir=directory), _from_outside(directory)):
        checks = {finding.check: finding for finding in report.findings if finding.check != "token"}
        assert report.problems == 0, report
        assert all(finding.level == "ok" for finding in checks.values()), report
        assert "5 processes of the cluster" in checks["versions"].seen
        assert "5 processes of the cluster" in checks["clocks"].seen
        assert {"NameNode", "nodes", "replicas", "disks", "catalog disk", "shared memory", "identities"} <= set(checks)
    assert inside(), "a connection that was there stays"
    assert real_store.get("looked-at") == b"content"


def _from_outside(directory: Path) -> DoctorReport:
    done = dame("doctor", "--json", data_dir=directory)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    findings = tuple(Finding(**finding) for finding in told.pop("findings"))
    return DoctorReport(**told, findings=findings)
