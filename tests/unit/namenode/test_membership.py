"""The transition table, the words that come from it, and the rule for many losses at once."""

from __future__ import annotations

from itertools import product

import pytest

from core.config import Config
from core.model import DiskUsage, Wish
from core.namenode.catalog import KnownNode
from core.namenode.membership import Member, Membership
from core.namenode.nodestates import LIVENESS_AFTER, ROLE_OF, STATE_OF, Liveness, Signal
from core.namenode.traffic import Counters, Rates

CONFIG = Config()
LIVENESSES: tuple[Liveness, ...] = ("up", "suspect", "down")
SIGNALS: tuple[Signal, ...] = ("heard", "late", "silent")
WISHES: tuple[Wish, ...] = ("none", "failed", "draining")


def members_of(count: int, now_ms: int = 0, config: Config = CONFIG) -> Membership:
    nodes = [KnownNode(f"id-{i}", f"sn-{i:02d}", f"host-{i}", "none") for i in range(1, count + 1)]
    return Membership(nodes, config, now_ms)


def hear(members: Membership, now_ms: int, *but: str) -> None:
    for member in members:
        if member.name not in but:
            member.incarnation = member.incarnation or "first"
            member.heard_ms = now_ms
            member.signal("heard", now_ms)


def test_the_tables_are_total() -> None:
    assert set(LIVENESS_AFTER) == set(product(LIVENESSES, SIGNALS))
    assert set(STATE_OF) == set(product(LIVENESSES, WISHES))


@pytest.mark.parametrize("liveness", LIVENESSES)
def test_a_heartbeat_always_brings_a_node_up_and_silence_takes_it_down(liveness: Liveness) -> None:
    assert LIVENESS_AFTER[liveness, "heard"] == "up"
    assert LIVENESS_AFTER[liveness, "silent"] == "down"


def test_being_late_never_improves_a_node() -> None:
    assert LIVENESS_AFTER["down", "late"] == "down"
    assert LIVENESS_AFTER["up", "late"] == "suspect"


@pytest.mark.parametrize("liveness", LIVENESSES)
def test_failed_beats_everything(liveness: Liveness) -> None:
    assert STATE_OF[liveness, "failed"] == "failed"
    assert ROLE_OF["failed"] == "absent"


def test_a_draining_node_serves_but_does_not_count() -> None:
    assert ROLE_OF[STATE_OF["up", "draining"]] == ROLE_OF[STATE_OF["suspect", "draining"]] == "serves"
    assert STATE_OF["down", "draining"] == "down"


def test_silence_makes_suspect_then_down() -> None:
    members = members_of(1)
    hear(members, 0)
    (member,) = members
    states = []
    for now_ms in (2_999, 3_000, 9_999, 10_000, 11_000):
        members.age(now_ms)
        states.append(member.state)
    assert states == ["up", "suspect", "suspect", "down", "down"]
    assert member.down_ms == 10_000


def test_a_node_not_heard_of_since_the_start_is_suspect_then_down() -> None:
    members = members_of(1, now_ms=5_000)
    (member,) = members
    states = []
    for now_ms in (5_001, 14_999, 15_000):
        members.age(now_ms)
        states.append(member.state)
        assert member.reason(now_ms) == "not heard of since the NameNode started"
    assert states == ["suspect", "suspect", "down"]


@pytest.mark.parametrize(
    ("wish", "liveness", "words"),
    [
        ("none", "up", "heartbeats arrive"),
        ("none", "suspect", "no heartbeat for 12 s"),
        ("none", "down", "no heartbeat for 12 s"),
        ("failed", "up", "failed by an operator; recover it to bring it back"),
        ("draining", "up", "draining: 34 chunks still to be copied elsewhere"),
        ("draining", "suspect", "draining: 34 chunks still to be copied elsewhere; no heartbeat for 12 s"),
    ],
)
def test_the_reason_is_a_sentence(wish: Wish, liveness: Liveness, words: str) -> None:
    member = Member("id", "sn-01", "host", wish, heard_ms=0, liveness=liveness, incarnation="first")
    member.drain.note(0, 34, "")
    assert member.reason(12_345) == words


def test_rates_are_taken_over_the_last_seconds() -> None:
    member = Member("id", "sn-01", "host", "none", 0, liveness="up")
    member.counters.extend([Counters(1_000, 100, 0, 0), Counters(3_000, 300, 4_000, 1_000)])
    assert member.rates() == Rates(read=100, written=2_000, copied=500)
    assert member.rates().clients == 1_600
    member.liveness = "down"
    assert member.rates() == Rates(0, 0, 0)


# --- Many at once ---------------------------------------------------------------------------------------------------


def lose(members: Membership, at_ms: int, *names: str) -> None:
    hear(members, at_ms - CONFIG.down_after_ms, *())
    for member in members:
        if member.name not in names:
            member.heard_ms = at_ms
    members.age(at_ms)


def test_one_of_three_does_not_hold_healing() -> None:
    members = members_of(3)
    lose(members, 100_000, "sn-01")
    assert members.healing_waits(100_001) == ""


@pytest.mark.parametrize("size", [1, 2])
def test_a_single_loss_never_holds(size: int) -> None:
    members = members_of(size)
    lose(members, 100_000, "sn-01")
    assert members.healing_waits(100_000) == ""


def test_two_of_six_is_exactly_a_third_and_does_not_hold() -> None:
    members = members_of(6)
    lose(members, 100_000, "sn-01", "sn-02")
    assert members.healing_waits(100_000) == ""


def test_two_of_five_hold_for_the_hold_time_and_say_so() -> None:
    members = members_of(5)
    lose(members, 100_000, "sn-01", "sn-02")
    sentence = members.healing_waits(100_000)
    assert "2 of 5 storage nodes" in sentence
    assert "sn-01 and sn-02" in sentence
    assert members.healing_waits(100_000 + CONFIG.mass_failure_hold_ms - 1)
    assert members.healing_waits(100_000 + CONFIG.mass_failure_hold_ms) == ""


def test_the_hold_ends_when_enough_are_back() -> None:
    members = members_of(5)
    lose(members, 100_000, "sn-01", "sn-02")
    hear(members, 101_000, "sn-01")
    assert members.healing_waits(101_000) == ""


def test_losses_far_apart_do_not_hold() -> None:
    members = members_of(5)
    lose(members, 100_000, "sn-01")
    later_ms = 100_000 + CONFIG.mass_failure_window_ms + 1
    for member in members:
        if member.name not in ("sn-01", "sn-02"):
            member.heard_ms = later_ms
    members["id-2"].heard_ms = later_ms - CONFIG.down_after_ms
    members.age(later_ms)
    assert [member.state for member in members].count("down") == 2
    assert members.healing_waits(later_ms) == ""


def test_failed_and_draining_nodes_are_not_part_of_the_share() -> None:
    members = members_of(6)
    members["id-5"].wish, members["id-6"].wish = "failed", "draining"
    lose(members, 100_000, "sn-01", "sn-02", "sn-05")
    assert "2 of 4" in members.healing_waits(100_000)


# --- Room -----------------------------------------------------------------------------------------------------------


def test_a_shared_disk_is_counted_once_unless_nodes_have_their_own_limit() -> None:
    members = members_of(3)
    for member in members:
        member.usage = DiskUsage(10, 1_000, "disk-a")
    assert members.free_bytes(list(members)) == 1_000
    members["id-3"].usage = DiskUsage(10, 500, "disk-b")
    assert members.free_bytes(list(members)) == 1_500
    limited = members_of(2, config=Config(storage_capacity_bytes=100))
    for member in limited:
        member.usage = DiskUsage(40, 60, "disk-a")
    assert limited.free_bytes(list(limited)) == 120


def test_promises_on_a_shared_disk_lower_the_room_of_all_nodes_on_it() -> None:
    members = members_of(2)
    hear(members, 0)
    for member in members:
        member.usage = DiskUsage(0, 1_000, "disk-a")
    members["id-1"].promised_bytes = 300
    assert [candidate.free_bytes for candidate in members.candidates()] == [700, 700]


# --- Finding --------------------------------------------------------------------------------------------------------


def test_nodes_are_found_by_name_id_or_prefix_in_any_case() -> None:
    members = members_of(12)

    def found(word: str) -> list[str]:
        return [member.name for member in members.find(word)]

    assert found("SN-03") == ["sn-03"]
    assert found("id-1") == ["sn-01"], "an exact id wins over the ids that begin so"
    assert found("sn-1") == ["sn-10", "sn-11", "sn-12"]
    assert found("") == found("nothing") == []


def test_a_host_means_its_only_node() -> None:
    members = members_of(12)
    members["id-5"].host = members["id-6"].host = "shared"
    members["id-7"].host = "sn-01"

    def found(word: str) -> list[str]:
        return [member.name for member in members.find(word)]

    assert found("HOST-1") == ["sn-01"], "whole, unlike a name"
    assert found("host") == []
    assert found("shared") == ["sn-05", "sn-06"]
    assert found("sn-01") == ["sn-01"], "a name comes before a host"
