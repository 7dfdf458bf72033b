"""Clusters in virtual time for the NameNode's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.config import Config
from tests.unit.namenode.driver import Driver

MakeDriver = Callable[..., Driver]


@pytest.fixture
def make_driver(tmp_path: Path) -> Iterator[MakeDriver]:
    made: list[Driver] = []

    def make(nodes: int = 4, seed: int = 0, **settings: object) -> Driver:
        config = Config(**{"chunk_size_bytes": 4, **settings})  # type: ignore[arg-type]
        made.append(Driver(tmp_path / f"cluster-{len(made)}", nodes, config, seed))
        return made[-1]

    yield make
    for driver in made:
        driver.namenode.check_invariants()
        driver.close()


@pytest.fixture
def driver(make_driver: MakeDriver) -> Driver:
    """Four nodes on four hosts."""
    return make_driver()
