"""The clients of a run: whenever one dies, another one takes its seat."""

from __future__ import annotations

import random
from pathlib import Path

from tests.simulation.disk import Disks
from tests.simulation.plan import draw
from tests.simulation.workloads import Workload
from tests.simulation.world import World


def test_a_client_that_is_killed_before_its_first_step_leaves_its_seat(tmp_path: Path) -> None:
    """It was waited for to the end of the run (seed 103694)."""
    with Disks(tmp_path / "disks", random.Random(1)) as disks:
        world = World(draw(1), disks, tmp_path)
        try:
            workload = Workload(world)
            workload._seat(0)
            killed = workload.kill_client(random.Random(1))
            world.scheduler.run(world.now_ms)
            assert killed == "client1"
            assert workload.over()
            world.scheduler.run(world.now_ms + 200)
            assert workload.addresses == ["client2"]
        finally:
            world.close()
