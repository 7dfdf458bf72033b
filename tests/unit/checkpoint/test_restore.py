"""The catalog's disk is lost: the newest whole checkpoint takes its place, and what may be missing is told."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from core.checkpoint import manifest as manifests
from core.checkpoint.find import scan, storage_directories
from core.checkpoint.manifest import EPOCH_MARGIN, Manifest
from core.checkpoint.restore import STAGING, restore, restore_catalog
from core.checkpoint.save import Checkpointer
from core.directory import lock_directory
from core.errors import ConfigurationFailure, DirectoryFailure, DirectoryInUse
from core.namenode import schema
from core.namenode.catalog import Catalog
from core.storagenode import identity
from tests.inprocess import Cluster
from tests.unit.checkpoint import disaster
from tests.unit.checkpoint.conftest import checkpointer_of


def replica(slot: Path, chunk_id: str) -> Path:
    return slot / "chunks" / chunk_id[:2] / chunk_id


def newest_manifest(cluster: Cluster) -> Manifest:
    return scan(disaster.slots(cluster)).manifests[0]


def test_everything_up_to_the_checkpoint_is_back(cluster: Cluster, checkpointer: Checkpointer) -> None:
    content = bytes(range(256)) * 100
    cluster.store.upload("a", b"one")
    cluster.store.update("a", content)
    cluster.store.upload("gone", b"deleted")
    checkpointer.save()
    cluster.store.delete("gone")
    checkpointer.save()
    cluster.store.drain("sn-02")
    made = checkpointer.save()
    disaster.lose_catalog(cluster)
    told = disaster.restore_catalog(cluster)
    assert (told.time_ms, told.edits, told.checkpoint_epoch) == (made.time_ms, made.edits, 1)
    assert (told.artifacts, told.versions, told.not_whole, told.damaged) == (1, 2, (), ())
    assert (told.uncounted_chunks, told.not_found_chunks) == (0, 0)
    assert told.catalog == str(cluster.directory / "namenode" / "catalog.sqlite")
    disaster.start(cluster)
    store = cluster.store
    assert (store.get("a"), store.get("a", 1)) == (content, b"one")
    assert store.node("sn-02").node.state in ("draining", "drained")
    assert store.undelete("gone").version == 1
    assert store.upload("after", b"goes on").version == 1
    assert store.delete("a").version == 2
    assert store.status().missing == 0
    assert checkpointer_of(cluster).save().epoch == told.epoch + 1


def test_storage_nodes_obey_the_restored_namenode(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.save()
    for _ in range(3):
        cluster.restart_namenode()
        for endpoint in cluster.nodes:
            cluster.register(endpoint)
        cluster.advance(2_000)
    disaster.lose_catalog(cluster)
    told = disaster.restore_catalog(cluster)
    assert told.checkpoint_epoch == 1
    assert told.epoch == 4 + EPOCH_MARGIN
    disaster.start(cluster)
    assert {node.epoch for node in cluster.nodes.values()} == {told.epoch + 1}
    assert cluster.store.status().nodes["up"] == 4


def test_what_may_be_missing_is_told(cluster: Cluster, checkpointer: Checkpointer) -> None:
    cluster.store.upload("kept", b"k" * 5_000)
    cluster.store.upload("hurt", b"h" * 5_000)
    checkpointer.save()
    cluster.store.upload("lost", b"l" * 5_000)
    victims = [chunk.id for chunk in cluster.store.info("hurt").chunks]
    disaster.lose_catalog(cluster)
    for slot in disaster.slots(cluster):
        for chunk_id in victims:
            replica(slot, chunk_id).unlink(missing_ok=True)
    told = disaster.restore_catalog(cluster)
    assert (told.uncounted_chunks, told.uncounted_bytes) == (2, 5_000)
    assert (told.not_found_chunks, told.not_found_bytes, told.not_found_artifacts) == (2, 5_000, ("hurt",))
    disaster.start(cluster)
    assert [artifact.name for artifact in cluster.store.list()] == ["hurt", "kept"]


def test_a_checkpoint_that_is_not_whole_is_passed_over(cluster: Cluster, checkpointer: Checkpointer) -> None:
    cluster.store.upload("a", b"one")
    older = checkpointer.save()
    cluster.store.upload("b", b"two")
    newer = checkpointer.save()
    disaster.lose_catalog(cluster)
    (only,) = {key.id for key in newer.chunks} - {key.id for key in older.chunks}
    for slot in disaster.slots(cluster):
        if replica(slot, only).exists():
            content = bytearray(replica(slot, only).read_bytes())
            content[1_000] ^= 1
            replica(slot, only).write_bytes(content)
    told = disaster.restore_catalog(cluster)
    assert told.edits == older.edits
    (passed_over,) = told.not_whole
    assert passed_over.edits == newer.edits
    assert passed_over.why == "1 of its 1 chunks are on none of these directories, or damaged"
    disaster.start(cluster)
    assert cluster.store.get("a") == b"one"


def test_one_good_replica_and_one_good_manifest_are_enough(cluster: Cluster, checkpointer: Checkpointer) -> None:
    cluster.store.upload("a", b"one")
    made = checkpointer.save()
    disaster.lose_catalog(cluster)
    *others, last = [slot for slot in disaster.slots(cluster) if replica(slot, made.chunks[0].id).exists()]
    for slot in disaster.slots(cluster):
        if slot != last:
            (path,) = manifests.files(slot)
            path.write_bytes(path.read_bytes()[:100])
    for slot in others:
        replica(slot, made.chunks[0].id).unlink()
    told = disaster.restore_catalog(cluster)
    assert told.edits == made.edits
    assert len(told.damaged) == 3 and all("damaged" in sentence for sentence in told.damaged)


def test_a_manifest_that_lies_is_not_believed(cluster: Cluster, checkpointer: Checkpointer) -> None:
    """One that is sound in itself, and names chunks that are there, but is not what the copy says of itself."""
    cluster.store.upload("a", b"one")
    made = checkpointer.save()
    disaster.lose_catalog(cluster)
    slot = disaster.slots(cluster)[0]
    liar = Manifest(**{**vars(made), "edits": made.edits + 1})
    (slot / manifests.FOLDER / manifests.file_name(liar)).write_bytes(manifests.encode(liar))
    told = disaster.restore_catalog(cluster)
    assert told.edits == made.edits
    assert [passed.why for passed in told.not_whole] == ["it is not what its manifest says"]


def beyond_reach(cluster: Cluster, newer: Manifest, older: Manifest) -> list[Path]:
    """The catalog is lost; these directories are at hand: the newer checkpoint's own chunk is only on the others."""
    disaster.lose_catalog(cluster)
    (only,) = {key.id for key in newer.chunks} - {key.id for key in older.chunks}
    *hands, _away = disaster.slots(cluster)
    for slot in hands:
        replica(slot, only).unlink(missing_ok=True)
    return hands


def test_a_newer_one_that_other_directories_may_complete_is_not_passed_over(
    cluster: Cluster, checkpointer: Checkpointer
) -> None:
    cluster.store.upload("a", b"one")
    older = checkpointer.save()
    cluster.advance(90_000)
    cluster.store.upload("b", b"two")
    hands = beyond_reach(cluster, checkpointer.save(), older)
    target = cluster.directory / "namenode"
    with pytest.raises(DirectoryFailure, match=r"1 of its 1 chunks.*not scanned: sn-04\..*--older.* 90 seconds more"):
        restore(target, hands, busy=())
    assert not list(target.glob("catalog*"))
    told = restore(target, hands, busy=(), older=True)
    assert (told.edits, told.nodes_not_scanned) == (older.edits, ("sn-04",))


def test_the_manifest_of_the_one_passed_over_outlives_new_checkpoints(
    cluster: Cluster, checkpointer: Checkpointer
) -> None:
    cluster.store.upload("a", b"one")
    older = checkpointer.save()
    cluster.store.upload("b", b"two")
    newer = checkpointer.save()
    hands = beyond_reach(cluster, newer, older)
    restore(cluster.directory / "namenode", hands, busy=(), older=True)
    disaster.start(cluster)
    for number in range(4):
        cluster.store.upload(f"after-{number}", b"goes on")
        newest = checkpointer_of(cluster).save()
    for slot in disaster.slots(cluster):
        kept = [manifests.decode(path.read_bytes()) for path in manifests.files(slot)]
        assert len(kept) == 3 and (kept[0], kept[-1]) == (newest, newer)


def test_trash_that_is_back_is_not_purged_at_once(cluster: Cluster, checkpointer: Checkpointer) -> None:
    retention_ms, grace_ms = cluster.config.trash_retention_ms, 3_600_000
    cluster.store.upload("a", b"one")
    cluster.store.delete("a")
    checkpointer.save()
    cluster.store.undelete("a")
    disaster.lose_catalog(cluster)
    cluster.now_ms += retention_ms
    directories = storage_directories(disaster.slots(cluster))
    trash_from_ms = cluster.now_ms - retention_ms + grace_ms
    restore(cluster.directory / "namenode", directories, busy=(), trash_from_ms=trash_from_ms)
    disaster.start(cluster)
    cluster.advance(60_000)
    cluster.store.undelete("a")
    assert cluster.store.get("a") == b"one"


# --- What is not a checkpoint's fault -------------------------------------------------------------------------------


def test_a_manifest_of_a_later_dame_is_not_passed_over(
    cluster: Cluster, checkpointer: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer.save()
    cluster.store.upload("a", b"one")
    newer = checkpointer.save()
    disaster.lose_catalog(cluster)
    monkeypatch.setattr(manifests, "FORMAT", manifests.FORMAT + 1)
    (disaster.slots(cluster)[2] / manifests.FOLDER / manifests.file_name(newer)).write_bytes(manifests.encode(newer))
    monkeypatch.undo()
    with pytest.raises(DirectoryFailure, match=r"it has format 2.* Use the release of DAME that wrote it, or a newer"):
        disaster.restore_catalog(cluster)
    assert not list((cluster.directory / "namenode").glob("catalog*"))


def test_a_catalog_of_another_format_is_not_passed_over(
    cluster: Cluster, checkpointer: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer.save()
    disaster.lose_catalog(cluster)
    monkeypatch.setattr(schema, "FORMAT_VERSION", schema.FORMAT_VERSION - 1)
    with pytest.raises(DirectoryFailure, match=r"^The catalog .* has format 1; this DAME reads format 0"):
        disaster.restore_catalog(cluster)


@pytest.mark.parametrize("place", ["check", "open"])
def test_an_older_checkpoint_is_not_taken_because_this_machine_fails(
    cluster: Cluster, checkpointer: Checkpointer, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    checkpointer.save()
    cluster.store.upload("a", b"one")
    newer = checkpointer.save()
    disaster.lose_catalog(cluster)
    errors = [sqlite3.OperationalError("database or disk is full")]
    sound_check = Catalog.check

    def check(catalog: Catalog) -> None:
        if errors:
            raise errors.pop()
        sound_check(catalog)

    def connect(directory: Path, new_cluster_id: str) -> sqlite3.Connection:
        if errors:
            error = errors.pop()
            raise schema._unusable(directory, error) from error
        return schema.connect(directory, new_cluster_id)

    if place == "check":
        monkeypatch.setattr(Catalog, "check", check)
    else:
        monkeypatch.setattr("core.namenode.catalog.connect", connect)
    with pytest.raises(DirectoryFailure, match="database or disk is full"):
        disaster.restore_catalog(cluster)
    assert disaster.restore_catalog(cluster).edits == newer.edits, "the machine is mended"


def test_a_copy_that_is_no_sound_database_is_passed_over(
    cluster: Cluster, checkpointer: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = checkpointer.save()
    cluster.store.upload("a", b"one")
    checkpointer.save()
    disaster.lose_catalog(cluster)
    sound_check = Catalog.check
    seen: list[str] = []

    def check(catalog: Catalog) -> None:
        if not seen:
            path = catalog.directory / schema.FILE_NAME
            seen.append(path.name)
            with path.open("r+b") as file:  # rots after the check of its integrity, before it is read
                file.write(b"no database" * 1_000)
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("SELECT * FROM facts")
        sound_check(catalog)

    monkeypatch.setattr(Catalog, "check", check)
    told = disaster.restore_catalog(cluster)
    assert told.edits == older.edits
    (passed_over,) = told.not_whole
    assert passed_over.why.startswith("it can't be used (")


def test_nothing_whole_is_a_sentence_and_changes_nothing(cluster: Cluster) -> None:
    cluster.store.upload("a", b"one")
    disaster.lose_catalog(cluster)
    with pytest.raises(DirectoryFailure, match="no whole checkpoint of the catalog on the 4 storage directories"):
        disaster.restore_catalog(cluster)
    left = sorted(path.name for path in (cluster.directory / "namenode").iterdir())
    assert left == ["lock"]


def test_a_catalog_that_is_there_is_not_replaced(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.save()
    disaster.stop(cluster)
    before = (cluster.directory / "namenode" / "catalog.sqlite").read_bytes()
    with pytest.raises(DirectoryFailure, match=r"holds catalog\.sqlite.*move it away"):
        disaster.restore_catalog(cluster)
    assert (cluster.directory / "namenode" / "catalog.sqlite").read_bytes() == before


def test_a_log_left_beside_counts_as_a_catalog(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.save()
    disaster.lose_catalog(cluster)
    (cluster.directory / "namenode").mkdir()
    (cluster.directory / "namenode" / "catalog.sqlite-wal").write_bytes(b"of another file")
    with pytest.raises(DirectoryFailure, match=r"holds catalog\.sqlite-wal"):
        disaster.restore_catalog(cluster)


@pytest.mark.parametrize("place", ["namenode", "slot-1", "run"])
def test_it_is_refused_while_a_directory_is_in_use(cluster: Cluster, checkpointer: Checkpointer, place: str) -> None:
    checkpointer.save()
    disaster.lose_catalog(cluster)
    (cluster.directory / place).mkdir(exist_ok=True)
    lock = lock_directory(cluster.directory / place)
    with pytest.raises(DirectoryInUse):
        restore(
            cluster.directory / "namenode",
            storage_directories(disaster.slots(cluster)),
            busy=[cluster.directory / "run"],
        )
    lock.release()
    assert disaster.restore_catalog(cluster).edits


def test_what_an_attempt_that_was_killed_left_is_no_hindrance(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.save()
    disaster.lose_catalog(cluster)
    staging = cluster.directory / "namenode" / STAGING
    staging.mkdir(parents=True)
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "lock"):
        (staging / name).write_bytes(b"half written")
    disaster.restore_catalog(cluster)
    assert not staging.exists()
    disaster.start(cluster)


def test_directories_of_two_clusters_are_refused(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.save()
    disaster.lose_catalog(cluster)
    slot = disaster.slots(cluster)[0]
    known = identity.load(slot)
    assert known is not None
    identity.save(slot, identity.Identity(known.node_id, "another cluster", known.name, known.epoch))
    with pytest.raises(DirectoryFailure, match="several clusters"):
        disaster.restore_catalog(cluster)


def test_an_identity_that_can_not_be_read_is_told_of(cluster: Cluster, checkpointer: Checkpointer) -> None:
    checkpointer.save()
    disaster.lose_catalog(cluster)
    (disaster.slots(cluster)[0] / identity.FILE_NAME).write_text("{")
    told = disaster.restore_catalog(cluster)
    assert len(told.damaged) == 1 and "can't be understood" in told.damaged[0]


def test_places_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> None:
    """An embedded cluster by its data directory; the storage directories of a head machine one by one."""
    cluster.store.upload("a", b"one")
    checkpointer_of(cluster).save()
    disaster.lose_catalog(cluster)
    embedded, mounted = tmp_path / "embedded", tmp_path / "mounted"
    for slot in disaster.slots(cluster):
        shutil.copytree(slot, embedded / "storage" / slot.name)
        shutil.copytree(slot, mounted / slot.name)
    told = restore_catalog(embedded)
    assert told.catalog == str(embedded / "namenode" / "catalog.sqlite")
    assert len(told.directories) == 4
    monkeypatch.setenv("DAME_NAMENODE_DIR", str(tmp_path / "head"))
    told = restore_catalog(storage=[mounted / "slot-0", mounted])
    assert told.catalog == str(tmp_path / "head" / "catalog.sqlite")
    assert len(told.directories) == 4
    with pytest.raises(DirectoryFailure, match="not the directory of a storage node"):
        restore_catalog(storage=[tmp_path])
    with pytest.raises(ConfigurationFailure, match="--storage"):
        restore_catalog(tmp_path)
    with pytest.raises(DirectoryFailure, match="is not there"):
        restore_catalog(tmp_path / "nowhere")


def test_a_default_cluster_s_own_directories_are_scanned_beside_those_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.delenv("DAME_NAMENODE_DIR", raising=False)
    monkeypatch.setattr("core.checkpoint.restore.user_data_path", lambda _: tmp_path / "default")
    cluster.store.upload("a", b"one")
    checkpointer_of(cluster).save()
    disaster.lose_catalog(cluster)
    *own, other = disaster.slots(cluster)
    assert restore_catalog(storage=own).catalog == str(tmp_path / "default" / "namenode" / "catalog.sqlite")
    shutil.rmtree(tmp_path / "default")
    for slot in own:
        shutil.copytree(slot, tmp_path / "default" / "storage" / slot.name)
    told = restore_catalog(storage=[other])
    assert told.catalog == str(tmp_path / "default" / "namenode" / "catalog.sqlite")
    assert (len(told.directories), told.nodes_not_scanned) == (4, ())


# --- Manifests --------------------------------------------------------------------------------------------------


def test_a_manifest_is_written_and_read(checkpointer: Checkpointer) -> None:
    made = checkpointer.save()
    assert manifests.decode(manifests.encode(made)) == made
    assert json.loads(manifests.encode(made))["edits"] == made.edits, "it is plain JSON"


def test_any_change_to_a_manifest_shows(checkpointer: Checkpointer) -> None:
    content = manifests.encode(checkpointer.save())
    for position in range(len(content) - 1):
        for changed in (
            content[:position],
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :],
        ):
            with pytest.raises(ValueError, match="damaged"):
                manifests.decode(changed)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b'{"check": 1}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        manifests.decode(content)
