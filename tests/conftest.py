"""What all rooms of tests share: one real cluster a session, and a way to wait for what takes its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.store import ArtifactStore


@pytest.hookimpl(tryfirst=True)  # before the groups are looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are shared out among processes, those on the session's real cluster stay together, one by one.

    So do those of one module that start Ray themselves, and all that have containers of it.
    """
    for item in items:
        if "real_store" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("the session's cluster"))
        elif item.get_closest_marker("compose"):
            item.add_marker(pytest.mark.xdist_group("containers"))
        elif item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def cluster_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the session's real cluster."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="session")
def real_store(cluster_directory: Path) -> Iterator[ArtifactStore]:
    """An embedded cluster of four storage nodes on real Ray and real disks, shared by all tests of the session.

    None leaves an artifact in it that wants one copy only: others destroy some.
    """
    from core import connect

    with connect(data_dir=cluster_directory, nodes=4) as store:
        yield store


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own: this one may be connected to the session's cluster by the tests before."""
    import ray

    if ray.is_initialized():
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
