"""The stores that the suite runs against. Names are unique to each test, so that one real cluster serves them all."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.config import Config
from core.store import ArtifactStore
from tests.fakes import FakeStore

EVENTUALLY_S = 30


@dataclass
class Backend:
    """A store, and how its time passes."""

    store: ArtifactStore
    tick: Callable[[], None]

    def eventually(self, predicate: Callable[[], bool]) -> None:
        """Let time pass until it is so."""
        deadline = time.monotonic() + EVENTUALLY_S
        while not predicate():
            assert time.monotonic() < deadline, "it did not come to pass"
            self.tick()


def _fake() -> Iterator[Backend]:
    yield Backend(FakeStore(), lambda: None)


def _in_process(directory: Path) -> Iterator[Backend]:
    from tests.inprocess import Cluster

    cluster = Cluster(directory, Config())
    try:
        yield Backend(cluster.store, lambda: cluster.advance(1_000))
    finally:
        cluster.close()


def _real(store: ArtifactStore) -> Iterator[Backend]:
    yield Backend(store, lambda: time.sleep(0.1))


@pytest.fixture(params=["fake", "in_process", pytest.param("real", marks=pytest.mark.ray)])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "fake":
        yield from _fake()
    elif request.param == "in_process":
        yield from _in_process(request.getfixturevalue("tmp_path"))
    else:
        yield from _real(request.getfixturevalue("real_store"))


@pytest.fixture
def store(backend: Backend) -> ArtifactStore:
    return backend.store


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"contract/{uuid.uuid4().hex}"
