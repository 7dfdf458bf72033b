"""What docs/OPERATIONS.md tells an operator to do with containers: the doctor, and the return of a lost catalog."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compose.conftest import NODES, Cluster
from tests.compose.engine import Done, docker
from tests.compose.test_verbs import same_python
from tests.integration.processes import eventually

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]

RESTORE = 'dame restore-catalog $(printf -- "--storage %s " /var/lib/dame/storage/replica-*)'


def levels(done: Done) -> dict[str, set[str]]:
    """By check, what the doctor says of it."""
    report = json.loads(done.stdout)
    found: dict[str, set[str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["check"], set()).add(finding["level"])
    return found


def test_the_doctor_finds_a_healthy_cluster_well(cluster: Cluster) -> None:
    done = cluster.project.from_head("doctor", "--json")
    assert done.returncode == 0, done.stdout.decode()
    found = levels(done)
    assert found["token"] == found["clocks"] == found["shared memory"] == found["replicas"] == {"ok"}, done.stdout
    assert found["identities"] == {"ok"}, done.stdout


def test_the_doctor_sees_the_storage_directories_from_the_head(cluster: Cluster) -> None:
    project = cluster.project
    victim = project.containers("storage")[0]
    docker("stop", victim)
    eventually(lambda: project.nodes()[victim]["state"] == "down", every_s=1)
    report = json.loads(project.from_head("doctor", "--json").stdout)
    told = [finding["seen"] for finding in report["findings"] if finding["check"] == "identities"]
    assert any(seen.startswith("No process serves the storage directory") for seen in told), told
    docker("start", victim)


@same_python
def test_the_doctor_on_this_machine(cluster: Cluster, tmp_path: Path) -> None:
    done = cluster.project.from_host("doctor", "--json")
    assert done.returncode == 0, done.stdout.decode()
    assert levels(done)["token"] == levels(done)["ports"] == {"ok"}
    wrong = tmp_path / "auth_token"
    wrong.touch(0o600)
    wrong.write_text("0" * 64)
    for path in (wrong, tmp_path / "none"):
        done = cluster.project.from_host("doctor", "--json", environment={"RAY_AUTH_TOKEN_PATH": str(path)})
        assert done.returncode == 1, done.stderr.decode()
        assert "problem" in levels(done)["token"] and levels(done)["ports"] == {"ok"}


def test_a_lost_catalog_comes_back_from_the_volume_of_chunks(cluster: Cluster) -> None:
    project = cluster.project
    eventually(lambda: project.ask("status")["checkpoint_edits_behind"] == 0, timeout_s=420, every_s=2)
    project.compose("stop")
    in_head = ("run", "--rm", "-T", "--no-deps", "-e", "DAME_ADDRESS=", "--entrypoint", "sh")
    project.compose(*in_head, "head", "-c", "rm /var/lib/dame/namenode/catalog.sqlite*")
    told = project.compose(*in_head, "-v", f"{project.name}_storage:/var/lib/dame/storage", "head", "-c", RESTORE)
    assert b"Restored /var/lib/dame/namenode/catalog.sqlite" in told
    assert b"Every chunk that a version counts was found." in told
    project.up(NODES)
    project.wait_until_whole(NODES)
    cluster.check_that_nothing_is_lost()
