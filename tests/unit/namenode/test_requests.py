"""A request that can't be understood is refused before anything is changed, and ends no NameNode."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from core.checkpoint.manifest import Manifest
from core.config import Config
from core.errors import DameError, InvalidRequest, ProtocolMismatch
from core.model import (
    BeginRequest,
    ChunkKey,
    CommitRequest,
    DiskUsage,
    FullReport,
    Heartbeat,
    Lease,
    Registration,
    ScrubOrder,
    StoredChunk,
)
from core.namenode import crashes
from core.namenode.namenode import NameNode
from core.namenode.requests import check_arguments
from core.namenode.service import METHODS, NameNodeService
from core.protocol import PROTOCOL_VERSION, RELEASE, meet
from tests.unit.namenode.driver import FakeNode, key_of

CONFIG = Config(chunk_size_bytes=4, catalog_ballast_bytes=0)
NOW_MS = 1_700_000_000_000

KEY = key_of(b"abcd")
LEASE = Lease("op-begin", "a", "upload", 1, 4, NOW_MS, 0, 1, "cluster-1")
GOOD: dict[str, tuple[Any, ...]] = {
    "meet": (PROTOCOL_VERSION, RELEASE),
    "register": (Registration("node-1", "cluster-1", "i-1", "e", "host", 7, "/d", DiskUsage(0, 1000, "disk")),),
    "heartbeat": (Heartbeat("node-1", "i-1", 1, DiskUsage(0, 1000, "disk"), 1, 2**64 - 1, (KEY,), ("00" * 32,)),),
    "full_report": (FullReport("node-1", "i-1", 1, 0, 1, (KEY,)),),
    "wish": ("node-1",),
    "begin": (BeginRequest("op-begin", "a", "upload", 4, 1, 4, 0, "cluster-1"),),
    "allocate": (LEASE, (KEY,), ("node-2",)),
    "commit": (CommitRequest(LEASE, 4, "00" * 32, (StoredChunk(KEY, ("node-1",)),)),),
    "abandon": (LEASE,),
    "set_replication": ("op-replication", "a", 1),
    "delete": ("op-delete", "a"),
    "undelete": ("op-undelete", "a"),
    "purge": ("op-purge", "a"),
    "trash": (),
    "locate": ("a", 1, 0, 1, 1),
    "artifacts": ("",),
    "history": ("a",),
    "info": ("a", 1),
    "status": (),
    "nodes": (),
    "nodes_of": ("host",),
    "node": ("node-1",),
    "node_ref": ("node-1",),
    "events": (0,),
    "checkpoint_stored": (Manifest("cluster-1", 1, 2, NOW_MS, 4, "00" * 32, (KEY,)), 1, 1),
    "checkpoint_failed": ("the disk is full",),
    "set_wish": ("op-wish", "node-1", "draining", "none"),
    "forget": ("op-forget", "node-1"),
    "fsck": ("", 10),
    "fsck_repair": (),
    "scrub": (),
    "scrub_progress": (ScrubOrder(1, ("node-1",)),),
}
ALIEN: tuple[Any, ...] = (None, object(), b"bytes", 1.5, [], {}, [None], (1,), ["a"])
EXTREME_TEXTS = ("", "\ud800", "\0", "a" * 100_000, "../..", "zz" * 32)
EXTREME_NUMBERS = (0, -1, 2**31, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[NameNodeService]:
    made = NameNodeService(tmp_path, CONFIG, lambda: "cluster-1", lambda: random.Random(1))
    made.open(NOW_MS)
    yield made
    made.close()


def variants(value: Any) -> Iterator[Any]:
    """The same with one thing in it that it should not have."""
    yield from ALIEN
    if isinstance(value, str):
        yield from EXTREME_TEXTS
    elif isinstance(value, int):
        yield from EXTREME_NUMBERS
    elif isinstance(value, tuple):
        yield (*value, *value)
        for other in variants(value[0]) if value else ():
            yield (other,)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for other in variants(getattr(value, field.name)):
                yield replace(value, **{field.name: other})


def asked(service: NameNodeService, method: str, arguments: Sequence[Any]) -> str:
    """How it ended. An AssertionError here is a NameNode that ended."""
    try:
        service.ask(NOW_MS, method, *arguments)
    except DameError as error:
        return type(error).__name__
    return "done"


def test_what_is_asked_as_declared_is_understood(service: NameNodeService) -> None:
    assert set(GOOD) == {*METHODS, "meet"}
    for method, arguments in GOOD.items():
        check_arguments(
            method, meet if method == "meet" else getattr(NameNode, method), arguments, 2 * (method != "meet")
        )
        asked(service, method, arguments)


def test_a_version_comes_to_be_by_what_is_asked_here(service: NameNodeService) -> None:
    node = FakeNode("node-1", "host")
    service.ask(NOW_MS, "register", node.registration())
    service.ask(NOW_MS, "heartbeat", node.heartbeat())
    assert [asked(service, method, GOOD[method]) for method in ("begin", "allocate", "commit", "info")] == ["done"] * 4


@pytest.mark.parametrize("method", sorted(GOOD))
def test_no_argument_breaks_it(service: NameNodeService, method: str) -> None:
    first = FakeNode("node-1", "host")
    for asked_before in ([], ["begin"], ["begin", "allocate"], ["begin", "allocate", "commit"]):
        service.ask(NOW_MS, "register", first.registration())
        service.ask(NOW_MS, "heartbeat", first.heartbeat())
        for before in asked_before:
            asked(service, before, GOOD[before])
        for place, argument in enumerate(GOOD[method]):
            for other in variants(argument):
                asked(service, method, [*GOOD[method][:place], other, *GOOD[method][place + 1 :]])
        assert service.namenode is not None
        service.namenode.check_invariants()
    assert crashes.read(service.catalog.directory if service.catalog else Path()) == []


@pytest.mark.parametrize("method", sorted(GOOD))
def test_too_few_arguments_and_too_many_are_refused(service: NameNodeService, method: str) -> None:
    many = (*GOOD[method], *("more",) * 3)
    with pytest.raises(InvalidRequest, match=f"`{method}` of the NameNode takes .* with {len(many)} arguments"):
        service.ask(NOW_MS, method, *many)
    if GOOD[method]:
        with pytest.raises(InvalidRequest, match="with 0 arguments"):
            service.ask(NOW_MS, method)


@pytest.mark.parametrize("method", [None, 7, [], {}, b"status", object()])
def test_what_is_no_name_of_a_method_is_refused(service: NameNodeService, method: Any) -> None:
    with pytest.raises(InvalidRequest, match="has no method"):
        service.ask(NOW_MS, method)


def test_the_refusal_names_the_argument(service: NameNodeService) -> None:
    with pytest.raises(InvalidRequest, match="`history` of the NameNode can't take this for its name: a int"):
        service.ask(NOW_MS, "history", 7)
    broken = replace(GOOD["commit"][0], chunks=(StoredChunk(ChunkKey("00" * 32, "4"), ()),))  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="`commit` of the NameNode can't take this for its request"):
        service.ask(NOW_MS, "commit", broken)


def test_a_value_of_a_release_with_fewer_fields_is_refused(service: NameNodeService) -> None:
    request = GOOD["begin"][0]
    del request.__dict__["replication"]
    try:
        with pytest.raises(InvalidRequest):
            service.ask(NOW_MS, "begin", request)
    finally:
        request.__dict__["replication"] = 1


def test_a_storage_node_of_another_release_is_told_so_whatever_it_is_by_then(service: NameNodeService) -> None:
    registration = replace(GOOD["register"][0], protocol=PROTOCOL_VERSION + 1, usage="all of it")
    with pytest.raises(ProtocolMismatch, match="upgrade the head first"):
        service.ask(NOW_MS, "register", registration)
    with pytest.raises(InvalidRequest):
        service.ask(NOW_MS, "register", replace(registration, host=None))


def test_looking_at_a_long_list_takes_less_than_its_way_here() -> None:
    """Unpickling it takes some seconds."""
    chunks = tuple(StoredChunk(ChunkKey(f"{number:064x}", 4), ("node-1", "node-2")) for number in range(200_000))
    request = CommitRequest(LEASE, 800_000, "00" * 32, chunks)
    started = time.process_time()
    check_arguments("commit", NameNode.commit, [request], before=2)
    assert time.process_time() - started < 1.0
