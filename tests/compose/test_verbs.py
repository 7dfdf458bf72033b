"""Every verb as README.md tells to run it: from a container of its own, and from the machine around the containers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from core.verbs.registry import VERBS
from tests.compose.conftest import NODES, Cluster
from tests.compose.engine import PYTHON, Done
from tests.integration.processes import eventually
from tests.integration.wholeness import MIB, content

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]

Run = Callable[..., Done]
same_python = pytest.mark.skipif(
    sys.version_info[:2] != PYTHON, reason=f"a Ray client needs the image's Python {'.'.join(map(str, PYTHON))}"
)


class Walk:
    """A walk through all verbs; it remembers which it took."""

    def __init__(self, run: Run, prefix: str) -> None:
        self.run = run
        self.prefix = prefix
        self.taken: set[str] = set()

    def do(self, verb: str, *words: str, stdin: bytes = b"") -> bytes:
        self.taken.add(verb)
        done = self.run(verb, *words, stdin=stdin)
        assert done.returncode == 0, f"{verb} {words}: {done.stderr.decode()}"
        return done.stdout

    def ask(self, verb: str, *words: str) -> Any:
        return json.loads(self.do(verb, *words, "--json"))


def content_verbs(walk: Walk) -> None:
    name, data = f"{walk.prefix}/data", content(7, 9 * MIB)
    walk.do("upload", name, "--file", "-", stdin=data)
    assert walk.do("get", name) == data
    walk.do("update", name, "second")
    assert walk.do("get", name) == b"second"
    assert walk.do("get", name, "--version", "1") == data
    assert [version["version"] for version in walk.ask("history", name)] == [2, 1]
    assert [len(chunk["replicas"]) for chunk in walk.ask("info", name)["chunks"]] == [NODES]
    assert name in [artifact["name"] for artifact in walk.ask("list")]
    walk.do("replicate", name, "2")
    eventually(lambda: [len(chunk["replicas"]) for chunk in walk.ask("info", name)["chunks"]] == [2], every_s=1)
    walk.do("delete", name)
    assert name in [artifact["name"] for artifact in walk.ask("trash")]
    walk.do("undelete", name)
    walk.do("delete", name)
    walk.do("purge", name)
    assert name not in [artifact["name"] for artifact in walk.ask("list") + walk.ask("trash")]


def cluster_verbs(walk: Walk) -> None:
    status = walk.ask("status")
    assert status["nodes"]["up"] == NODES
    first = sorted(walk.ask("nodes"), key=lambda node: str(node["name"]))[0]
    assert walk.ask("node", first["name"])["id"] == first["id"]
    walk.do("fail", first["name"])
    eventually(lambda: walk.ask("node", first["name"])["state"] == "failed", every_s=1)
    walk.do("recover", first["name"])
    eventually(lambda: walk.ask("node", first["name"])["state"] == "up", every_s=1)
    walk.do("drain", first["name"])
    walk.do("undrain", first["name"])
    walk.do("scrub", "--no-wait")
    assert walk.ask("events")
    walk.do("fsck")
    assert b"upload" in walk.do("help")
    walk.do("doctor")


def refusals(walk: Walk) -> None:
    """Verbs that have nothing to do here say so, and the program's end says that they were refused."""
    for words in (("forget", "sn-01"), ("get", "no such artifact"), ("restore-catalog",)):
        walk.taken.add(words[0])
        done = walk.run(*words)
        assert done.returncode in (1, 2), words
        assert done.stdout == b"", words
        told = [line for line in done.stderr.decode().splitlines() if line.startswith("dame: ")]  # Compose tells more
        assert told and told[-1].endswith("."), done.stderr.decode()
    walk.do("resume")


@pytest.fixture(params=["tui", "host"])
def walk(request: pytest.FixtureRequest, cluster: Cluster) -> Walk:
    if request.param == "tui":
        return Walk(cluster.project.from_tui, "tui")
    if sys.version_info[:2] != PYTHON:
        pytest.skip(f"a Ray client needs the image's Python {'.'.join(map(str, PYTHON))}")
    return Walk(cluster.project.from_host, "host")


def test_all_verbs(walk: Walk, cluster: Cluster) -> None:
    content_verbs(walk)
    cluster_verbs(walk)
    refusals(walk)
    # `up` starts an embedded cluster, and `exit` ends a dashboard
    assert set(VERBS) - walk.taken <= {"up", "exit"}
    cluster.check_that_nothing_is_lost()
