"""Somebody is at the chunk files of the shared cluster; scrub and fsck find it, and what is found is healed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from core.model import FsckReport, ScrubProgress, Steps
from core.store import ArtifactStore
from tests.integration.processes import dame, eventually

pytestmark = pytest.mark.ray

MIB = 1024 * 1024


@pytest.fixture
def store(real_store: ArtifactStore) -> ArtifactStore:
    """The shared cluster with every node up and nothing to heal."""

    def is_whole() -> bool:
        status = real_store.status()
        return status.nodes["up"] == 4 and status.under_replicated == status.missing == status.healing == 0

    eventually(is_whole)
    return real_store


def flipped(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def deleted(path: Path) -> None:
    path.unlink()


def unreadable(path: Path) -> None:
    """As a bad disk does; permissions do not stop root, a link to itself does."""
    path.unlink()
    path.symlink_to(path)


def replicas(store: ArtifactStore, directory: Path, name: str) -> list[Path]:
    """The files of an artifact's only chunk, once all three are there."""
    (chunk,) = store.info(name).chunks
    eventually(lambda: len(store.info(name).chunks[0].replicas) == 3)
    found = sorted(directory.glob(f"storage/slot-*/chunks/*/{chunk.id}"))
    assert len(found) == 3
    return found


def has_all_copies(store: ArtifactStore, name: str, directory: Path) -> bool:
    (chunk,) = store.info(name).chunks
    files = [path for path in directory.glob(f"storage/slot-*/chunks/*/{chunk.id}") if path.is_file()]
    return len(chunk.replicas) == 3 and len(files) == 3 and len({path.stat().st_size for path in files}) == 1


@pytest.mark.parametrize("spoil", [flipped, cut, deleted, unreadable])
def test_a_scrub_finds_what_was_done_to_a_file_and_it_is_healed(
    store: ArtifactStore, cluster_directory: Path, spoil: Callable[[Path], None]
) -> None:
    name = f"scrubbed/{spoil.__name__}"
    data = random.Random(name).randbytes(2 * MIB)
    store.upload(name, data)
    spoil(replicas(store, cluster_directory, name)[0])
    seen: list[ScrubProgress] = []
    done = store.scrub_and_wait(progress=seen.append)
    assert (done.nodes, done.finished, done.away) == (4, 4, ())
    assert done.done == done.total > 0
    assert done.bad == 1
    assert seen[-1] == done
    assert store.get(name) == data
    eventually(lambda: has_all_copies(store, name, cluster_directory))
    assert all(node.last_scrub_ms > 0 for node in store.nodes())
    assert store.status().last_scrub_ms > 0


def test_fsck_finds_what_a_listing_shows_and_deep_the_rest(store: ArtifactStore, cluster_directory: Path) -> None:
    spoilt = {spoil.__name__: spoil for spoil in (cut, deleted, flipped)}
    for name, spoil in spoilt.items():
        store.upload(f"fsck/{name}", random.Random(name).randbytes(MIB))
        spoil(replicas(store, cluster_directory, f"fsck/{name}")[0])
    shallow = store.fsck()
    assert not shallow.clean
    assert sum(node.removed for node in shallow.nodes) == sum(node.corrupt for node in shallow.nodes) == 1
    steps: list[Steps] = []
    deep = store.fsck(deep=True, repair=True, progress=steps.append)
    assert (deep.bad, deep.missing, deep.under, deep.clean) == (1, 0, 0, True), deep
    assert {step.doing for step in steps} >= {"re-reading replicas", "comparing disks", "checking chunks", "healing"}
    for name in spoilt:
        assert has_all_copies(store, f"fsck/{name}", cluster_directory)
    assert store.status().quarantined >= 2
    assert _quarantined(deep) >= 2


def _quarantined(report: FsckReport) -> int:
    assert report.corrupt == sum(node.quarantined for node in report.nodes)
    return len(report.quarantined)


def test_a_chunk_whose_every_replica_looked_bad_comes_back_from_quarantine(
    store: ArtifactStore, cluster_directory: Path
) -> None:
    data = random.Random("back").randbytes(MIB)
    store.upload("fsck/back", data)
    paths = replicas(store, cluster_directory, "fsck/back")
    good = paths[0].read_bytes()
    for path in paths:
        cut(path)
    lost = store.fsck()
    assert lost.missing == 1
    assert [finding.artifacts for finding in lost.findings if finding.problem == "missing"] == [("fsck/back",)]
    kept = paths[0].parents[2] / "quarantine" / f"{paths[0].name}.0"
    kept.write_bytes(good)
    repaired = store.fsck(repair=True)
    assert (repaired.missing, repaired.clean) == (0, True), repaired
    assert repaired.repairs is not None and repaired.repairs.brought_back == 1
    assert store.get("fsck/back") == data
    eventually(lambda: has_all_copies(store, "fsck/back", cluster_directory))


def test_fsck_and_scrub_by_the_command_line(store: ArtifactStore, cluster_directory: Path) -> None:
    assert store.fsck(repair=True).clean
    ran = dame("fsck", "--json", data_dir=cluster_directory)
    assert (ran.returncode, json.loads(ran.stdout)["clean"]) == (0, True), ran.stderr.decode()
    ran = dame("scrub", "--json", data_dir=cluster_directory)
    assert json.loads(ran.stdout) == {"nodes": 4}
    ran = dame("scrub", "--wait", data_dir=cluster_directory)
    assert ran.returncode == 0
    assert "all good" in ran.stdout.decode()
