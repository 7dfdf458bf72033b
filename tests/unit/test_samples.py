"""What the soak takes for a leak, and for a process that was left."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.processes import MIB, Sample, Samples, identities

MINUTE_S = 60
TWO_LIVES = ((1, 40 * MINUTE_S), (2, 20 * MINUTE_S))
"""Process and how long it lived, one after the other."""


def samples(
    mib_per_hour: float, descriptors_per_hour: float = 0, lives: tuple[tuple[int, int], ...] = TWO_LIVES
) -> Samples:
    """Each process begins at 80 MiB and 50 open files."""
    found, born_s = [], 0
    for pid, life_s in lives:
        for age_s in range(0, life_s, 2):
            memory = (80 + mib_per_hour * age_s / 3600) * MIB
            found.append(Sample(born_s + age_s, pid, int(memory), int(50 + descriptors_per_hour * age_s / 3600)))
        born_s += life_s
    return Samples(found)


def test_growth_shows_although_the_next_process_begins_small_again() -> None:
    slope = samples(300).slope_bytes_per_hour()
    assert slope is not None and abs(slope - 300 * MIB) < MIB
    descriptors = samples(0, 100).slope_descriptors_per_hour()
    assert descriptors is not None and abs(descriptors - 100) < 3


def test_processes_of_different_sizes_are_no_growth() -> None:
    found = [*samples(0).all, *(Sample(9_000 + at_s, 3, 500 * MIB, 400) for at_s in range(0, 1_200, 2))]
    assert Samples(found).slope_bytes_per_hour() == 0
    assert Samples(found).slope_descriptors_per_hour() == 0


def test_what_is_gained_until_the_caches_are_full_is_no_growth() -> None:
    found = [Sample(at_s, 1, min(80 * MIB + at_s * MIB // 10, 200 * MIB), 50) for at_s in range(0, 3_600, 2)]
    assert Samples(found).slope_bytes_per_hour() == 0
    assert Samples(found).report()["longest_life_mib"] == [95, 125, 155, 185, *[200] * 8]


def test_short_lives_say_nothing() -> None:
    found = samples(300, lives=tuple((pid, 3 * MINUTE_S) for pid in range(20)))
    assert found.slope_bytes_per_hour() is None
    assert found.report()["longest_life_min"] == 1.0


def test_a_process_is_known_by_its_start_and_gone_when_it_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        (alive,) = identities([child.pid])
        assert alive[0] == child.pid and {alive} != identities([os.getpid()])
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identities([child.pid]) == set(), "what nobody has waited for yet is dead all the same"
