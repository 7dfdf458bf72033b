"""Facts of a cluster that is well, to be made worse one at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.config import GIB
from core.doctor.facts import ClusterFacts, Directory, Facts, Heard, Link, ProcessFacts, Space, Token
from core.model import ClusterStatus, NodeInfo
from tests.fakes import FakeStore

CLUSTER_ID = "c1a5ce11-0000-4000-8000-000000000000"
NOW_MS = 1_700_000_000_000


def process(**changes: Any) -> ProcessFacts:
    well = ProcessFacts(
        host="here",
        python="3.11.7",
        ray="2.60.0",
        release="0.1.0",
        protocol=1,
        clock_ms=NOW_MS,
        shared_memory=Space(2 * GIB, 2 * GIB),
        disk=Space(100 * GIB, 50 * GIB),
        directory="/data",
        ray_node_id="ray-1",
    )
    return replace(well, **changes)


def heard(name: str, **changes: Any) -> Heard:
    return Heard(name, process(**{"host": "head", **changes}), NOW_MS - 3, NOW_MS + 3)


def node(number: int, **changes: Any) -> NodeInfo:
    well = FakeStore(4).nodes()[number - 1]
    return replace(well, host=f"host-{number}", **changes)


def status(**changes: Any) -> ClusterStatus:
    return replace(FakeStore(4).status(), cluster_id=CLUSTER_ID, **changes)


def directory(path: str, **changes: Any) -> Directory:
    well = Directory(path, "storage", CLUSTER_ID, f"node of {path}", in_use=True, disk=Space(100 * GIB, 50 * GIB))
    return replace(well, **changes)


def catalog(path: str = "/data/namenode", **changes: Any) -> Directory:
    return directory(path, kind="namenode", node_id="", **changes)


def cluster(**changes: Any) -> ClusterFacts:
    well = ClusterFacts(
        status=status(),
        nodes=tuple(node(number) for number in range(1, 5)),
        heard=(heard("the NameNode"), heard("sn-01", ray_node_id="ray-2")),
        object_stores=(("ray-1", GIB), ("ray-2", GIB)),
    )
    return replace(well, **changes)


def facts(**changes: Any) -> Facts:
    well = Facts(
        here=process(),
        token=Token("token", "/home/me/.ray/auth_token", "there", named=False, permissions=0o600),
        ports=(),
        directories=(),
        link=Link("at ray://head:10001", embedded=False, state="reached"),
        cluster=cluster(),
    )
    return replace(well, **changes)


def stopped(**changes: Any) -> Facts:
    """An embedded cluster that nobody runs."""
    return facts(
        **{"link": Link("embedded in /data", embedded=True, state="stopped"), "cluster": ClusterFacts(), **changes}
    )


def refused(cause: str = "other", **changes: Any) -> Facts:
    link = Link("at ray://head:10001", False, "refused", "It can't be reached.", cause)  # type: ignore[arg-type]
    return facts(**{"link": link, "cluster": ClusterFacts(), **changes})
