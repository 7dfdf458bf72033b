from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config import Config
from core.store import ArtifactStore
from tests.inprocess import Cluster

SMALL = Config(chunk_size_bytes=8, disk_reserve_bytes=0)
"""Chunks of eight bytes: a sentence is a file of many chunks."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, SMALL)
    yield cluster
    cluster.close()


@pytest.fixture
def store(cluster: Cluster) -> ArtifactStore:
    return cluster.store
