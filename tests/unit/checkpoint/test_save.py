"""Checkpoints as they are made: when, of what, and what a crash in between leaves."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.checkpoint import manifest as manifests
from core.checkpoint.find import scan
from core.checkpoint.manifest import Manifest
from core.checkpoint.save import COPY_NAME, Checkpointer
from core.cluster import checkpointer as last_of_all
from core.cluster import launch
from core.directory import lock_directory
from core.errors import ArtifactExists, ArtifactNotFound, Cancelled, DiskFull, InvalidRequest
from core.gateway import Call, NameNodeCalls
from core.model import CHECKPOINT_NAME, BeginRequest, NodeRef
from tests.inprocess import Cluster, InProcessGateway
from tests.unit.checkpoint.conftest import CONFIG, checkpointer_of
from tests.unit.checkpoint.disaster import lose_catalog, restore_catalog, slots, start, stop


def texts(cluster: Cluster) -> list[str]:
    return [event.text for event in cluster.store.events() if "checkpoint" in event.text]


def test_a_checkpoint_is_on_every_storage_node_and_in_the_status(cluster: Cluster, checkpointer: Checkpointer) -> None:
    status = cluster.store.status()
    assert (status.checkpoint_age_ms, status.checkpoint_edits_behind) == (None, None)
    cluster.store.upload("a", b"content")
    checkpointer.step()
    cluster.advance(3_000)
    status = cluster.store.status()
    assert (status.checkpoint_age_ms, status.checkpoint_edits_behind) == (3_000, 0)
    assert [len(manifests.files(slot)) for slot in slots(cluster)] == [1, 1, 1, 1]
    assert texts(cluster) == ["the catalog is checkpointed to 4 storage nodes"]
    assert not (cluster.directory / "namenode" / COPY_NAME).exists()
    cluster.store.delete("a")
    assert cluster.store.status().checkpoint_edits_behind == 1


def test_users_neither_see_nor_touch_it(cluster: Cluster, checkpointer: Checkpointer) -> None:
    cluster.store.upload("a", b"content")
    before = cluster.store.status()
    checkpointer.step()
    store, status = cluster.store, cluster.store.status()
    assert [artifact.name for artifact in store.list()] == ["a"]
    assert (status.artifacts, status.versions, status.logical_bytes, status.trash) == (1, 1, 7, 0)
    assert status.chunks > before.chunks, "its chunks are kept like any others"
    for refused in (store.delete, store.get, store.history, store.info):
        with pytest.raises(ArtifactNotFound):
            refused(CHECKPOINT_NAME)
    with pytest.raises(InvalidRequest):
        store.update(CHECKPOINT_NAME, b"mine")
    with pytest.raises(InvalidRequest):
        store.upload(CHECKPOINT_NAME, b"mine")
    with pytest.raises((ArtifactNotFound, ArtifactExists)):
        store.undelete(CHECKPOINT_NAME)
    assert {row.name for node in store.nodes() for row in store.node(node.id).artifacts} == {"a"}


def test_only_the_hidden_name_is_written_as_a_checkpoint(cluster: Cluster) -> None:
    cluster.store.upload("a", b"content")
    with pytest.raises(InvalidRequest, match="no name for a checkpoint"):
        InProcessGateway(cluster).namenode.begin(BeginRequest("id", "a", "checkpoint", 1, None, None))


def test_nothing_is_done_while_nothing_changes(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.step()
    stores = sum(faults.stores for faults in cluster.faults.values())
    for _ in range(10):
        cluster.advance(60_000)
        checkpointer.step()
    assert sum(faults.stores for faults in cluster.faults.values()) == stores
    assert cluster.store.status().checkpoint_edits_behind == 0


def test_the_first_come_soon_and_the_others_at_the_interval(cluster: Cluster, checkpointer: Checkpointer) -> None:
    made = []
    for second in range(900):
        if second % 100 == 0:
            cluster.store.upload(f"at-{second}", b"content")
        else:
            cluster.namenode.set_wish(cluster.now_ms, f"op-{second}", "sn-01", "draining" if second % 2 else "none")
        behind = cluster.store.status().checkpoint_edits_behind
        checkpointer.step()
        if cluster.store.status().checkpoint_edits_behind != behind:
            made.append(second)
        cluster.advance(1_000)
    made = [later - earlier for earlier, later in itertools.pairwise(made)]
    first, interval = CONFIG.checkpoint_first_ms // 1_000, CONFIG.checkpoint_interval_ms // 1_000
    wanted = [first * 2**number for number in range(1, 10)]
    assert made[:4] == [min(gap, interval) for gap in wanted[:4]]
    assert made[-1] == interval


def test_many_edits_call_for_one_sooner(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, replace(CONFIG, checkpoint_edits=20, checkpoint_first_ms=1_000))
    checkpointer = checkpointer_of(cluster)
    for _ in range(10):  # the gap is at its longest after these
        cluster.advance(400_000)
        cluster.store.upload(f"at-{cluster.now_ms}", b"content")
        checkpointer.step()
        assert cluster.store.status().checkpoint_edits_behind == 0
    cluster.advance(2_000)
    for number in range(20):
        checkpointer.step()
        assert cluster.store.status().checkpoint_edits_behind == number
        cluster.store.upload(f"many-{number}", b"content")
    checkpointer.step()
    assert cluster.store.status().checkpoint_edits_behind == 0
    cluster.close()


def test_old_versions_go_and_their_chunks_with_them(cluster: Cluster, checkpointer: Checkpointer) -> None:
    sizes = []
    for number in range(8):
        cluster.store.upload(f"artifact-{number}", bytes([number]) * 100)
        checkpointer.save()
        cluster.advance(CONFIG.lease_ms + 10_000)
        sizes.append(cluster.store.status().chunks - number - 1)
    assert max(sizes) <= 2 * 2, "two checkpoints, of one or two chunks each"
    assert cluster.store.status().garbage_bytes == 0
    assert [len(manifests.files(slot)) for slot in slots(cluster)] == [2, 2, 2, 2]


def test_a_node_that_was_away_gets_the_manifest_when_it_is_back(cluster: Cluster, checkpointer: Checkpointer) -> None:
    cluster.kill("slot-2")
    cluster.advance(20_000)
    checkpointer.step()
    assert [len(manifests.files(slot)) for slot in slots(cluster)] == [1, 1, 0, 1]
    cluster.start_node("slot-2")
    cluster.advance(2_000)
    checkpointer.step()
    assert [len(manifests.files(slot)) for slot in slots(cluster)] == [1, 1, 1, 1]


def test_word_of_two_at_once_may_come_in_any_order(cluster: Cluster, checkpointer: Checkpointer) -> None:
    """The NameNode's own and the one at a cluster's end may be of the same edits."""
    made = [checkpointer.save() for _ in range(4)]
    cluster.namenode.checkpoint_stored(cluster.now_ms, made[0], 1, 4)
    cluster.namenode.check_invariants()
    assert cluster.store.status().checkpoint_edits_behind == 0


def test_one_that_is_lost_is_none_and_is_made_again(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.step()
    cluster.advance(2_000)
    (manifest,) = scan(slots(cluster)).manifests
    for endpoint in list(cluster.nodes):
        (cluster.directory / endpoint / "chunks" / manifest.chunks[0].id[:2] / manifest.chunks[0].id).unlink(True)
        cluster.restart_node(endpoint)
    cluster.advance(CONFIG.checkpoint_interval_ms)
    status = cluster.store.status()
    assert (status.missing, status.checkpoint_age_ms, status.checkpoint_edits_behind) == (1, None, None)
    checkpointer.step()
    cluster.advance(2_000)
    status = cluster.store.status()
    assert (status.missing, status.checkpoint_edits_behind) == (0, 0)


def lose(cluster: Cluster, manifest: Manifest) -> None:
    """A chunk of this checkpoint alone goes from all disks."""
    for endpoint in list(cluster.nodes):
        for key in manifest.chunks:
            (cluster.directory / endpoint / "chunks" / key.id[:2] / key.id).unlink(missing_ok=True)
        cluster.restart_node(endpoint)
    cluster.advance(2_000)


def published_without_manifest(cluster: Cluster) -> None:
    """A process makes a checkpoint and ends before any storage node has the manifest."""
    cluster.store.upload(f"edit-{cluster.now_ms}", b"content")
    killed = checkpointer_of(cluster)
    killed._spread = crash  # type: ignore[method-assign]
    with pytest.raises(Crash):
        killed.save()


def test_one_that_no_manifest_names_takes_no_other_ones_place(cluster: Cluster, checkpointer: Checkpointer) -> None:
    cluster.store.upload("a", b"content")
    first = checkpointer.save()
    published_without_manifest(cluster)
    cluster.store.upload("b", b"content")
    second = checkpointer.save()
    cluster.advance(CONFIG.lease_ms + 10_000)
    lose(cluster, second)
    stop(cluster)
    shutil.rmtree(cluster.directory / "namenode")
    assert restore_catalog(cluster).edits == first.edits, "there are two to restore from, always"
    start(cluster)


def test_one_that_no_manifest_names_is_not_judged_in_place_of_the_newest(
    cluster: Cluster, checkpointer: Checkpointer
) -> None:
    checkpointer.step()
    published_without_manifest(cluster)
    cluster.advance(2_000)
    noted = scan(slots(cluster)).manifests[0]
    assert cluster.store.status().checkpoint_age_ms == 2_000
    lose(cluster, noted)
    status = cluster.store.status()
    assert (status.checkpoint_age_ms, status.checkpoint_edits_behind) == (None, None)


def test_one_of_before_a_restore_is_none_until_the_first_after_it_is_stored(
    cluster: Cluster, checkpointer: Checkpointer
) -> None:
    checkpointer.save()
    cluster.store.upload("a", b"content")
    checkpointer.save()
    lose_catalog(cluster)
    restore_catalog(cluster)
    start(cluster)
    published_without_manifest(cluster)
    status = cluster.store.status()
    assert (status.checkpoint_age_ms, status.checkpoint_edits_behind) == (None, None)
    checkpointer_of(cluster).save()
    assert cluster.store.status().checkpoint_edits_behind == 0
    assert texts(cluster) == ["the catalog is checkpointed to 4 storage nodes"]


def test_word_of_a_checkpoint_that_comes_twice_drops_nothing_more(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.save()
    cluster.store.upload("a", b"content")
    second = checkpointer.save()
    cluster.namenode.checkpoint_stored(cluster.now_ms, second, 2, 4)
    artifact = cluster.catalog.live(CHECKPOINT_NAME)
    assert artifact is not None
    assert cluster.catalog.kept(artifact).oldest == 1


def test_a_failure_is_told_once_and_tried_again(cluster: Cluster, checkpointer: Checkpointer) -> None:
    for faults in cluster.faults.values():
        faults.refuses_stores = DiskFull("the disk is full")
    for _ in range(5):
        checkpointer.step()
        cluster.advance(CONFIG.checkpoint_interval_ms)
    (told,) = texts(cluster)
    assert "could not be checkpointed" in told and "the disk is full" in told and "\\x01" not in told
    assert not (cluster.directory / "namenode" / COPY_NAME).exists()
    for faults in cluster.faults.values():
        faults.refuses_stores = None
    checkpointer.step()
    assert texts(cluster)[1:] == ["the catalog is checkpointed to 4 storage nodes again"]
    assert cluster.store.status().checkpoint_edits_behind == 0


def test_a_failure_is_no_reason_to_wait_longer(cluster: Cluster, checkpointer: Checkpointer) -> None:
    for faults in cluster.faults.values():
        faults.refuses_stores = DiskFull("the disk is full")
    for _ in range(5):
        checkpointer.step()
        cluster.advance(CONFIG.checkpoint_interval_ms)
    checkpointer.step()
    for faults in cluster.faults.values():
        faults.refuses_stores = None
    cluster.advance(CONFIG.checkpoint_first_ms)
    checkpointer.step()
    assert cluster.store.status().checkpoint_edits_behind == 0


def test_it_has_as_many_copies_as_are_asked_for_today(cluster: Cluster, checkpointer: Checkpointer) -> None:
    cluster.store.upload("a", b"content")
    checkpointer.save()
    cluster.config = replace(CONFIG, replication=4)
    cluster.restart_namenode()
    for endpoint in cluster.nodes:
        cluster.register(endpoint)
    cluster.advance(2_000)
    cluster.store.delete("a")
    (key,) = checkpointer_of(cluster).save().chunks
    cluster.advance(2_000)
    held = [slot.name for slot in slots(cluster) if (slot / "chunks" / key.id[:2] / key.id).exists()]
    assert held == ["slot-0", "slot-1", "slot-2", "slot-3"]


def test_one_that_is_cancelled_publishes_nothing(cluster: Cluster) -> None:
    checkpointer_of(cluster).save()
    before = scan(slots(cluster)).manifests
    cluster.store.upload("a", b"content")
    at = 0
    while True:
        at += 1
        cancel, left = threading.Event(), iter(range(at))
        pause = lambda: cancel.set() if next(left, None) is None else None  # noqa: B023, E731 - of this round
        directory = cluster.directory / "namenode"
        last = Checkpointer(InProcessGateway(cluster), CONFIG, directory, pause, cancel=cancel)
        try:
            last.save()
        except Cancelled:
            assert cluster.store.status().checkpoint_edits_behind == 1
            assert not (directory / COPY_NAME).exists()
        else:
            break
    assert at > 3, "there are that many moments"
    assert scan(slots(cluster)).manifests != before


def test_a_checkpoint_of_another_cluster_is_refused(cluster: Cluster, checkpointer: Checkpointer) -> None:
    made = checkpointer.save()
    cluster.store.upload("a", b"content")
    request = BeginRequest("id", CHECKPOINT_NAME, "checkpoint", 1, None, None, cluster_id="another")
    with pytest.raises(InvalidRequest, match="meant for another"):
        InProcessGateway(cluster).namenode.begin(request)
    stranger = replace(made, cluster_id="another", edits=made.edits + 1)
    cluster.namenode.checkpoint_stored(cluster.now_ms, stranger, 1, 4)
    assert cluster.store.status().checkpoint_edits_behind == 1


def test_a_last_checkpoint_that_takes_too_long_is_cancelled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[threading.Event] = []

    class Slow:
        def __init__(self, *arguments: Any) -> None:
            given.append(arguments[-1])

        def save(self) -> None:
            given[0].wait(60)

    status = SimpleNamespace(checkpoint_edits_behind=1, nodes={"up": 1}, safe_mode=False)
    monkeypatch.setattr(last_of_all, "ask_namenode", lambda *_, **__: status)
    monkeypatch.setattr(last_of_all, "Checkpointer", Slow)
    monkeypatch.setattr(last_of_all, "LAST_TIMEOUT_MS", 50)
    last_of_all.last_checkpoint(tmp_path, CONFIG)
    assert given[0].is_set()


def test_a_cluster_that_ends_leaves_ray_whatever_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left: list[str] = []

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "last_checkpoint", interrupted)
    monkeypatch.setattr(launch, "leave_ray", lambda: left.append("ray"))
    session = launch.EmbeddedSession(tmp_path, None, CONFIG, lambda _: None)
    session._lock = lock_directory(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        session.close()
    assert left == ["ray"]
    lock_directory(tmp_path).release()


def test_a_checkpoint_of_an_earlier_namenode_changes_nothing(cluster: Cluster, checkpointer: Checkpointer) -> None:
    old = checkpointer.save()
    cluster.restart_namenode()
    for endpoint in cluster.nodes:
        cluster.register(endpoint)
    cluster.advance(2_000)
    behind = cluster.store.status().checkpoint_edits_behind
    cluster.namenode.checkpoint_stored(cluster.now_ms, old, 1, 4)
    assert cluster.store.status().checkpoint_edits_behind == behind == 1, "the start of a NameNode is an edit"
    node = cluster.nodes["slot-0"]
    with pytest.raises(Exception, match="obeys epoch 2"):
        node.keep_checkpoint(old)


# --- Crashes ----------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


def crash() -> None:
    raise Crash


class CrashingGateway(InProcessGateway):
    """Ends the process before the call of a certain number."""

    def __init__(self, cluster: Cluster, at: int) -> None:
        super().__init__(cluster)
        self._left = at

    def _count(self, run: Callable[[], Any]) -> Any:
        self._left -= 1
        if not self._left:
            raise Crash
        return run()

    @property
    def namenode(self) -> NameNodeCalls:
        gateway, inner = self, super().namenode

        class Counted:
            def __getattr__(self, method: str) -> Any:
                return lambda *arguments: gateway._count(lambda: getattr(inner, method)(*arguments))

        return cast(NameNodeCalls, Counted())

    def store(self, node: NodeRef, chunk_id: str, payload: bytes) -> Call:
        return cast(Call, self._count(lambda: super(CrashingGateway, self).store(node, chunk_id, payload)))

    def keep_checkpoint(self, node: NodeRef, manifest: Any) -> Call:
        return cast(Call, self._count(lambda: super(CrashingGateway, self).keep_checkpoint(node, manifest)))

    def wait(self, calls: Iterable[Call], timeout_ms: int) -> list[Call]:
        """Calls end one after the other, so that a crash may come between any two."""
        first = next(iter(calls), None)
        return [] if first is None else cast("list[Call]", self._count(lambda: self._one(first, timeout_ms)))

    def _one(self, call: Call, timeout_ms: int) -> list[Call]:
        return super().wait([call], timeout_ms)


def test_a_crash_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    at, ended = 0, False
    while not ended:
        at += 1
        ended = not crashes_and_is_restored(tmp_path / str(at), at)
    assert at > 20, "there are that many moments"


def crashes_and_is_restored(directory: Path, at: int) -> bool:
    """The third checkpoint is cut short; all unneeded chunks are removed; then the catalog is lost.

    False if the checkpoint was done before it came to that call.
    """
    cluster = Cluster(directory, CONFIG)
    for number in range(2):
        cluster.store.upload(f"old-{number}", bytes([number]) * 9_000)
        known = checkpointer_of(cluster).save()
    cluster.store.upload("new", b"new" * 3_000)
    crashed = False
    try:
        checkpointer_of(cluster, CrashingGateway(cluster, at)).save()
    except Crash:
        crashed = True
    cluster.restart_namenode()
    for endpoint in cluster.nodes:
        cluster.register(endpoint)
    cluster.advance(CONFIG.lease_ms + 20_000)
    assert cluster.store.status().garbage_bytes == 0
    lose_catalog(cluster)
    restored = restore_catalog(cluster)
    assert restored.edits >= known.edits
    assert not crashed or not restored.not_whole, "the newest that is found is whole"
    start(cluster)
    names = [artifact.name for artifact in cluster.store.list()]
    assert names == (["new", "old-0", "old-1"] if restored.edits > known.edits else ["old-0", "old-1"])
    assert crashed or "new" in names
    assert cluster.store.get("old-1") == b"\x01" * 9_000
    cluster.close()
    return crashed
