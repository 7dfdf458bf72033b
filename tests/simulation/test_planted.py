"""The simulation finds the bugs that are planted for it, each within two hundred seeds."""

from __future__ import annotations

import pytest

from core.namenode import applying, edits
from core.storagenode import chunkstore
from core.storagenode.storagenode import StorageNode
from tests.simulation.planted import MUTANTS
from tests.simulation.run import run_seed

SEEDS = range(1, 201)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    """By the first seeds that meet it, which are well without it."""
    for seed in SEEDS:
        failure = run_seed(seed, MUTANTS[name]).failure
        if failure is not None:
            print(f"{name}: seed {seed}: {failure.strip().splitlines()[-1]}")  # noqa: T201 # to be seen with -s
            assert run_seed(seed).failure is None
            return
    pytest.fail(f"no seed from {SEEDS[0]} to {SEEDS[-1]} found {name}")


def test_a_bug_is_gone_after_its_run() -> None:
    def shipped() -> list[object]:
        return [applying._CHANGES[edits.DeleteArtifact], chunkstore.sync_directory, StorageNode.obey]

    before = shipped()
    for name in ("lost_edit", "forgotten_fsync_of_directory", "stale_epoch_obeyed"):
        with MUTANTS[name]():
            assert shipped() != before
        assert shipped() == before
