"""What all rooms of tests share: one real cluster a session, and a way to wait for what takes its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.store import ArtifactStore


@pytest.hookimpl(tryfirst=True)  # before the groups are looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are shared out among processes, those on the session's real cluster stay together, one by one.

    So do those that start Ray themselves, with or without containers: beside the others, but not beside one another.
    """
    for item in items:
        if "real_store" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("the session's cluster"))
        elif item.get_closest_marker("ray") or item.get_closest_marker("compose"):
            item.add_marker(pytest.mark.xdist_group("clusters of their own"))


@pytest.fixture(scope="session")
def cluster_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the session's real cluster."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="session")
def real_store(cluster_directory: Path) -> Iterator[ArtifactStore]:
    """An embedded cluster of four storage nodes on real Ray and real disks, shared by all tests of the session."""
    from core import connect

    with connect(data_dir=cluster_directory, nodes=4) as store:
        yield store
