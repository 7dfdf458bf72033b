"""Listing, locating, deleting and undeleting, and the pictures of nodes and cluster."""

from __future__ import annotations

import pytest

from core.errors import ArtifactExists, ArtifactNotFound, ContentLost, NodeNotFound, VersionNotFound
from core.model import NODE_STATES
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import MIB, Driver

TEXT = b"one two three four five!"


def test_artifacts_are_listed_by_name_and_filtered(driver: Driver) -> None:
    for name in ("beta", "Alpha", "alphabet", "été"):
        driver.put(name, b"once")

    def names(pattern: str) -> list[str]:
        return [row.name for row in driver.namenode.artifacts(driver.now_ms, pattern)]

    assert names("") == ["Alpha", "alphabet", "beta", "été"]
    assert names("ALPHA") == ["Alpha", "alphabet"]
    assert names("*t*") == ["alphabet", "beta", "été"]
    assert names("nothing") == []


def test_health_follows_the_worst_chunk(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("three", b"once", replication=3)
    driver.put("two", b"more", replication=2)
    driver.put("other", b"else", replication=2)
    driver.run(2_000)

    def health() -> dict[str, str]:
        return {row.name: row.health for row in driver.namenode.artifacts(driver.now_ms, "")}

    assert set(health().values()) == {"ok"}
    (chunk_id,) = driver.chunk_ids("two")
    holders = [driver.nodes[node_id] for node_id in driver.holders(chunk_id)]
    holders[0].kill()
    driver.run(11_000)
    assert health()["three"] == "under"
    assert driver.namenode.info(driver.now_ms, "three", None).health == "under"
    holders[1].kill()
    driver.run(11_000)
    assert health()["three"] == "at_risk"


def test_locate_gives_a_window_with_the_best_replicas_first(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver[1].kill()
    driver.run(5_000)
    located = driver.namenode.locate(driver.now_ms, "a", None, 2, 3)
    assert [chunk.index for chunk in located.chunks] == [2, 3, 4]
    for chunk in located.chunks:
        names = [ref.name for ref in chunk.replicas]
        assert len(names) == 3
        assert "sn-01" not in names[:-1], "a suspect node comes last"
    assert driver.namenode.locate(driver.now_ms, "a", 1, 6, 5).chunks == ()


def test_readers_are_spread_over_replicas(driver: Driver) -> None:
    driver.put("a", b"once")
    first = {driver.namenode.locate(driver.now_ms, "a", None, 0, 1).chunks[0].replicas[0].id for _ in range(50)}
    assert len(first) == 3


def test_unknown_names_and_versions_are_refused_helpfully(driver: Driver) -> None:
    driver.put("report", TEXT)
    with pytest.raises(ArtifactNotFound, match="did you mean 'report'"):
        driver.namenode.locate(driver.now_ms, "raport", None, 0, 1)
    with pytest.raises(ArtifactNotFound):
        driver.namenode.history(driver.now_ms, "\udc80")
    with pytest.raises(VersionNotFound, match="has no version 7; there is version 1"):
        driver.namenode.info(driver.now_ms, "report", 7)
    driver.put("report", b"more", "update")
    for number in (0, -1, 3, 10**30):
        with pytest.raises(VersionNotFound, match="versions 1 to 2"):
            driver.namenode.info(driver.now_ms, "report", number)


def test_lost_content_names_the_nodes_that_had_it(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    driver.put("a", b"once", replication=1)
    driver.run(2_000)
    (node_id,) = driver.holders(driver.chunk_ids("a")[0])
    driver.nodes[node_id].kill()
    driver.run(15_000)
    name = driver.namenode.node_ref(driver.now_ms, node_id).name
    with pytest.raises(ContentLost, match=rf"1 of 1 chunk of 'a' has no replica.*{name} \(down\)"):
        driver.namenode.locate(driver.now_ms, "a", None, 0, 1)


def test_an_old_version_stays_readable(driver: Driver) -> None:
    driver.put("a", b"old!old?")
    driver.put("a", b"new!", "update")
    info = driver.namenode.info(driver.now_ms, "a", 1)
    assert (info.version, info.versions, info.size_bytes, len(info.chunks)) == (1, 2, 8, 2)


def test_delete_and_undelete(driver: Driver) -> None:
    driver.put("a", TEXT)
    newest = driver.put("a", b"more", "update")
    now_ms = driver.now_ms
    assert driver.namenode.delete(now_ms, "op-1", "a") == newest
    assert driver.namenode.delete(now_ms, "op-1", "a") == newest, "repeated"
    with pytest.raises(ArtifactNotFound, match="in the trash"):
        driver.namenode.delete(now_ms, "op-2", "a")
    assert driver.namenode.status(now_ms).trash == 1
    assert driver.put("a", b"else").version == 1
    with pytest.raises(ArtifactExists):
        driver.namenode.undelete(now_ms, "op-3", "a")
    driver.namenode.delete(now_ms + 1, "op-4", "a")
    assert driver.namenode.undelete(now_ms + 1, "op-5", "a").size_bytes == 4
    assert driver.namenode.undelete(now_ms + 1, "op-5", "a").size_bytes == 4
    assert len(driver.namenode.history(now_ms + 1, "a")) == 1, "the one deleted last came back"
    with pytest.raises(ArtifactNotFound, match="can't be undeleted"):
        driver.namenode.undelete(now_ms + 1, "op-6", "b")
    texts = driver.texts()
    assert sum(text == "'a' deleted" for text in texts) == 2
    assert sum(text == "'a' undeleted" for text in texts) == 1


def test_status_counts_what_there_is(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.put("a", b"more", "update")
    driver.run(2_000)
    status = driver.namenode.status(driver.now_ms)
    assert (status.artifacts, status.versions, status.chunks, status.logical_bytes) == (1, 2, 7, 28)
    assert status.stored_bytes == 3 * 28
    assert status.capacity_bytes == 4 * 1000 * MIB
    assert set(status.nodes) == set(NODE_STATES)
    assert status.nodes["up"] == 4


def test_a_node_is_found_and_shows_what_is_on_it(driver: Driver) -> None:
    driver.put("a", TEXT)
    driver.put("b", b"once")
    driver.run(2_000)
    detail = driver.namenode.node(driver.now_ms, "SN-01")
    assert detail.node.chunks == len(driver[1].chunks)
    assert sum(row.chunks for row in detail.artifacts) == len(driver[1].chunks)
    assert detail.artifacts_total == len(detail.artifacts)
    assert driver.namenode.node_ref(driver.now_ms, "node-0001").endpoint == f"actor:{driver[1].incarnation}"
    with pytest.raises(NodeNotFound, match="may mean") as refusal:
        driver.namenode.node(driver.now_ms, "sn-")
    assert refusal.value.details["candidates"] == ["sn-01", "sn-02", "sn-03", "sn-04"]
    with pytest.raises(NodeNotFound, match="sn-01, sn-02, sn-03 and sn-04"):
        driver.namenode.node(driver.now_ms, "nothing")


def test_events_are_given_since_a_number_and_bounded(make_driver: MakeDriver) -> None:
    driver = make_driver(1, events_max=10)
    for number in range(30):
        driver.put(f"a{number}", b"")
    events = driver.namenode.events(driver.now_ms, 0)
    assert len(events) == 10
    assert driver.namenode.events(driver.now_ms, events[6].seq) == events[7:]
    assert driver.namenode.events(driver.now_ms, events[-1].seq) == []
    assert events[-1].artifact == "a29"
