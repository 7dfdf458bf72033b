"""Storage nodes on real directories, closed after each test and checked for what must always hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from core.config import Config
from core.storagenode.storagenode import StorageNode

CONFIG = Config(disk_reserve_bytes=0)

Open = Callable[..., StorageNode]
Chunk = Callable[..., tuple[str, bytes]]


@pytest.fixture
def new_id() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"id-{next(numbers)}"


@pytest.fixture
def open_node(tmp_path: Path, new_id: Callable[[], str]) -> Iterator[Open]:
    nodes: list[StorageNode] = []

    def opened(directory: Path = tmp_path / "node", config: Config = CONFIG) -> StorageNode:
        nodes.append(StorageNode.open(directory, config, host="host", new_id=new_id))
        return nodes[-1]

    yield opened
    for node in nodes:
        node.close()


@pytest.fixture
def node(open_node: Open) -> StorageNode:
    return open_node()


@pytest.fixture
def chunk() -> Chunk:
    def make(seed: int = 0, size_bytes: int = 1000) -> tuple[str, bytes]:
        data = blake3(str(seed).encode()).digest(length=size_bytes)
        return blake3(data).hexdigest(), data

    return make


@pytest.fixture
def chunk_path() -> Callable[[StorageNode, str], Path]:
    return lambda node, chunk_id: node.directory / "chunks" / chunk_id[:2] / chunk_id
