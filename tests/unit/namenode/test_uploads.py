"""Writing: every refusal, deduplication, leases, and the promise that acknowledged means durable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from blake3 import blake3

from core.errors import (
    ArtifactExists,
    ArtifactNotFound,
    DameError,
    InvalidRequest,
    LeaseExpired,
    NotEnoughNodes,
    NotEnoughSpace,
    NotReady,
    ReadOnly,
)
from core.model import BeginRequest, ChunkKey, CommitRequest, DeleteChunk, StoredChunk
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import MIB, Driver, key_of, older

TEXT = b"one two three four five!"


# --- Begin ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chunk_size_bytes": 0}, "chunk size of 0"),
        ({"chunk_size_bytes": 65 * MIB}, "from 1 to"),
        ({"replication": 0}, "from 1 to 16"),
        ({"replication": 17}, "from 1 to 16"),
        ({"replication": 5}, "the cluster has 4"),
        ({"keep_versions": -1}, "0 for all"),
        ({"keep_versions": 1_000_001}, "1 to 1000000"),
        ({"size_bytes": -1}, "-1 bytes"),
        ({"size_bytes": 9_000_000}, "chunk size of at least 9 bytes"),
        ({"size_bytes": 2**60}, "several artifacts"),
    ],
)
def test_values_outside_their_limits_are_refused(driver: Driver, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        driver.begin("a", b"", "upload", **changes)
    assert words in refusal.value.message


def test_bad_names_are_refused(driver: Driver) -> None:
    with pytest.raises(InvalidRequest):
        driver.begin("a\nb", b"")


def test_the_name_must_be_free_for_an_upload_and_taken_for_an_update(driver: Driver) -> None:
    driver.put("report", b"once")
    with pytest.raises(ArtifactExists, match="'report' exists already"):
        driver.begin("report", b"")
    with pytest.raises(ArtifactNotFound, match="did you mean 'report'"):
        driver.begin("Report", b"", "update")


def test_replication_above_the_configured_one_needs_the_nodes_but_the_configured_one_does_not(
    make_driver: MakeDriver,
) -> None:
    driver = make_driver(2)
    assert driver.begin("a", b"once", replication=3).replication == 3
    with pytest.raises(InvalidRequest, match="Replication 4 needs as many storage nodes, and the cluster has 2"):
        driver.begin("b", b"once", replication=4)


def test_an_update_keeps_the_replication_unless_told_otherwise(driver: Driver) -> None:
    driver.put("a", b"once", replication=2)
    assert driver.put("a", b"more", "update").replication == 2
    assert driver.put("a", b"most", "update", replication=4).replication == 4


def test_content_that_can_not_fit_is_refused_with_both_figures(make_driver: MakeDriver) -> None:
    driver = make_driver(0, disk_no_new_share=1.0)
    for _ in range(3):
        driver.add_node(capacity_bytes=10 * MIB)
    driver.run(3_000)
    driver.begin("fits", b"", size_bytes=10 * MIB, chunk_size_bytes=MIB)
    with pytest.raises(NotEnoughSpace, match=r"33\.0 MiB.*30\.0 MiB free"):
        driver.begin("does not", b"", size_bytes=11 * MIB, chunk_size_bytes=MIB)


def test_no_node_up_is_told_with_the_state_of_each(make_driver: MakeDriver) -> None:
    driver = make_driver(2)
    driver[1].kill()
    driver[2].kill()
    driver.run(14_000)
    with pytest.raises(NotEnoughNodes) as refusal:
        driver.begin("a", b"once")
    assert "none of the 2 storage nodes is up" in refusal.value.message
    assert "sn-01 is down (no heartbeat for 14 s)" in refusal.value.message


def test_no_node_at_all_is_told_as_such(make_driver: MakeDriver) -> None:
    with pytest.raises(NotEnoughNodes, match="No storage node has joined"):
        make_driver(0).begin("a", b"once")


def test_begin_repeated_gives_the_same_lease(driver: Driver) -> None:
    lease = driver.begin("a", b"once")
    assert driver.begin("a", b"once").id != lease.id
    again = driver.namenode.begin(driver.now_ms, BeginRequest(lease.id, "a", "upload", 4, None, None))
    assert again == lease


# --- Allocate -------------------------------------------------------------------------------------------------------


def test_targets_are_as_many_as_wanted_on_different_nodes(driver: Driver) -> None:
    lease = driver.begin("a", TEXT)
    for allocation in driver.namenode.allocate(driver.now_ms, lease, [key_of(TEXT[:4]), key_of(b"x")], []).chunks:
        assert len({ref.id for ref in allocation.targets}) == 3
        assert (allocation.quorum, allocation.stored) == (2, False)


def test_excluded_and_suspect_nodes_are_left_out(driver: Driver) -> None:
    driver[4].kill()
    driver.run(4_000)
    lease = driver.begin("a", TEXT)
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(TEXT[:4])], ["node-0001"]).chunks
    assert sorted(ref.name for ref in allocation.targets) == ["sn-02", "sn-03"]


def test_too_few_targets_are_refused_naming_each_node_and_why(driver: Driver) -> None:
    driver[3].kill()
    driver[4].kill()
    driver.run(14_000)
    lease = driver.begin("a", TEXT)
    with pytest.raises(NotEnoughNodes) as refusal:
        driver.namenode.allocate(driver.now_ms, lease, [key_of(TEXT[:4])], ["node-0001"])
    for words in ("sn-01 refused it", "sn-03 is down (no heartbeat for 14 s)", "sn-04 is down", "2 storage nodes"):
        assert words in refusal.value.message


def test_nodes_that_are_only_suspected_are_waited_for_as_at_the_beginning(driver: Driver) -> None:
    """The NameNode itself may have stood still: then all look so."""
    driver[3].kill()
    driver[4].kill()
    driver.run(4_000)
    lease = driver.begin("a", TEXT)
    keys = [key_of(TEXT[:4])]
    with pytest.raises(NotReady, match="sn-03 is suspect"):
        driver.namenode.allocate(driver.now_ms, lease, keys, ["node-0001"])
    with pytest.raises(NotEnoughNodes):
        driver.namenode.allocate(driver.now_ms, lease, keys, [f"node-{number:04d}" for number in (1, 2, 3)])


def test_full_nodes_are_refused_as_lack_of_space(make_driver: MakeDriver) -> None:
    driver = make_driver(0)
    for _ in range(3):
        driver.add_node(capacity_bytes=10)
    driver.run(3_000)
    lease = driver.begin("a", b"", size_bytes=None, chunk_size_bytes=100)
    with pytest.raises(NotEnoughSpace, match="sn-02 is full"):
        driver.namenode.allocate(driver.now_ms, lease, [ChunkKey("a" * 64, 11)], [])


def test_a_burst_does_not_overfill(make_driver: MakeDriver) -> None:
    """What was promised between two heartbeats is taken off the room."""
    driver = make_driver(0, disk_no_new_share=1.0)
    for _ in range(3):
        driver.add_node(capacity_bytes=20)
    driver.run(3_000)
    lease = driver.begin("a", b"", size_bytes=None, chunk_size_bytes=4)
    keys = [key_of(bytes([number] * 4)) for number in range(6)]
    driver.namenode.allocate(driver.now_ms, lease, keys[:5], [])
    with pytest.raises(NotEnoughSpace):
        driver.namenode.allocate(driver.now_ms, lease, keys[5:], [])
    driver.run(3_000)
    driver.namenode.allocate(driver.now_ms, lease, keys[5:], [])


def test_a_small_cluster_takes_what_it_can_with_a_warning(make_driver: MakeDriver) -> None:
    driver = make_driver(2)
    version = driver.put("a", TEXT)
    assert version.warnings == ("only 2 of 3 copies: the cluster has 2 storage nodes; more are made when nodes join",)
    driver.add_node()
    driver.run(10_000)
    assert driver.replicas("a") == [3] * 6


def test_a_single_node_is_a_cluster(make_driver: MakeDriver) -> None:
    driver = make_driver(1)
    assert "the cluster has 1 storage node;" in driver.put("a", TEXT).warnings[0]
    again = driver.send(driver.begin("b", TEXT), TEXT)
    assert all(stored.nodes == () for stored in again.chunks), "what the only node has need not be sent again"
    driver.namenode.commit(driver.now_ms, again)


def test_the_same_chunk_twice_in_one_request_is_fine(driver: Driver) -> None:
    version = driver.put("a", b"samesamesame")
    assert version.chunks == 3
    driver.run(2_000)
    assert driver.replicas("a") == [3, 3, 3]
    assert driver.namenode.status(driver.now_ms).chunks == 1


def test_stored_chunks_are_not_sent_again(driver: Driver) -> None:
    driver.put("a", TEXT)
    lease = driver.begin("a", TEXT, "update")
    allocations = driver.namenode.allocate(driver.now_ms, lease, [key_of(TEXT[:4]), key_of(b"new!")], [])
    assert [allocation.stored for allocation in allocations.chunks] == [True, False]
    assert allocations.chunks[0].targets == ()


def test_a_chunk_short_of_the_quorum_goes_to_its_holders_and_others(driver: Driver) -> None:
    driver.put("a", b"once", replication=1)
    (chunk_id,) = driver.chunk_ids("a")
    (holder,) = driver.holders(chunk_id)
    lease = driver.begin("b", b"once")
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"once")], []).chunks
    assert allocation.targets[0].id == holder
    assert len({ref.id for ref in allocation.targets}) == 3


@pytest.mark.parametrize("chunk_id", ["", "abc", "A" * 64, "g" * 64, "0" * 65])
def test_ids_that_are_not_hashes_are_refused(driver: Driver, chunk_id: str) -> None:
    lease = driver.begin("a", TEXT)
    with pytest.raises(InvalidRequest, match="not a chunk id"):
        driver.namenode.allocate(driver.now_ms, lease, [ChunkKey(chunk_id, 4)], [])


def test_a_chunk_has_one_size(driver: Driver) -> None:
    driver.put("a", b"once")
    lease = driver.begin("b", b"once")
    with pytest.raises(InvalidRequest, match="has 4 bytes, not 3"):
        driver.namenode.allocate(driver.now_ms, lease, [replace(key_of(b"once"), size_bytes=3)], [])


# --- Leases ---------------------------------------------------------------------------------------------------------


def test_an_idle_lease_expires_and_lets_its_chunks_go(make_driver: MakeDriver) -> None:
    driver = make_driver(lease_ms=60_000, garbage_grace_ms=5_000)
    lease = driver.begin("a", TEXT)
    request = driver.send(lease, TEXT)
    driver.run(59_000)
    assert driver.namenode.status(driver.now_ms).garbage_bytes == 0
    driver.run(20_000)
    assert not any(node.chunks for node in driver.nodes.values())
    with pytest.raises(LeaseExpired, match="idle for more than 60 s"):
        driver.namenode.commit(driver.now_ms, request)


def test_allocating_renews_a_lease(make_driver: MakeDriver) -> None:
    driver = make_driver(lease_ms=60_000)
    lease = driver.begin("a", TEXT)
    for _ in range(3):
        driver.run(50_000)
        lease = driver.namenode.allocate(driver.now_ms, lease, [key_of(TEXT[:4])], []).lease
        assert lease.renewed_ms == driver.now_ms


def test_an_abandoned_upload_leaves_the_name_free(driver: Driver) -> None:
    lease = driver.begin("a", TEXT)
    assert driver.namenode.status(driver.now_ms).leases == 1
    driver.namenode.abandon(driver.now_ms, lease)
    driver.namenode.abandon(driver.now_ms, lease)
    assert driver.namenode.status(driver.now_ms).leases == 0
    driver.put("a", TEXT)


# --- Commit ---------------------------------------------------------------------------------------------------------


def test_versions_are_numbered_and_appear_at_commit(driver: Driver) -> None:
    lease = driver.begin("a", TEXT)
    request = driver.send(lease, TEXT)
    assert driver.namenode.artifacts(driver.now_ms, "") == []
    version = driver.namenode.commit(driver.now_ms, request)
    assert (version.version, version.size_bytes, version.chunks, version.warnings) == (1, 24, 6, ())
    assert driver.put("a", b"more", "update").version == 2
    assert [row.version for row in driver.namenode.history(driver.now_ms, "a")] == [2, 1]


def test_a_repeated_commit_is_answered_and_applied_once(driver: Driver) -> None:
    request = driver.send(driver.begin("a", TEXT), TEXT)
    version = driver.namenode.commit(driver.now_ms, request)
    driver.run(5_000)
    assert driver.namenode.commit(driver.now_ms, request) == version
    assert driver.namenode.status(driver.now_ms).versions == 1


def test_of_two_uploads_of_one_name_the_second_is_refused_at_commit(driver: Driver) -> None:
    first, second = driver.begin("a", TEXT), driver.begin("a", b"else")
    requests = driver.send(first, TEXT), driver.send(second, b"else")
    driver.namenode.commit(driver.now_ms, requests[1])
    with pytest.raises(ArtifactExists):
        driver.namenode.commit(driver.now_ms, requests[0])
    assert driver.namenode.info(driver.now_ms, "a", None).size_bytes == 4


def test_of_two_updates_both_become_versions(driver: Driver) -> None:
    driver.put("a", TEXT)
    first, second = driver.begin("a", b"one!", "update"), driver.begin("a", b"two!", "update")
    requests = driver.send(first, b"one!"), driver.send(second, b"two!")
    assert [driver.namenode.commit(driver.now_ms, request).version for request in requests] == [2, 3]


def test_an_update_of_what_was_deleted_meanwhile_is_refused(driver: Driver) -> None:
    driver.put("a", TEXT)
    request = driver.send(driver.begin("a", b"more", "update"), b"more")
    driver.namenode.delete(driver.now_ms, "op-delete", "a")
    with pytest.raises(ArtifactNotFound):
        driver.namenode.commit(driver.now_ms, request)


@pytest.mark.parametrize("confirmed", [0, 1])
def test_an_acknowledgement_below_the_quorum_is_refused(driver: Driver, confirmed: int) -> None:
    request = driver.send(driver.begin("a", TEXT), TEXT)
    short = [replace(request.chunks[0], nodes=request.chunks[0].nodes[:confirmed]), *request.chunks[1:]]
    with pytest.raises(NotEnoughNodes, match="1 of 6 chunks of 'a' is on fewer than 2 storage nodes"):
        driver.namenode.commit(driver.now_ms, replace(request, chunks=tuple(short)))
    driver.namenode.check_invariants()
    assert driver.namenode.artifacts(driver.now_ms, "") == []
    assert driver.namenode.commit(driver.now_ms, request).version == 1, "with the confirmations it goes through"


def test_confirmations_count_once_per_node_and_only_of_known_nodes(driver: Driver) -> None:
    request = driver.send(driver.begin("a", b"once"), b"once")
    node = request.chunks[0].nodes[0]
    for nodes in ((node, node, node), (node, "nobody", "")):
        with pytest.raises(NotEnoughNodes):
            driver.namenode.commit(
                driver.now_ms, replace(request, chunks=(StoredChunk(request.chunks[0].chunk, nodes),))
            )


def test_confirmations_of_nodes_that_went_down_do_not_count(driver: Driver) -> None:
    request = driver.send(driver.begin("a", b"once"), b"once")
    for node_id in request.chunks[0].nodes[:2]:
        driver.nodes[node_id].kill()
    driver.run(12_000)
    with pytest.raises(NotEnoughNodes, match=r"sn-0\d is down"):
        driver.namenode.commit(driver.now_ms, request)


def test_a_failed_node_counts_no_more_from_that_moment_on(driver: Driver) -> None:
    request = driver.send(driver.begin("a", b"once"), b"once")
    for node_id in request.chunks[0].nodes[:2]:
        driver.namenode.set_wish(driver.now_ms, f"fail-{node_id}", node_id, "failed")
    with pytest.raises(NotEnoughNodes):
        driver.namenode.commit(driver.now_ms, request)


def test_a_confirmation_is_not_believed_after_the_node_lost_the_replica(driver: Driver) -> None:
    """Two of three replicas turn out corrupt between their confirmation and the commit."""
    request = driver.send(driver.begin("a", b"once"), b"once")
    driver.run(1_000)
    for node_id in request.chunks[0].nodes[:2]:
        driver.nodes[node_id].spoil(request.chunks[0].chunk.id)
    driver.run(1_000)
    with pytest.raises(NotEnoughNodes):
        driver.namenode.commit(driver.now_ms, request)


def test_a_claim_is_dropped_when_its_node_goes_down(make_driver: MakeDriver) -> None:
    driver = make_driver(3)
    request = driver.send(driver.begin("a", b"once"), b"once")
    liar = driver.nodes[request.chunks[0].nodes[0]]
    liar.chunks.clear()
    liar.received.clear()
    driver.namenode.commit(driver.now_ms, request)
    liar.serving = False
    driver.run(12_000)
    liar.serving = True
    driver.run(5_000)
    assert driver.replicas("a") == [3]


def test_fewer_replicas_than_wanted_are_acknowledged_with_a_warning(driver: Driver) -> None:
    request = driver.send(driver.begin("a", b"once"), b"once")
    straggler = driver.nodes[request.chunks[0].nodes[2]]
    straggler.chunks.clear()
    straggler.received.clear()
    chunk = replace(request.chunks[0], nodes=request.chunks[0].nodes[:2])
    version = driver.namenode.commit(driver.now_ms, replace(request, chunks=(chunk,)))
    assert version.warnings[0].startswith("only 2 of 3 copies")
    assert driver.namenode.artifacts(driver.now_ms, "")[0].health == "under"
    assert driver.namenode.history(driver.now_ms, "a")[0].warnings == ()
    driver.run(5_000)
    assert driver.replicas("a") == [3]


def test_a_claim_the_node_never_confirms_is_dropped_and_healed(driver: Driver) -> None:
    request = driver.send(driver.begin("a", b"once"), b"once")
    liar = driver.nodes[request.chunks[0].nodes[0]]
    liar.chunks.clear()
    liar.received.clear()
    driver.namenode.commit(driver.now_ms, request)
    driver.run(50_000)
    assert driver.namenode.status(driver.now_ms).under_replicated == 0
    driver.run(20_000)
    assert driver.replicas("a") == [3]


def test_a_new_process_that_does_not_have_what_its_predecessor_took_is_believed(driver: Driver) -> None:
    request = driver.send(driver.begin("a", b"once"), b"once")
    driver.namenode.commit(driver.now_ms, request)
    emptied = driver.nodes[request.chunks[0].nodes[0]]
    driver.now_ms += 100
    emptied.start()
    emptied.chunks.clear()
    driver.run(4_000)
    assert driver.replicas("a") == [3]


def test_nodes_that_have_only_registered_are_waited_for(driver: Driver) -> None:
    """They are given nothing before their first heartbeat, which is on its way."""
    driver.put("a", b"once")
    for number in (1, 2, 3):
        driver[number].start()
        driver.namenode.register(driver.now_ms, driver[number].registration())
    lease = driver.begin("b", b"more")
    with pytest.raises(NotReady, match="sn-01 has registered just now"):
        driver.namenode.allocate(driver.now_ms, lease, [key_of(b"more")], [])


def test_storing_again_where_it_is_takes_no_room(make_driver: MakeDriver) -> None:
    """After a restart nothing that no version counts is taken for stored; who retries sends it to the same nodes."""
    driver = make_driver(3, chunk_size_bytes=1_000, disk_no_new_share=1.0, disk_warn_share=1.0)
    again = [key_of(bytes([number]) * 1_000) for number in range(12)]
    for number in (1, 2, 3):
        driver[number].capacity_bytes = 24_500
        for chunk in again:
            driver[number].store(chunk)
    driver.run(3_000)
    driver.restart_namenode()
    driver.run(5_000)
    fresh = [key_of(bytes([100 + number]) * 1_000) for number in range(2)]
    allocations = driver.namenode.allocate(driver.now_ms, driver.begin("a", bytes(12_000)), again + fresh, [])
    assert [len(allocation.targets) for allocation in allocations.chunks] == [3] * 14


def test_empty_and_one_byte_contents_are_artifacts(driver: Driver) -> None:
    empty = driver.put("empty", b"")
    assert (empty.chunks, empty.size_bytes, empty.digest) == (0, 0, blake3(b"").hexdigest())
    assert driver.put("one", b"1").chunks == 1
    located = driver.namenode.locate(driver.now_ms, "empty", None, 0, 10)
    assert (located.chunks, located.version) == ((), empty)
    assert {row.health for row in driver.namenode.artifacts(driver.now_ms, "")} == {"ok"}


SPOIL: list[Callable[[CommitRequest], CommitRequest]] = [
    lambda request: replace(request, size_bytes=request.size_bytes + 1),
    lambda request: replace(request, chunks=request.chunks[::-1]),
    lambda request: replace(request, chunks=request.chunks[:-1]),
    lambda request: replace(request, lease=replace(request.lease, chunk_size_bytes=5)),
    lambda request: replace(
        request, chunks=(*request.chunks, StoredChunk(ChunkKey("0" * 64, 0), request.chunks[0].nodes))
    ),
]


@pytest.mark.parametrize("spoil", SPOIL)
def test_lists_that_do_not_add_up_are_refused(driver: Driver, spoil: Callable[[CommitRequest], CommitRequest]) -> None:
    request = driver.send(driver.begin("a", b"one two three"), b"one two three")
    with pytest.raises(InvalidRequest):
        driver.namenode.commit(driver.now_ms, spoil(request))
    assert driver.namenode.artifacts(driver.now_ms, "") == []


def test_an_operation_id_that_was_used_for_another_kind_of_change_is_refused(driver: Driver) -> None:
    namenode = driver.namenode
    driver.put("a", b"once")
    driver.put("trashed", b"once")
    namenode.delete(driver.now_ms, "deleted", "trashed")
    namenode.set_wish(driver.now_ms, "drained", "sn-01", "draining")
    request = driver.send(namenode.begin(driver.now_ms, BeginRequest("drained", "b", "upload", 4, 1, 4)), b"more")
    driver[2].kill()
    driver.run(15_000)
    calls: list[Callable[[], object]] = [
        lambda: namenode.commit(driver.now_ms, request),
        lambda: namenode.delete(driver.now_ms, "drained", "a"),
        lambda: namenode.undelete(driver.now_ms, "drained", "trashed"),
        lambda: namenode.purge(driver.now_ms, "drained", "trashed"),
        lambda: namenode.undelete(driver.now_ms, "deleted", "trashed"),
        lambda: namenode.purge(driver.now_ms, "deleted", "trashed"),
        lambda: namenode.forget(driver.now_ms, "drained", "sn-02"),
        lambda: namenode.set_wish(driver.now_ms, "deleted", "sn-01", "none"),
        lambda: namenode.forget(driver.now_ms, "deleted", "sn-02"),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest, match="used for another change"):
            call()
    namenode.check_invariants()
    assert [node.state for node in namenode.nodes(driver.now_ms)] == ["draining", "down", "up", "up"]


def test_what_allocate_refuses_is_not_pinned(make_driver: MakeDriver) -> None:
    driver = make_driver(chunks_per_version_max=3)
    lease = driver.begin("a", b"", size_bytes=None)
    before = set(driver.namenode._state.redundancy.chunks)
    good = key_of(b"once")
    for bad in ([key_of(bytes([n])) for n in range(4)], [good, ChunkKey("0" * 64, 5)], [good, ChunkKey("0" * 64, 0)]):
        with pytest.raises(InvalidRequest):
            driver.namenode.allocate(driver.now_ms, lease, bad, [])
    assert set(driver.namenode._state.redundancy.chunks) == before
    assert len(driver.namenode.allocate(driver.now_ms, lease, [key_of(bytes([n])) for n in range(3)], []).chunks) == 3


def test_a_full_catalog_disk_refuses_writes_and_serves_reads(driver: Driver) -> None:
    driver.put("a", TEXT)
    request = driver.send(driver.begin("b", TEXT), TEXT)
    driver.catalog._connection.execute("PRAGMA query_only = ON")
    refused: list[Callable[[], object]] = [
        lambda: driver.namenode.commit(driver.now_ms, request),
        lambda: driver.namenode.delete(driver.now_ms, "op-delete", "a"),
        lambda: driver.namenode.set_wish(driver.now_ms, "op-wish", "sn-01", "failed"),
    ]
    for call in refused:
        with pytest.raises(ReadOnly):
            call()
        driver.namenode.check_invariants()
    assert len(driver.namenode.locate(driver.now_ms, "a", None, 0, 10).chunks) == 6
    driver.catalog._connection.execute("PRAGMA query_only = OFF")
    assert driver.namenode.commit(driver.now_ms, request).version == 1


def test_housekeeping_on_a_full_disk_does_not_stop_reads(make_driver: MakeDriver) -> None:
    driver = make_driver(trash_retention_ms=10_000, operation_memory_ms=10_000)
    driver.put("a", TEXT)
    driver.put("b", TEXT)
    driver.namenode.delete(driver.now_ms, "op-delete", "a")
    driver.catalog._connection.execute("PRAGMA query_only = ON")
    driver.run(60_000)
    assert [row.name for row in driver.namenode.artifacts(driver.now_ms, "")] == ["b"]
    assert sum("can't be written" in text for text in driver.texts()) == 1
    driver.catalog._connection.execute("PRAGMA query_only = OFF")
    driver.run(30_000)
    assert driver.namenode.status(driver.now_ms).trash == 0


def test_a_replica_that_is_being_deleted_is_no_proof(driver: Driver) -> None:
    """An old confirmation of a node that has since been told to delete the replica does not count."""
    driver.put("a", b"once", replication=1)
    next(node for node in driver.nodes.values() if not node.chunks).store(key_of(b"once"))
    driver.ignored = (DeleteChunk,)
    driver.run(4_000)
    ((doomed, _), *_) = driver.told(DeleteChunk)
    lease = driver.begin("b", b"once")
    (allocation,) = driver.namenode.allocate(driver.now_ms, lease, [key_of(b"once")], []).chunks
    assert doomed not in [ref.id for ref in allocation.targets]
    chunk = StoredChunk(key_of(b"once"), (doomed,))
    with pytest.raises(NotEnoughNodes):
        driver.namenode.commit(driver.now_ms, CommitRequest(lease, 4, blake3(b"once").hexdigest(), (chunk,)))


# --- Restart --------------------------------------------------------------------------------------------------------


def test_a_lease_is_taken_up_again_by_a_new_namenode(driver: Driver) -> None:
    request = driver.send(driver.begin("a", TEXT), TEXT)
    driver.restart_namenode()
    with pytest.raises(NotReady):  # what the nodes told the client counts no more than what they tell now
        driver.namenode.commit(driver.now_ms, request)
    driver.run(2_000)
    assert driver.namenode.commit(driver.now_ms, request).version == 1
    driver.run(5_000)
    assert driver.replicas("a") == [3] * 6


def test_chunks_the_client_has_no_confirmations_of_wait_for_the_reports(driver: Driver) -> None:
    driver.put("a", TEXT)
    request = driver.send(driver.begin("b", TEXT), TEXT)
    driver.restart_namenode()
    with pytest.raises(NotReady):
        driver.namenode.commit(driver.now_ms, request)
    driver.run(3_000)
    assert driver.namenode.commit(driver.now_ms, request).version == 1


def test_a_small_cluster_is_not_taken_for_a_smaller_one_after_a_restart(make_driver: MakeDriver) -> None:
    driver = make_driver(2)
    request = driver.send(driver.begin("a", b"once"), b"once")
    driver.restart_namenode()
    (chunk,) = request.chunks
    with pytest.raises(NotReady):
        driver.namenode.commit(driver.now_ms, replace(request, chunks=(replace(chunk, nodes=chunk.nodes[:1]),)))


def test_a_lease_that_is_too_old_is_not_taken_up(driver: Driver) -> None:
    request = driver.send(driver.begin("a", TEXT), TEXT)
    driver.restart_namenode()
    driver.run(3_000)
    stale = replace(request, lease=older(request.lease, driver.config.lease_ms))
    with pytest.raises(LeaseExpired):
        driver.namenode.commit(driver.now_ms, stale)


def test_a_commit_repeated_to_a_new_namenode_is_answered(driver: Driver) -> None:
    request = driver.send(driver.begin("a", TEXT), TEXT)
    version = driver.namenode.commit(driver.now_ms, request)
    driver.restart_namenode()
    assert driver.namenode.commit(driver.now_ms, request) == version


def test_a_long_upload_across_a_restart_keeps_chunks_the_new_namenode_never_allocated(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=5_000, lease_ms=60_000)
    driver.put("other", b"else")
    lease = driver.begin("a", b"", size_bytes=None)
    first = driver.send(lease, b"one two three fo")
    driver.run(2_000)
    driver.restart_namenode()
    driver.run(50_000)
    second = driver.send(first.lease, b"ur five!")
    driver.run(50_000)
    third = driver.send(second.lease, b"")
    driver.run(50_000)
    whole = replace(
        third, size_bytes=24, digest=blake3(TEXT).hexdigest(), chunks=(*first.chunks, *second.chunks, *third.chunks)
    )
    assert driver.namenode.commit(driver.now_ms, whole).size_bytes == 24
    assert driver.replicas("a") == [3] * 6


def test_a_confirmation_from_before_a_restart_yields_to_the_nodes_own_report(driver: Driver) -> None:
    """The replicas were lost while no NameNode was there to hear of it."""
    request = driver.send(driver.begin("a", b"once"), b"once")
    for node_id in request.chunks[0].nodes[:2]:
        driver.nodes[node_id].chunks.clear()
        driver.nodes[node_id].received.clear()
    driver.restart_namenode()
    driver.run(5_000)
    with pytest.raises(NotReady):
        driver.namenode.commit(driver.now_ms, request)
    assert driver.namenode.artifacts(driver.now_ms, "") == []


def test_a_refused_commit_makes_no_old_confirmation_credible(driver: Driver) -> None:
    """Simulation, seed 123: the chunks were pinned by the refused commit, and the next one took that for having watched
    over them all the time."""
    request = driver.send(driver.begin("a", b"once"), b"once")
    for node_id in request.chunks[0].nodes[:2]:
        driver.nodes[node_id].chunks.clear()
        driver.nodes[node_id].received.clear()
    driver.restart_namenode()
    driver.run(5_000)
    for _ in range(2):
        with pytest.raises(NotReady):
            driver.namenode.commit(driver.now_ms, request)
    assert driver.namenode.artifacts(driver.now_ms, "") == []


def test_a_begin_that_comes_again_late_makes_no_old_confirmation_credible(driver: Driver) -> None:
    begin = BeginRequest("upload-1", "a", "upload", 4, None, None)
    request = driver.send(driver.namenode.begin(driver.now_ms, begin), b"once")
    for node_id in request.chunks[0].nodes[:2]:
        driver.nodes[node_id].chunks.clear()
        driver.nodes[node_id].received.clear()
    driver.restart_namenode()
    driver.run(5_000)
    driver.namenode.begin(driver.now_ms, begin)
    with pytest.raises(NotReady):
        driver.namenode.commit(driver.now_ms, request)


def test_a_commit_that_comes_again_late_makes_no_old_confirmation_credible(make_driver: MakeDriver) -> None:
    """Simulation, seed 31603: the upload had been abandoned, and its chunks deleted."""
    driver = make_driver(garbage_grace_ms=5_000, unknown_grace_ms=5_000)
    request = driver.send(driver.begin("a", b"once"), b"once")
    driver.run(2_000)
    driver.namenode.abandon(driver.now_ms, request.lease)
    driver.run(20_000)
    assert not driver.holders(request.chunks[0].chunk.id)
    driver.nodes[request.chunks[0].nodes[0]].alive = False
    for _ in range(2):
        with pytest.raises(NotReady):
            driver.namenode.commit(driver.now_ms, request)


def test_neither_do_a_begin_and_a_commit_that_both_come_again_late(make_driver: MakeDriver) -> None:
    driver = make_driver(garbage_grace_ms=5_000, unknown_grace_ms=5_000)
    begin = BeginRequest("upload-1", "a", "upload", 4, None, None)
    request = driver.send(driver.namenode.begin(driver.now_ms, begin), b"once")
    driver.run(2_000)
    driver.namenode.abandon(driver.now_ms, request.lease)
    driver.run(20_000)
    driver.namenode.begin(driver.now_ms, begin)
    for _ in range(2):
        with pytest.raises(NotEnoughNodes):
            driver.namenode.commit(driver.now_ms, request)


def test_begin_right_after_a_restart_asks_for_patience(driver: Driver) -> None:
    driver.restart_namenode()
    with pytest.raises(NotReady):
        driver.begin("a", TEXT)


def test_refusals_are_of_the_one_tree(driver: Driver) -> None:
    with pytest.raises(DameError) as refusal:
        driver.begin("", b"")
    assert refusal.value.message.endswith(".")


def test_what_another_directory_confirmed_is_no_proof_for_its_copy(driver: Driver) -> None:
    """A copy of a node's directory is opened elsewhere while the node is stopped in the middle of an upload: what the
    original confirmed to the client is not in the copy."""
    lease = driver.begin("a", b"once")
    request = driver.send(lease, b"once")
    (stored,) = request.chunks
    moved = [driver.nodes[node_id] for node_id in stored.nodes[:2]]
    for node in moved:
        node.kill()
    driver.run(4_000)
    for node in moved:
        node.start()
        node.directory, node.chunks = f"/elsewhere/{node.id}", {}
        driver.beat(node)
    with pytest.raises(NotEnoughNodes):
        driver.namenode.commit(driver.now_ms, request)


def test_a_new_process_that_lacks_what_its_predecessor_never_told_is_believed(driver: Driver) -> None:
    """Its report, not the word of the client who heard it from the one before."""
    lease = driver.begin("a", b"once")
    request = driver.send(lease, b"once", excluded=[driver[3].id, driver[4].id])
    driver[1].chunks.clear()  # its disk has lost them
    driver[1].start()
    driver.namenode.register(driver.now_ms, driver[1].registration())
    with pytest.raises(NotReady, match="restarted"):
        driver.namenode.commit(driver.now_ms, request)
    driver.run(5_000)
    with pytest.raises(NotEnoughNodes):
        driver.namenode.commit(driver.now_ms, request)


def test_a_new_process_on_the_same_directory_is_believed(driver: Driver) -> None:
    lease = driver.begin("a", b"once")
    request = driver.send(lease, b"once")
    for node_id in request.chunks[0].nodes:
        node = driver.nodes[node_id]
        node.kill()
        node.start()
        driver.beat(node)
    assert driver.namenode.commit(driver.now_ms, request).version == 1


def test_a_disk_that_moved_to_another_host_is_believed_once_it_reported(driver: Driver) -> None:
    driver.put("a", b"once")
    driver.run(2_000)
    (chunk_id,) = driver.chunk_ids("a")
    node = driver.nodes[driver.holders(chunk_id)[0]]
    node.kill()
    driver.run(4_000)
    node.start()
    node.host = "new host"
    driver.run(3_000)
    assert node.id in driver.namenode.info(driver.now_ms, "a", None).chunks[0].replicas


FORGED: list[dict[str, object]] = [
    {"replication": 0},
    {"replication": 1},
    {"keep_versions": 1},
    {"name": "b"},
    {"mode": "update"},
]


@pytest.mark.parametrize("changes", FORGED)
def test_a_lease_other_than_the_one_that_was_given_is_refused(driver: Driver, changes: dict[str, object]) -> None:
    driver.put("taken", b"once")
    request = driver.send(driver.begin("a", b"once"), b"once")
    forged = replace(request.lease, **changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="not the one that was given"):
        driver.namenode.allocate(driver.now_ms, forged, [key_of(b"once")], [])
    with pytest.raises(InvalidRequest, match="not the one that was given"):
        driver.namenode.commit(driver.now_ms, replace(request, lease=forged))
    assert driver.namenode.commit(driver.now_ms, request).replication == 3


def test_a_lease_of_another_cluster_is_refused(make_driver: MakeDriver) -> None:
    """A last checkpoint of a cluster that ended may go on when its process is connected to the next one."""
    driver = make_driver(4)
    lease = driver.begin("a", TEXT)
    request = driver.send(lease, TEXT)
    driver.restart_namenode()
    driver.run(5_000)
    stranger = replace(lease, cluster_id="another")
    keys = [stored.chunk for stored in request.chunks]
    for refused in (
        lambda: driver.namenode.allocate(driver.now_ms, stranger, keys, []),
        lambda: driver.namenode.commit(driver.now_ms, replace(request, lease=stranger)),
    ):
        with pytest.raises(InvalidRequest, match="meant for another"):
            refused()
    assert driver.namenode.status(driver.now_ms).chunks == 0
    driver.namenode.commit(driver.now_ms, request)


def test_a_lease_shown_as_it_was_before_its_renewal_is_good(driver: Driver) -> None:
    first = driver.begin("a", b"once")
    driver.run(2_000)
    request = driver.send(first, b"once")
    assert request.lease.renewed_ms > first.renewed_ms
    assert driver.namenode.commit(driver.now_ms, replace(request, lease=first)).version == 1


@pytest.mark.parametrize(
    "changes",
    [{"replication": 0}, {"replication": 17}, {"chunk_size_bytes": 0}, {"keep_versions": -1}, {"name": ""}],
)
def test_a_new_namenode_takes_up_no_lease_that_none_would_give(driver: Driver, changes: dict[str, object]) -> None:
    lease = driver.begin("a", b"")
    request = CommitRequest(lease, 0, blake3(b"").hexdigest(), ())
    driver.restart_namenode()
    forged = replace(lease, **changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        driver.namenode.commit(driver.now_ms, replace(request, lease=forged))
    assert driver.namenode.commit(driver.now_ms, request).version == 1


def test_a_lease_known_by_a_late_begin_is_the_one_the_client_goes_on_with(driver: Driver) -> None:
    """The artifact got another replication between the two, so the late `begin` gives another lease."""
    driver.put("a", b"once", replication=2)
    begin = BeginRequest("upload-1", "a", "update", 4, None, None)
    request = driver.send(driver.namenode.begin(driver.now_ms, begin), b"more")
    driver.put("a", b"else", mode="update", replication=3)
    driver.restart_namenode()
    driver.run(5_000)
    assert driver.namenode.begin(driver.now_ms, begin).replication == 3
    assert driver.namenode.commit(driver.now_ms, request).replication == 2
