"""The simulated disks themselves: a power cut takes what was not synced and nothing else, and the code that ships runs
on them as it is."""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace as Namespace

import pytest
from blake3 import blake3

from core.config import Config
from core.directory import lock_directory, sync_directory, write_durably
from core.errors import ChunkMissing, DirectoryInUse, DiskFailure, DiskFull
from core.storagenode import chunkfile, chunkstore
from core.storagenode.storagenode import StorageNode
from tests.simulation.disk import Disk, Disks, Failure, SimulatedCrash

CONFIG = Config(disk_reserve_bytes=0)
DATA = blake3(b"data").digest(length=3000)
CHUNK_ID = blake3(DATA).hexdigest()
SEEDS = range(60)

Scene = Callable[[Disk], None]


@contextmanager
def new_disk(root: Path, seed: int) -> Iterator[Disk]:
    with Disks(root / f"disks-{seed}", random.Random(seed)) as disks:
        yield disks.disk("disk")


def write(path: Path, data: bytes = DATA, *, sync: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    assert os.write(descriptor, data) == len(data)
    if sync:
        os.fsync(descriptor)
    os.close(descriptor)


def content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def after_power_cuts(root: Path, scene: Scene) -> list[dict[str, bytes]]:
    """What is found after the scene and a power cut, for each seed."""
    found = []
    for seed in SEEDS:
        with new_disk(root, seed) as disk:
            scene(disk)
            disk.crash()
            found.append(everything(disk.directory))
    return found


def everything(directory: Path) -> dict[str, bytes]:
    return {
        str(Path(folder, name).relative_to(directory)): Path(folder, name).read_bytes()
        for folder, _, names in os.walk(directory)
        for name in names
    }


# --- What a power cut takes ---------------------------------------------------------------------------------------


def test_a_file_that_was_not_synced_may_be_gone_empty_cut_garbled_or_whole(tmp_path: Path) -> None:
    found = after_power_cuts(tmp_path, lambda disk: write(disk.directory / "a"))
    contents = [state.get("a") for state in found]
    assert {None, b"", DATA} <= set(contents)
    others = [data for data in contents if data not in (None, b"", DATA)]
    assert any(DATA.startswith(data) for data in others if data)
    assert any(data is not None and len(data) == len(DATA) for data in others)


def test_a_synced_file_in_an_unsynced_directory_is_whole_or_gone(tmp_path: Path) -> None:
    found = after_power_cuts(tmp_path, lambda disk: write(disk.directory / "a", sync=True))
    assert {state.get("a") for state in found} == {None, DATA}


def test_what_is_synced_with_its_directory_stays(tmp_path: Path) -> None:
    def scene(disk: Disk) -> None:
        (disk.directory / "folder").mkdir()
        sync_directory(disk.directory)
        write(disk.directory / "folder" / "a", sync=True)
        sync_directory(disk.directory / "folder")

    assert after_power_cuts(tmp_path, scene) == [{"folder/a": DATA} for _ in SEEDS]


def test_what_is_synced_in_a_directory_whose_own_name_is_not_may_go_with_it(tmp_path: Path) -> None:
    def scene(disk: Disk) -> None:
        (disk.directory / "folder").mkdir()
        write(disk.directory / "folder" / "a", sync=True)
        sync_directory(disk.directory / "folder")

    found = after_power_cuts(tmp_path, scene)
    assert {} in found
    assert {"folder/a": DATA} in found


def test_a_rename_that_was_not_synced_is_whole_or_undone_and_replaces_at_once(tmp_path: Path) -> None:
    def scene(disk: Disk) -> None:
        write(disk.directory / "a", b"old", sync=True)
        write(disk.directory / "b", b"new", sync=True)
        sync_directory(disk.directory)
        (disk.directory / "b").rename(disk.directory / "a")

    found = after_power_cuts(tmp_path, scene)
    assert {"a": b"old", "b": b"new"} in found
    assert {"a": b"new"} in found
    assert all(state in ({"a": b"old", "b": b"new"}, {"a": b"new"}) for state in found)


@pytest.mark.parametrize(
    ("synced", "states"),
    [
        ((), [{"x/a": DATA}, {"y/a": DATA}, {"x/a": DATA, "y/a": DATA}]),
        (("y",), [{"y/a": DATA}, {"x/a": DATA, "y/a": DATA}]),
        (("x",), [{"y/a": DATA}, {}]),
        (("y", "x"), [{"y/a": DATA}]),
    ],
)
def test_a_rename_to_another_directory_is_safe_once_both_are_synced(
    tmp_path: Path, synced: tuple[str, ...], states: list[dict[str, bytes]]
) -> None:
    def scene(disk: Disk) -> None:
        for name in ("x", "y"):
            (disk.directory / name).mkdir()
        sync_directory(disk.directory)
        write(disk.directory / "x" / "a", sync=True)
        sync_directory(disk.directory / "x")
        (disk.directory / "x" / "a").rename(disk.directory / "y" / "a")
        for name in synced:
            sync_directory(disk.directory / name)

    found = after_power_cuts(tmp_path, scene)
    assert all(state in states for state in found)
    assert all(state in found for state in states)


@pytest.mark.parametrize("synced", [False, True])
def test_a_removed_file_may_come_back_until_its_directory_is_synced(tmp_path: Path, synced: bool) -> None:
    def scene(disk: Disk) -> None:
        write(disk.directory / "a", sync=True)
        sync_directory(disk.directory)
        (disk.directory / "a").unlink()
        if synced:
            sync_directory(disk.directory)

    found = after_power_cuts(tmp_path, scene)
    assert {} in found
    assert ({"a": DATA} in found) is not synced


def test_what_was_there_before_is_safe_until_it_is_overwritten(tmp_path: Path) -> None:
    def scene(disk: Disk) -> None:
        write(disk.directory / "a", b"o" * 2000, sync=True)
        sync_directory(disk.directory)
        disk.crash()
        write(disk.directory / "a", b"n" * 1000)

    for state in after_power_cuts(tmp_path, scene):
        assert state["a"][1000:] in (b"o" * 1000, b"")
    assert len({state["a"] for state in after_power_cuts(tmp_path / "again", scene)}) > 3


def test_nothing_is_lost_when_only_the_process_dies_but_it_may_be_later(tmp_path: Path) -> None:
    def scene(disk: Disk) -> None:
        write(disk.directory / "a")
        disk.process_killed()
        assert content(disk.directory / "a") == DATA

    assert {} in after_power_cuts(tmp_path, scene)


def test_is_durable_is_what_survives(tmp_path: Path) -> None:
    """At random: whatever it calls durable is there after the power cut, and the rest is not always."""
    lost = 0
    for seed in range(300):
        with new_disk(tmp_path, seed) as disk:
            rng = random.Random(seed)
            at_random(disk, rng)
            before = everything(disk.directory)
            durable = {path for path in before if disk.is_durable(disk.directory / path)}
            disk.crash()
            after = everything(disk.directory)
            assert all(after.get(path) == before[path] for path in durable), seed
            assert disk.used_bytes == sum(map(len, after.values()))
            assert all(disk.is_durable(disk.directory / path) for path in after)
            disk.crash()
            assert everything(disk.directory) == after
            lost += sum(after.get(path) != data for path, data in before.items())
    assert lost > 300


def at_random(disk: Disk, rng: random.Random) -> None:
    folders = [disk.directory, disk.directory / "x", disk.directory / "y"]
    for folder in folders[1:]:
        folder.mkdir()
        if rng.random() < 0.8:
            sync_directory(disk.directory)
    for _ in range(20):
        path, other = (rng.choice(folders) / rng.choice("abc") for _ in range(2))
        with suppress(FileNotFoundError):
            step = rng.randrange(5)
            if step < 2:
                write(path, rng.randbytes(rng.randrange(2000)), sync=rng.random() < 0.7)
            elif step == 2:
                path.rename(other)
            elif step == 3:
                path.unlink()
            else:
                sync_directory(path.parent)
        assert disk.used_bytes == sum(map(len, everything(disk.directory).values()))


def test_the_same_seed_loses_the_same(tmp_path: Path) -> None:
    def run(root: Path, seed: int) -> dict[str, bytes]:
        with new_disk(root, seed) as disk:
            at_random(disk, random.Random(1))
            disk.crash()
            return everything(disk.directory)

    assert [run(tmp_path / "a", seed) for seed in SEEDS] == [run(tmp_path / "b", seed) for seed in SEEDS]


# --- Faults -------------------------------------------------------------------------------------------------------


def test_a_crash_comes_at_the_call_it_was_set_for_and_then_at_every_one(tmp_path: Path) -> None:
    with new_disk(tmp_path, 0) as disk:
        disk.crash_after = 2
        descriptor = os.open(disk.directory / "a", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(SimulatedCrash):
            os.write(descriptor, DATA)
        with pytest.raises(SimulatedCrash):
            (disk.directory / "a").unlink()
        os.close(descriptor)
        disk.process_killed()
        assert content(disk.directory / "a") == b""
        assert disk.crash_after is None


def test_others_have_their_turn_before_a_call_of_a_slow_disk_takes_effect(tmp_path: Path) -> None:
    with new_disk(tmp_path, 0) as disk:
        old, new = disk.directory / "old", disk.directory / "new"
        write(old)

        def others_turn(slow_ms: int) -> None:
            assert slow_ms == 30
            disk.take_time = lambda slow_ms: None
            assert content(old) == DATA
            write(old, b"changed")

        disk.slow_ms, disk.take_time = 30, others_turn
        old.rename(new)
        assert content(new) == b"changed" + DATA[7:]


def test_a_full_disk_takes_what_fits_and_says_so(tmp_path: Path) -> None:
    with new_disk(tmp_path, 0) as disk:
        disk.capacity_bytes = 4000
        write(disk.directory / "a")
        descriptor = os.open(disk.directory / "b", os.O_WRONLY | os.O_CREAT)
        assert os.write(descriptor, DATA) == 1000
        with pytest.raises(OSError, match="No space left"):
            os.write(descriptor, b"x")
        assert os.pwrite(descriptor, b"y", 0) == 1
        os.close(descriptor)
        assert os.statvfs(disk.directory).f_bavail == 0
        (disk.directory / "a").unlink()
        assert os.statvfs(disk.directory).f_bavail * os.statvfs(disk.directory).f_frsize == 3000


def test_errors_come_as_often_as_asked(tmp_path: Path) -> None:
    with new_disk(tmp_path, 0) as disk:
        disk.fails["open"] = Failure(errno.EIO, count=2)
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output error"):
                write(disk.directory / "a")
        write(disk.directory / "a")
        disk.fails["mkdir"] = Failure(errno.ENOSPC, probability=0.5)
        failed = 0
        for number in range(100):
            try:
                (disk.directory / str(number)).mkdir()
            except OSError:
                failed += 1
        assert 25 < failed < 75


def test_an_fsync_that_failed_is_not_made_good_by_the_next(tmp_path: Path) -> None:
    """The kernel tells of an error once and forgets which pages it did not write."""

    def scene(disk: Disk) -> None:
        descriptor = os.open(disk.directory / "a", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, DATA)
        disk.fails["fsync"] = Failure(errno.EIO, count=1)
        with pytest.raises(OSError, match="Input/output error"):
            os.fsync(descriptor)
        os.fsync(descriptor)
        os.close(descriptor)
        sync_directory(disk.directory)

    assert any(state["a"] != DATA for state in after_power_cuts(tmp_path, scene))


def test_rot_changes_one_chunk_and_tells_which(tmp_path: Path) -> None:
    kinds = set()
    for seed in SEEDS:
        with new_disk(tmp_path, seed) as disk:
            assert disk.rot(random.Random(seed)) is None
            with opened(disk) as node:
                node.store(CHUNK_ID, DATA)
                calls = disk.calls
                assert disk.stored_chunks() == [CHUNK_ID]
                rot = disk.rot(random.Random(seed), None if seed % 2 else CHUNK_ID)
                assert disk.calls == calls
                assert rot is not None
                assert rot.chunk_id == CHUNK_ID
                kinds.add(rot.kind)
                if rot.kind == "deleted":
                    with pytest.raises(ChunkMissing):
                        node.verify(CHUNK_ID)
                else:
                    assert not node.verify(CHUNK_ID)
                assert CHUNK_ID not in node.chunk_ids()
    assert kinds == {"flipped", "cut", "deleted"}


def test_what_is_not_modelled_is_refused(tmp_path: Path) -> None:
    with new_disk(tmp_path, 0) as disk:
        write(disk.directory / "a")
        (disk.directory / "x").mkdir()
        for forbidden in (
            lambda: (disk.directory / "a").write_bytes(b""),
            lambda: (disk.directory / "b").symlink_to("a"),
            lambda: os.link(disk.directory / "a", disk.directory / "b"),
            lambda: (disk.directory / "x").rename(disk.directory / "y"),
        ):
            with pytest.raises(NotImplementedError):
                forbidden()
        with pytest.raises(OSError, match="cross-device"):
            (disk.directory / "a").rename(tmp_path / "a")
        assert sorted(path.name for path in disk.directory.iterdir()) == ["a", "x"]
    assert os.open.__module__ == "posix"
    (tmp_path / "disks-0" / "disk" / "b").write_bytes(b"as ever")


# --- The code that ships ------------------------------------------------------------------------------------------

numbers = itertools.count(1)


@contextmanager
def opened(disk: Disk, config: Config = CONFIG) -> Iterator[StorageNode]:
    node = StorageNode.open(disk.directory, config, host="host", new_id=lambda: f"id-{next(numbers)}")
    try:
        yield node
    finally:
        node.close()


def store(node: StorageNode) -> None:
    node.store(CHUNK_ID, DATA)


def test_a_lock_ends_with_its_process_and_a_late_clean_up_harms_nobody(tmp_path: Path) -> None:
    with new_disk(tmp_path, 0) as disk:
        first = lock_directory(disk.directory)
        with pytest.raises(DirectoryInUse):
            lock_directory(disk.directory)
        for end in (disk.process_killed, disk.crash):
            end()
            second = lock_directory(disk.directory)
            first.release()
            with pytest.raises(DirectoryInUse):
                lock_directory(disk.directory)
            first = second
        first.release()
        lock_directory(disk.directory).release()


def test_a_view_outlives_the_power_cut_of_the_disk_it_came_from(tmp_path: Path) -> None:
    for seed in SEEDS:
        with new_disk(tmp_path, seed) as disk, opened(disk) as node:
            store(node)
            view = node.read(CHUNK_ID)
            disk.rot(random.Random(seed))
            disk.crash()
            assert view == DATA


def test_a_full_disk_and_a_failing_one_refuse_a_chunk_and_leave_nothing(tmp_path: Path) -> None:
    with new_disk(tmp_path, 0) as disk, opened(disk) as node:
        disk.capacity_bytes = 2000
        with pytest.raises(DiskFull):
            store(node)
        disk.capacity_bytes = None
        disk.fails["write"] = Failure(errno.ENOSPC, count=1)
        with pytest.raises(DiskFull):
            store(node)
        disk.fails["fsync"] = Failure(errno.EIO, count=1)
        with pytest.raises(DiskFailure):
            store(node)
        assert node.chunk_ids() == []
        assert list((disk.directory / "incoming").iterdir()) == []
        store(node)
        assert node.verify(CHUNK_ID)


@pytest.mark.parametrize("forgotten", ["file", "directory"])
def test_a_forgotten_fsync_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    lost = 0
    for seed in SEEDS:
        with new_disk(tmp_path, seed) as disk:
            with opened(disk) as node, monkeypatch.context() as mutant:
                if forgotten == "file":
                    mutant.setattr(chunkfile, "os", Namespace(**{**vars(os), "fsync": lambda descriptor: None}))
                else:
                    mutant.setattr(chunkstore, "sync_directory", lambda path: None)
                store(node)
                assert not disk.is_durable(disk.directory / "chunks" / CHUNK_ID[:2] / CHUNK_ID)
                disk.crash()
            with opened(disk) as node:
                lost += node.chunk_ids() != [CHUNK_ID] or not node.verify(CHUNK_ID)
    assert lost > 10


def test_small_files_are_replaced_whole(tmp_path: Path) -> None:
    found = after_power_cuts(tmp_path, lambda disk: write_durably(disk.directory / "a", DATA))
    assert all(state["a"] == DATA for state in found)
