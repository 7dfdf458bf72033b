from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.checkpoint.save import Checkpointer
from core.config import Config
from core.gateway import Gateway
from tests.inprocess import Cluster, InProcessGateway

CONFIG = Config(
    chunk_size_bytes=4096, disk_reserve_bytes=0, garbage_grace_ms=1_000, unknown_grace_ms=1_000, lease_ms=21_000
)
"""What is not needed goes within seconds, so that a checkpoint that relied on it would be found out."""

MakeCheckpointer = Callable[..., Checkpointer]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "data", CONFIG)
    yield cluster
    cluster.close()


def checkpointer_of(cluster: Cluster, gateway: Gateway | None = None) -> Checkpointer:
    return Checkpointer(
        gateway or InProcessGateway(cluster), cluster.config, cluster.directory / "namenode", pause=lambda: None
    )


@pytest.fixture
def checkpointer(cluster: Cluster) -> Checkpointer:
    return checkpointer_of(cluster)
