"""Each check on its own: what is well, what is not, and what it says to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.config import GIB, MIB, Config
from core.doctor import access, disks, health, identities, machines
from core.doctor.examination import diagnose
from core.doctor.facts import ClusterFacts, Facts, Link, Port, Space, Token
from core.doctor.finding import Finding, report, summary
from tests.unit.doctor.wellness import (
    NOW_MS,
    catalog,
    cluster,
    directory,
    facts,
    heard,
    node,
    process,
    refused,
    status,
    stopped,
)

CONFIG = Config()


def one(findings: list[Finding], level: str) -> Finding:
    """The only finding, which has this level and, unless it is ok, advice."""
    assert [finding.level for finding in findings] == [level], findings
    assert bool(findings[0].advice) == (level != "ok")
    return findings[0]


def test_a_cluster_that_is_well_has_nothing_but_ok() -> None:
    found = report(diagnose(facts(ports=(Port("Ray client", "head", 10001, True),)), CONFIG))
    assert (found.verdict, found.problems, found.warnings) == ("ok", 0, 0)
    assert {finding.check for finding in found.findings} == {
        "cluster", "token", "ports", "versions", "NameNode", "nodes", "replicas", "checkpoint", "disks",
        "catalog disk", "shared memory", "clocks", "identities",
    }  # fmt: skip
    assert summary(found) == "All is well: 13 findings, nothing to do."


def test_the_worst_comes_first() -> None:
    worse = facts(
        cluster=cluster(status=status(missing=2, safe_mode=False), silent=("sn-02",)),
    )
    found = report(diagnose(worse, CONFIG))
    assert [finding.check for finding in found.findings[:2]] == ["replicas", "nodes"]
    assert (found.verdict, summary(found)) == (
        "problem",
        "1 problem and 1 warning, of 12 findings; each says what to do.",
    )


# --- The way in -------------------------------------------------------------------------------------------------


def test_a_cluster_that_is_stopped_is_no_problem() -> None:
    assert "any verb starts it" in one(access.check_link(stopped()), "ok").seen
    assert report(diagnose(stopped(), CONFIG)).verdict == "ok"


def test_one_that_is_starting_may_be_stuck() -> None:
    starting = replace(stopped(), link=Link("embedded in /data", True, "starting"))
    assert "run/lock" in one(access.check_link(starting), "warning").advice


@pytest.mark.parametrize(
    ("cause", "what"),
    [("token", "auth_token"), ("versions", "Install the versions"), ("other", "whether that is its address")],
)
def test_what_to_do_depends_on_what_stands_in_the_way(cause: str, what: str) -> None:
    finding = one(access.check_link(refused(cause)), "problem")
    assert finding.seen == "It can't be reached." and what in finding.advice


def test_a_namenode_that_refuses_is_told_of_in_its_own_words() -> None:
    shut = facts(cluster=ClusterFacts(refusal="The catalog can't be opened."))
    assert one(access.check_link(shut), "problem").seen == "The catalog can't be opened."
    assert report(diagnose(shut, CONFIG)).problems == 1, "the other checks have nothing to say then"


# --- The token --------------------------------------------------------------------------------------------------


def token(**changes: object) -> Token:
    return replace(facts().token, **changes)  # type: ignore[arg-type]


def test_a_token_that_the_cluster_accepts() -> None:
    assert "accepts" in one(access.check_token(facts()), "ok").seen


def test_a_token_that_the_cluster_does_not_accept() -> None:
    assert "does not accept" in one(access.check_token(refused("token")), "problem").seen


@pytest.mark.parametrize("state", ["missing", "empty", "unreadable"])
def test_a_token_that_is_not_there(state: str) -> None:
    finding = one(access.check_token(refused(token=token(state=state, permissions=None))), "problem")
    assert "RAY_AUTH_TOKEN_PATH" in finding.advice


def test_an_embedded_cluster_makes_its_token() -> None:
    new = stopped(token=token(state="missing", permissions=None))
    assert "one is made" in one(access.check_token(new), "ok").seen
    one(access.check_token(replace(new, token=token(state="missing", permissions=None, named=True))), "problem")


@pytest.mark.parametrize("permissions", [0o644, 0o640, 0o602])
def test_a_token_that_others_may_use(permissions: int) -> None:
    found = access.check_token(facts(token=token(permissions=permissions)))
    assert [finding.level for finding in found] == ["warning", "ok"]
    assert found[0].advice == "chmod 600 /home/me/.ray/auth_token"


def test_a_cluster_without_tokens_is_open_to_all() -> None:
    assert "any code" in one(access.check_token(facts(token=token(mode="disabled"))), "problem").seen
    one(access.check_token(stopped(token=token(mode="disabled"))), "warning")


# --- Ports ------------------------------------------------------------------------------------------------------


def test_only_the_port_of_the_address_has_to_answer() -> None:
    ports = (
        Port("Ray client", "head", 10001, True, "connection refused"),
        Port("Ray's GCS", "head", 6379, False, "no answer within 2 s"),
        Port("Ray's dashboard", "head", 8265, False),
    )
    found = access.check_ports(facts(ports=ports))
    assert [finding.level for finding in found] == ["problem", "ok", "ok"]
    assert found[0].seen == "head:10001 (Ray client) does not answer: connection refused."
    assert "need not" in found[1].seen and found[2].seen == "head:8265 (Ray's dashboard) answers."


# --- Versions ---------------------------------------------------------------------------------------------------


def test_versions_that_are_the_same_everywhere() -> None:
    assert "in 2 processes" in one(machines.check_versions(facts()), "ok").seen
    other = facts(cluster=ClusterFacts("This is DAME 9, and that is DAME 1.", other_release=True))
    assert one(machines.check_versions(other), "problem").seen == other.cluster.refusal
    assert access.check_link(other) == [], "it is told once"
    assert one(machines.check_versions(refused()), "ok").seen.startswith("Here: DAME 0.1.0")


@pytest.mark.parametrize(
    ("changes", "level", "what"),
    [
        ({"python": "3.12.1"}, "problem", "The NameNode on head has Python 3.12.1"),
        ({"ray": "2.61.0"}, "problem", "Ray 2.61.0"),
        ({"python": "3.11.2"}, "warning", "has Python 3.11.2"),
        ({"release": "0.2.0"}, "warning", "has DAME 0.2.0 (protocol 1)"),
        ({"protocol": 2}, "warning", "(protocol 2)"),
    ],
)
def test_versions_that_differ(changes: dict[str, object], level: str, what: str) -> None:
    mixed = facts(cluster=cluster(heard=(heard("the NameNode", **changes), heard("sn-01"))))
    assert what in one(machines.check_versions(mixed), level).seen


# --- Clocks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock_ms", "level", "what"),
    [
        (NOW_MS + 1_900, "ok", "agrees"),
        (NOW_MS + 5_003, "warning", "at least 5 s ahead of"),
        (NOW_MS - 5_003, "warning", "at least 5 s behind"),
        (NOW_MS + 3_600_003, "problem", "at least 3600 s ahead of"),
    ],
)
def test_clocks(clock_ms: int, level: str, what: str) -> None:
    found = machines.check_clocks(facts(cluster=cluster(heard=(heard("sn-01", clock_ms=clock_ms),))))
    assert what in one(found, level).seen


def test_a_slow_answer_says_little_about_a_clock() -> None:
    slow = replace(heard("sn-01", clock_ms=NOW_MS + 9_000), answered_ms=NOW_MS + 10_000)
    one(machines.check_clocks(facts(cluster=cluster(heard=(slow,)))), "ok")


# --- Shared memory ----------------------------------------------------------------------------------------------


def with_shared_memory(total_bytes: int) -> Facts:
    return facts(cluster=cluster(heard=(heard("sn-01", shared_memory=Space(total_bytes, total_bytes)),)))


def test_shared_memory_must_hold_the_object_store_of_ray() -> None:
    one(machines.check_shared_memory(with_shared_memory(GIB)), "ok")
    small = one(machines.check_shared_memory(with_shared_memory(512 * MIB)), "warning")
    assert "has 512 MiB, and Ray's object store is to have 1.0 GiB" in small.seen
    tiny = one(machines.check_shared_memory(with_shared_memory(64 * MIB)), "problem")
    assert "--shm-size" in tiny.advice


def test_shared_memory_of_a_machine_is_told_of_once() -> None:
    small = Space(64 * MIB, 0)
    two = facts(cluster=cluster(heard=(heard("sn-01", shared_memory=small), heard("sn-02", shared_memory=small))))
    one(machines.check_shared_memory(two), "problem")


def test_before_an_embedded_cluster_starts_this_machine_counts() -> None:
    here = process(shared_memory=Space(64 * MIB, 64 * MIB))
    one(machines.check_shared_memory(stopped(here=here, object_store_bytes=GIB)), "problem")
    assert machines.check_shared_memory(stopped(here=process(shared_memory=None), object_store_bytes=GIB)) == []


# --- Disks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disk", "level"), [("ok", "ok"), ("filling", "warning"), ("no_new_chunks", "warning"), ("read_only", "problem")]
)
def test_disks_of_storage_nodes(disk: str, level: str) -> None:
    found = disks.check_storage_disks(facts(cluster=cluster(nodes=(node(1, disk=disk),))), CONFIG)
    assert one(found, level).check == "disks"


def test_disks_of_nodes_that_are_down_say_nothing() -> None:
    gone = facts(cluster=cluster(nodes=(node(1), node(2, state="down", disk="read_only"))))
    one(disks.check_storage_disks(gone, CONFIG), "ok")


@pytest.mark.parametrize(
    ("where", "advice"), [("/data/slot-0", "Start it again on /data/slot-0;"), ("", "Start it again;")]
)
def test_a_node_that_is_down_is_to_be_started_where_it_was_if_that_is_known(where: str, advice: str) -> None:
    gone = facts(
        cluster=cluster(nodes=(*(node(number) for number in (1, 2, 3)), node(4, state="down", directory=where)))
    )
    assert one(health.check_nodes(gone, CONFIG), "warning").advice.startswith(advice)


def test_disks_here_while_the_cluster_is_away() -> None:
    one(disks.check_storage_disks(stopped(directories=(directory("/a"),)), CONFIG), "ok")
    full = directory("/a", disk=Space(100 * GIB, 100 * MIB))
    assert (
        "The disk of /a has 100 MiB free"
        in one(disks.check_storage_disks(stopped(directories=(full,)), CONFIG), "problem").seen
    )
    assert disks.check_storage_disks(refused(), CONFIG) == []


@pytest.mark.parametrize(("free_bytes", "level"), [(2 * GIB, "ok"), (512 * MIB, "warning"), (10 * MIB, "problem")])
def test_the_disk_of_the_catalog(free_bytes: int, level: str) -> None:
    disk = Space(100 * GIB, free_bytes)
    told = one(disks.check_catalog_disk(facts(cluster=cluster(heard=(heard("the NameNode", disk=disk),)))), level)
    assert "/data on head" in told.seen
    one(disks.check_catalog_disk(stopped(directories=(catalog(disk=disk),))), level)
    assert disks.check_catalog_disk(refused()) == []


# --- Identities -------------------------------------------------------------------------------------------------


def test_directories_that_are_each_their_own() -> None:
    one(identities.check_identities(stopped(directories=(catalog(), directory("/a"), directory("/b")))), "ok")


def test_a_directory_of_another_cluster() -> None:
    stranger = directory("/b", cluster_id="another")
    found = one(identities.check_identities(stopped(directories=(catalog(), directory("/a"), stranger))), "problem")
    assert found.seen == "/b belongs to cluster another, and this is cluster c1a5ce11."
    one(
        identities.check_identities(stopped(directories=(catalog(), directory("/a"), directory("/c"), stranger))),
        "problem",
    )
    one(identities.check_identities(facts(directories=(stranger,))), "problem")


def test_a_catalog_that_is_an_older_copy() -> None:
    place = (catalog(epoch=2), directory("/a", epoch=2), directory("/b", epoch=5), directory("/c", epoch=0))
    found = one(identities.check_identities(stopped(directories=place)), "problem")
    assert found.seen.endswith("its last NameNode was number 2, and storage nodes here have met number 5.")
    unreadable = (catalog(epoch=0), directory("/a", epoch=5))
    one(identities.check_identities(stopped(directories=unreadable)), "ok")
    newer = (catalog(epoch=6), directory("/a", epoch=5))
    one(identities.check_identities(stopped(directories=newer)), "ok")


def test_a_copy_of_a_directory() -> None:
    copy = directory("/b", node_id="node of /a", in_use=False)
    found = one(identities.check_identities(facts(directories=(directory("/a"), copy))), "problem")
    assert found.seen.startswith("/a and /b are one storage node")


def test_a_directory_that_no_one_serves() -> None:
    idle = directory("/a", node_id=node(1).id, in_use=False)
    assert "/a (sn-01)" in one(identities.check_identities(facts(directories=(idle,))), "warning").seen
    one(identities.check_identities(stopped(directories=(catalog(in_use=False), idle))), "ok")
    drained = facts(directories=(idle,), cluster=cluster(nodes=(node(1, state="drained"),)))
    one(identities.check_identities(drained), "ok")


def test_a_directory_that_can_not_be_understood() -> None:
    broken = directory("/a", trouble="/a/identity.json can't be understood.", cluster_id="", node_id="")
    assert "can't be understood" in one(identities.check_identities(facts(directories=(broken,))), "problem").seen


def test_a_disk_that_was_replaced_leaves_a_node_to_forget() -> None:
    old = node(2, state="down", directory="/data/sn-01")
    nodes = (node(1), replace(old, host="host-1"))
    found = one(identities.check_identities(facts(cluster=cluster(nodes=nodes))), "warning")
    assert "`forget sn-02`" in found.advice


def test_a_catalog_that_is_gone() -> None:
    lost = stopped(directories=(directory("/a", in_use=False),))
    assert "`restore-catalog`" in one(identities.check_identities(lost), "problem").advice


# --- The NameNode's word ------------------------------------------------------------------------------------------


def with_status(**changes: object) -> Facts:
    return facts(cluster=cluster(status=status(**changes)))


def test_a_namenode_that_only_reads() -> None:
    found = one(health.check_namenode(with_status(read_only="It failed three times.")), "problem")
    assert found.seen == "It failed three times." and "`resume`" in found.advice


def test_safe_mode() -> None:
    one(health.check_namenode(with_status(safe_mode=True)), "warning")
    assert health.check_replicas(with_status(safe_mode=True, missing=3)) == [], "they may only be late"


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"checkpoint_age_ms": 30_000, "checkpoint_edits_behind": 2}, "ok"),
        ({"checkpoint_age_ms": 86_400_000, "checkpoint_edits_behind": 0}, "ok"),
        ({"checkpoint_age_ms": 86_400_000, "checkpoint_edits_behind": 2}, "warning"),
        ({"checkpoint_age_ms": None, "artifacts": 1, "started_ms": 0}, "warning"),
    ],
)
def test_checkpoints(changes: dict[str, object], level: str) -> None:
    one(health.check_checkpoint(with_status(**changes), CONFIG), level)


def test_a_cluster_that_is_new_or_empty_needs_no_checkpoint() -> None:
    new = status()
    for changes in ({"artifacts": 0, "started_ms": 0}, {"artifacts": 1, "started_ms": new.now_ms}):
        assert health.check_checkpoint(with_status(checkpoint_age_ms=None, **changes), CONFIG) == []


def test_replicas() -> None:
    one(health.check_replicas(with_status(chunks=3)), "ok")
    short = one(health.check_replicas(with_status(under_replicated=2, at_risk=1)), "warning")
    assert short.seen == "2 chunks short of replicas, 1 of them with one left."
    waits = one(health.check_replicas(with_status(under_replicated=2, healing_waits="It waits for sn-01.")), "warning")
    assert waits.advice.startswith("It waits for sn-01.")
    one(health.check_replicas(with_status(missing=1)), "problem")


@pytest.mark.parametrize("state", ["down", "suspect", "failed"])
def test_a_node_that_is_not_up(state: str) -> None:
    nodes = (*(node(number) for number in range(1, 4)), node(4, state=state))
    assert "sn-04" in one(health.check_nodes(facts(cluster=cluster(nodes=nodes)), CONFIG), "warning").seen


def test_a_drain_that_gets_nowhere() -> None:
    stuck = node(4, state="draining", drain_warning="There is no other node.")
    nodes = (*(node(number) for number in range(1, 4)), stuck)
    assert "no other node" in one(health.check_nodes(facts(cluster=cluster(nodes=nodes)), CONFIG), "warning").seen


def test_too_few_nodes() -> None:
    few = facts(cluster=cluster(nodes=(node(1), node(2))))
    assert "2 storage nodes are up, and 3 copies are wanted" in one(health.check_nodes(few, CONFIG), "warning").seen
    one(health.check_nodes(facts(cluster=cluster(nodes=())), CONFIG), "problem")


def test_a_node_that_beats_and_does_not_answer() -> None:
    assert "sn-02 beats" in one(health.check_nodes(facts(cluster=cluster(silent=("sn-02",))), CONFIG), "warning").seen
