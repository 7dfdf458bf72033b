"""A walk through all verbs, as processes of their own that say how they ended, wherever the cluster runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

from core.verbs.registry import VERBS
from tests.integration.processes import assert_same, eventually
from tests.integration.wholeness import MIB, content

Run = Callable[..., subprocess.CompletedProcess[bytes]]
"""Called with the words of a verb, and with its standard input as `stdin`."""

NOT_WALKED = {"up", "exit"}
"""`up` starts an embedded cluster, and `exit` ends a dashboard."""


class Walk:
    """Takes verbs one by one on a cluster of so many storage nodes; it remembers which it took."""

    def __init__(self, run: Run, prefix: str, nodes: int) -> None:
        self.run = run
        self.prefix = prefix
        self.nodes = nodes
        self.taken: set[str] = set()

    def do(self, verb: str, *words: str, stdin: bytes = b"") -> bytes:
        self.taken.add(verb)
        done = self.run(verb, *words, stdin=stdin)
        assert done.returncode == 0, f"{verb} {words}: {done.stderr.decode()}"
        return done.stdout

    def ask(self, verb: str, *words: str) -> Any:
        return json.loads(self.do(verb, *words, "--json"))

    def refuse(self, verb: str, *words: str) -> str:
        """The sentence by which a verb that has nothing to do here says so. It writes nothing that looks like an
        answer, and the program's end says that it was refused."""
        self.taken.add(verb)
        done = self.run(verb, *words)
        assert done.returncode in (1, 2), (verb, words)
        assert done.stdout == b"", (verb, words)
        told = [line for line in done.stderr.decode().splitlines() if line.startswith("dame: ")]  # Compose tells more
        assert told and told[-1].endswith("."), done.stderr.decode()
        return told[-1]


def all_verbs(walk: Walk) -> None:
    content_verbs(walk)
    cluster_verbs(walk)
    refusals(walk)
    assert set(VERBS) - walk.taken <= NOT_WALKED


def content_verbs(walk: Walk) -> None:
    name, data = f"{walk.prefix}/data", content(7, 9 * MIB)
    walk.do("upload", name, "--file", "-", stdin=data)
    assert_same(walk.do("get", name), data)
    walk.do("update", name, "second")
    assert walk.do("get", name) == b"second"
    assert_same(walk.do("get", name, "--version", "1"), data)
    assert [version["version"] for version in walk.ask("history", name)] == [2, 1]
    eventually(lambda: _copies(walk, name) == [walk.nodes], every_s=1)
    assert name in [artifact["name"] for artifact in walk.ask("list")]
    walk.do("replicate", name, "2")
    eventually(lambda: _copies(walk, name) == [2], every_s=1)
    walk.do("delete", name)
    assert name in [artifact["name"] for artifact in walk.ask("trash")]
    walk.do("undelete", name)
    walk.do("delete", name)
    walk.do("purge", name)
    assert name not in [artifact["name"] for artifact in walk.ask("list") + walk.ask("trash")]


def cluster_verbs(walk: Walk) -> None:
    status = walk.ask("status")
    assert status["nodes"]["up"] == walk.nodes
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
    walk.refuse("forget", "sn-01")
    walk.refuse("get", "no such artifact")
    walk.refuse("restore-catalog")
    walk.do("resume")


def _copies(walk: Walk, name: str) -> list[int]:
    """How many replicas each chunk of the newest version has."""
    return [len(chunk["replicas"]) for chunk in walk.ask("info", name)["chunks"]]
