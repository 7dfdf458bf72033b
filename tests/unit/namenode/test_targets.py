"""The nodes that may be told to pull: what is kept up to date order by order is what a new look would find."""

from __future__ import annotations

import random

import pytest

from core.model import CopyChunk
from core.namenode.state import State
from core.namenode.targets import Targets
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver


def state_of(driver: Driver) -> State:
    return driver.namenode._state


def seen(targets: Targets) -> tuple[object, ...]:
    return targets.reported(), targets.free(urgent=False), targets.free(urgent=True)


@pytest.mark.parametrize("seed", range(5))
def test_targets_follow_the_orders(make_driver: MakeDriver, seed: int) -> None:
    rng = random.Random(seed)
    driver = make_driver(0, copies_per_node_max=3, healing_bytes_per_s_max=4, healing_bytes_per_s_min=1)
    for number in range(6):
        driver.add_node(disk=f"disk-{number % 4}", capacity_bytes=100)
    driver.run(3_000)
    driver.put("a", bytes(range(200)), replication=1)
    driver.run(7_000)
    state = state_of(driver)
    healer = state.healer
    targets = healer._targets(state.now_ms)
    assert len(targets.free(urgent=False)) == 6
    while free := targets.free(urgent=True):
        target = rng.choice(free).id
        chunk = next(
            chunk
            for chunk in state.redundancy.chunks.values()
            if target not in chunk.replicas and target not in chunk.copies
        )
        healer._order(chunk, state.members[target], state.now_ms, urgent=rng.random() < 0.5)
        targets.ordered(target)
        assert seen(targets) == seen(Targets(state.members, healer._may_pull))
    assert len(targets.reported()) == 6


def test_a_node_with_half_of_its_orders_done_gets_as_many_anew(make_driver: MakeDriver) -> None:
    """Each answer fills up what a node has to pull, by number and by bytes."""
    driver = make_driver(4, copies_per_node_max=8, copy_bytes_per_node_max=24)
    driver.put("a", bytes(range(200)))
    driver.run(2_000)
    driver.ignored = (CopyChunk,)
    driver[1].kill()
    driver.run(11_000)
    node = driver[2]
    orders = [command.chunk for command in node.told if isinstance(command, CopyChunk)]
    assert len(orders) == 6, "of four bytes each"
    for key in orders[:3]:
        node.store(key)
    answer = driver.beat(node)
    assert answer is not None
    assert len([command for command in answer.commands if isinstance(command, CopyChunk)]) == 3
