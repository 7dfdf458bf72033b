"""Chunk files go bad under running storage nodes while clients work; every byte stays readable, and the files come
back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.replicas import DAMAGES, good_files, replica_files
from benchmarks.workload import Clients, small
from core.store import ArtifactStore
from tests.integration.processes import eventually
from tests.integration.wholeness import KIB, content, has_all_copies, wait_until_whole

pytestmark = pytest.mark.ray


def test_damaged_chunk_files_are_replaced_while_clients_work(healthy: ArtifactStore, cluster_directory: Path) -> None:
    storage = cluster_directory / "storage"
    data = content(20, len(DAMAGES) * 64 * KIB)
    healthy.upload("damaged", data, chunk_size_bytes=64 * KIB)
    eventually(lambda: has_all_copies(healthy, "damaged"))
    chunks = [chunk.id for chunk in healthy.info("damaged").chunks]
    with Clients(healthy, small(1)) as clients:
        for number, (damage, chunk_id) in enumerate(zip(DAMAGES, chunks, strict=True)):
            damage(replica_files(storage, chunk_id)[number % 3])
            assert len(good_files(storage, chunk_id)) == 2
        assert healthy.get("damaged") == data
        healthy.scrub()
        for chunk_id in chunks:
            eventually(lambda chunk_id=chunk_id: len(good_files(storage, chunk_id)) == 3)
    wait_until_whole(healthy)
    assert healthy.get("damaged") == data
    assert clients.tally.done["get"] and not clients.verify()


def test_a_storage_directory_that_is_emptied_under_its_node_is_filled_again(
    healthy: ArtifactStore, cluster_directory: Path
) -> None:
    """Someone runs `rm -r` over the chunks of a node that is up."""
    data = content(21, 40 * 64 * KIB)
    healthy.upload("swept away", data, chunk_size_bytes=64 * KIB)
    chunks = [chunk.id for chunk in healthy.info("swept away").chunks]
    victim = healthy.nodes()[0]
    for folder in (Path(victim.directory) / "chunks").iterdir():
        shutil.rmtree(folder)
    assert healthy.get("swept away") == data
    healthy.scrub()
    eventually(lambda: all(len(good_files(cluster_directory / "storage", chunk_id)) == 3 for chunk_id in chunks))
    wait_until_whole(healthy)
    # New chunks go to that node as well: it must be able to write where its directories were.
    for number in range(8):
        healthy.upload(f"after the sweep {number}", content(30 + number, 300 * KIB), chunk_size_bytes=64 * KIB)
    eventually(lambda: all(has_all_copies(healthy, f"after the sweep {number}") for number in range(8)))
    assert all(healthy.get(f"after the sweep {number}") == content(30 + number, 300 * KIB) for number in range(8))
