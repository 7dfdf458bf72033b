"""Whole lives of clusters, by seed: faults within what is promised, then calm, and everything must be there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from core.config import Config
from core.errors import DameError, Unavailable
from tests.unit.namenode.driver import Driver

CONFIG = Config(
    chunk_size_bytes=4,
    lease_ms=60_000,
    garbage_grace_ms=15_000,
    unknown_grace_ms=40_000,
    trash_retention_ms=30_000,
    copy_timeout_ms=10_000,
    mass_failure_hold_ms=20_000,
)
STEPS = 150


class Life:
    """A cluster's life: nodes killed and hung, heartbeats lost and doubled, the NameNode restarted, while clients work.

    Disks are lost and replicas spoiled only while every chunk has all its replicas: to survive more is not promised.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.driver = Driver(directory, 6, CONFIG, seed)
        self.acknowledged: dict[str, bytes] = {}
        self.trace: list[str] = []
        self.quiet_until: dict[str, int] = {}
        self.lost: list[str] = []

    def live(self) -> None:
        for _ in range(STEPS):
            self.fault()
            self.work()
            self.step()
            self.check_promises()
        self.calm()

    def step(self) -> None:
        driver = self.driver
        driver.now_ms += 1_000
        for node in driver.nodes.values():
            if not node.works:
                continue
            dice = self.rng.random()
            if dice < 0.05:
                continue
            driver.beat(node, lose_reply=dice < 0.15, double=dice < 0.25)
        driver.namenode.tick(driver.now_ms)
        driver.namenode.check_invariants()

    def fault(self) -> None:
        driver, rng = self.driver, self.rng
        self.end_troubles()
        well = self.all_well()
        node = driver.nodes[rng.choice(sorted(driver.nodes))]
        dice = rng.random()
        if dice < 0.1 and len(self.quiet_until) < 3 and node.works:
            if rng.random() < 0.5:
                node.kill()
            else:
                node.serving = False
            self.quiet_until[node.id] = driver.now_ms + rng.choice([2_000, 5_000, 14_000, 30_000])
        elif dice < 0.15 and well and node.works and node.chunks:
            node.spoil(rng.choice(sorted(node.chunks)))
        elif dice < 0.16 and well and node.works:
            node.kill()
            node.chunks.clear()
            self.lost.append(node.id)
            driver.add_node()
        elif dice < 0.19:
            driver.restart_namenode()

    def end_troubles(self) -> None:
        for node_id, until_ms in list(self.quiet_until.items()):
            node = self.driver.nodes[node_id]
            if self.driver.now_ms < until_ms:
                continue
            del self.quiet_until[node_id]
            if node.alive and self.rng.random() < 0.5:
                node.serving = True
            else:
                node.start()

    def all_well(self) -> bool:
        status = self.driver.namenode.status(self.driver.now_ms)
        return not (self.quiet_until or status.under_replicated or status.safe_mode)

    def work(self) -> None:
        driver, rng = self.driver, self.rng
        name = f"a{rng.randrange(8)}"
        content = bytes(rng.randrange(5) for _ in range(rng.randrange(24)))
        dice = rng.random()
        try:
            if dice < 0.15 and name in self.acknowledged:
                driver.namenode.delete(driver.now_ms, driver.operation(), name)
                del self.acknowledged[name]
            elif dice < 0.25:
                driver.send(driver.begin(f"given up {name}", content), content)
            else:
                mode = "update" if name in self.acknowledged else "upload"
                version = driver.put(name, content, mode)
                self.acknowledged[name] = content
                self.trace.append(f"{driver.now_ms} {name} {version.version} {version.warnings}")
        except Unavailable as refusal:
            self.trace.append(f"{driver.now_ms} {type(refusal).__name__}")

    def check_promises(self) -> None:
        """No step may leave an acknowledged chunk without a replica on some disk."""
        driver = self.driver
        on_disk = {chunk_id for node in driver.nodes.values() for chunk_id in node.chunks}
        for name in sorted(self.acknowledged):
            assert set(driver.chunk_ids(name)) <= on_disk, f"{name} has lost a chunk at {driver.now_ms}"

    def calm(self) -> None:
        """With the faults over, everything converges."""
        driver = self.driver
        for node in driver.nodes.values():
            if not node.works and node.id not in self.lost:
                node.start()
        driver.run(200_000)
        status = driver.namenode.status(driver.now_ms)
        assert (status.under_replicated, status.missing, status.healing, status.safe_mode) == (0, 0, 0, False)
        assert status.garbage_bytes == 0
        assert sorted(row.name for row in driver.namenode.artifacts(driver.now_ms, "")) == sorted(self.acknowledged)
        for name in sorted(self.acknowledged):
            assert set(driver.replicas(name)) <= {3}
            driver.namenode.locate(driver.now_ms, name, None, 0, 100)
        needed = {chunk_id for name in self.acknowledged for chunk_id in self.versions_of(name)}
        held = {chunk_id for node in driver.nodes.values() for chunk_id in node.chunks}
        assert held == needed, "what nobody needs is gone"
        self.trace += driver.texts()

    def versions_of(self, name: str) -> list[str]:
        driver = self.driver
        return [
            chunk.id
            for version in driver.namenode.history(driver.now_ms, name)
            for chunk in driver.namenode.info(driver.now_ms, name, version.version).chunks
        ]


@pytest.mark.parametrize("seed", range(12))
def test_a_life_of_faults_loses_nothing_and_converges(tmp_path: Path, seed: int) -> None:
    life = Life(tmp_path, seed)
    life.live()
    life.driver.close()


def test_the_same_seed_gives_the_same_life_whatever_the_hash_seed(tmp_path: Path) -> None:
    """The order of a set must never reach a decision."""
    script = (
        "import sys, hashlib, pathlib; from tests.unit.namenode.test_scenarios import Life;"
        "life = Life(pathlib.Path(sys.argv[1]), 3); life.live(); life.driver.close();"
        "print(hashlib.sha256(repr(life.trace).encode()).hexdigest(), len(life.trace))"
    )
    root = Path(__file__).parents[3]
    outputs = set()
    for hash_seed in ("1", "2", "3"):
        directory = tmp_path / hash_seed
        directory.mkdir()
        outputs.add(
            subprocess.run(
                [sys.executable, "-c", script, str(directory)],
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                cwd=root,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    assert len(outputs) == 1


def test_a_refusal_leaves_no_trace(tmp_path: Path) -> None:
    driver = Driver(tmp_path, 3, CONFIG)
    before = driver.catalog.dump()
    for name, size in (("", 1), ("x" * 2000, 1), ("a", 2**50)):
        with pytest.raises(DameError):
            driver.begin(name, b"", size_bytes=size)
    assert driver.catalog.dump() == before
    driver.close()
