"""Placement against a naive oracle, for any cluster hypothesis thinks of."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from core.namenode.placement import Candidate, choose_targets

HOSTS = ["rack-a", "rack-b", "rack-c", "rack-d"]


@st.composite
def clusters(draw: st.DrawFn) -> list[Candidate]:
    count = draw(st.integers(0, 8))
    return [
        Candidate(f"node-{i}", draw(st.sampled_from(HOSTS)), draw(st.integers(0, 100)), draw(st.integers(0, 100)))
        for i in range(count)
    ]


HELD = st.lists(st.sampled_from(HOSTS), max_size=4)


def best_spread(candidates: list[Candidate], count: int, size_bytes: int, held: list[str]) -> list[int]:
    """The oracle: the most even way to put `count` replicas on hosts, one by one onto the least loaded host."""
    room = Counter(candidate.host for candidate in candidates if candidate.free_bytes >= size_bytes)
    load = Counter(held)
    for _ in range(min(count, room.total())):
        host = min((host for host in HOSTS if room[host]), key=lambda host: load[host])
        room[host] -= 1
        load[host] += 1
    return sorted(load.values())


@given(clusters(), st.integers(0, 6), st.integers(0, 120), HELD, st.integers())
def test_targets_are_different_have_room_and_are_as_many_as_can_be(
    candidates: list[Candidate], count: int, size_bytes: int, held: list[str], seed: int
) -> None:
    chosen = choose_targets(candidates, count, size_bytes, held, random.Random(seed))
    fitting = {candidate.id for candidate in candidates if candidate.free_bytes >= size_bytes}
    assert len(set(chosen)) == len(chosen) == min(count, len(fitting))
    assert set(chosen) <= fitting


@given(clusters(), st.integers(0, 6), st.integers(0, 120), HELD, st.integers())
def test_replicas_are_spread_over_hosts_as_evenly_as_can_be(
    candidates: list[Candidate], count: int, size_bytes: int, held: list[str], seed: int
) -> None:
    chosen = choose_targets(candidates, count, size_bytes, held, random.Random(seed))
    hosts = {candidate.id: candidate.host for candidate in candidates}
    load = Counter(held) + Counter(hosts[node_id] for node_id in chosen)
    oracle = [replicas for replicas in best_spread(candidates, count, size_bytes, held) if replicas]
    assert sorted(load.values()) == oracle


@given(st.lists(st.integers(0, 99), min_size=2, max_size=8, unique=True), st.integers())
def test_the_fullest_of_equal_nodes_is_never_chosen_first(used: list[int], seed: int) -> None:
    candidates = [Candidate(f"node-{amount}", "host", amount, 100 - amount) for amount in used]
    assert choose_targets(candidates, 1, 1, [], random.Random(seed)) != [f"node-{max(used)}"]


@given(clusters(), st.integers(0, 6), HELD, st.integers())
def test_the_same_seed_gives_the_same_targets(
    candidates: list[Candidate], count: int, held: list[str], seed: int
) -> None:
    assert choose_targets(candidates, count, 1, held, random.Random(seed)) == choose_targets(
        candidates, count, 1, held, random.Random(seed)
    )


def test_many_chunks_even_out_fullness() -> None:
    used = dict.fromkeys((f"node-{i}" for i in range(5)), 0)
    used["node-0"] = 400
    rng = random.Random(7)
    for _ in range(600):
        candidates = [Candidate(node_id, node_id, amount, 1000 - amount) for node_id, amount in used.items()]
        used[choose_targets(candidates, 1, 1, [], rng)[0]] += 1
    assert max(used.values()) == 400
    assert min(used.values()) > 120
