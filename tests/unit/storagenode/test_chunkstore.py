"""The disk: what is written is whole or absent, what is bad is told from what is missing, and room is counted."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from core.config import Config
from core.errors import ChunkCorrupt, ChunkMissing, DirectoryFailure, DiskFailure, DiskFull, InvalidRequest
from core.storagenode.chunkstore import ChunkStore, read_replica

Chunk = Callable[..., tuple[str, bytes]]


def opened(directory: Path, **settings: int) -> ChunkStore:
    store = ChunkStore(directory, Config(**{"disk_reserve_bytes": 0, **settings}), "host")
    store.open()
    return store


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return opened(tmp_path)


def file_of(directory: Path, chunk_id: str) -> Path:
    return directory / "chunks" / chunk_id[:2] / chunk_id


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("size_bytes", [1, 63, 64, 4096, 3 * 1024 * 1024 + 1])
def test_what_is_written_is_read(store: ChunkStore, chunk: Chunk, size_bytes: int) -> None:
    chunk_id, data = chunk(size_bytes=size_bytes)
    assert store.write(chunk_id, memoryview(bytearray(data)))
    assert store.read(chunk_id) == data
    assert store.verify(chunk_id)
    assert store.usage().used_bytes == size_bytes


def test_the_file_describes_itself(store: ChunkStore, chunk: Chunk, tmp_path: Path) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    content = file_of(tmp_path, chunk_id).read_bytes()
    assert content[:8] == b"DAMECHNK"
    assert content[20:52].hex() == chunk_id
    assert content[64:] == data


def test_bytes_of_another_hash_are_refused(store: ChunkStore, chunk: Chunk, tmp_path: Path) -> None:
    chunk_id, data = chunk()
    with pytest.raises(ChunkCorrupt):
        store.write(chunk_id, data[:-1])
    store.write(chunk_id, data)
    with pytest.raises(ChunkCorrupt):
        store.write(chunk_id, b"x" * len(data))
    assert store.read(chunk_id) == data
    assert files_in(tmp_path) == [chunk_id]


@pytest.mark.parametrize("name", ["", "a", "../../etc/passwd", "G" * 64, "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n"])
def test_a_name_that_is_no_chunk_id_reaches_no_path(store: ChunkStore, name: str) -> None:
    for call in (store.read, store.verify, store.delete, store.quarantine, lambda name: store.write(name, b"x")):
        with pytest.raises(InvalidRequest):
            call(name)


def test_an_empty_chunk_is_refused(store: ChunkStore) -> None:
    with pytest.raises(InvalidRequest, match="at least one byte"):
        store.write("0" * 64, b"")


def test_writing_twice_writes_once(store: ChunkStore, chunk: Chunk, tmp_path: Path) -> None:
    chunk_id, data = chunk()
    assert store.write(chunk_id, data)
    before = file_of(tmp_path, chunk_id).stat().st_ino
    assert not store.write(chunk_id, data)
    assert file_of(tmp_path, chunk_id).stat().st_ino == before
    assert store.usage().used_bytes == len(data)


def test_a_replica_of_the_wrong_size_is_replaced(store: ChunkStore, chunk: Chunk, tmp_path: Path) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    os.truncate(file_of(tmp_path, chunk_id), 200)
    assert store.write(chunk_id, data)
    assert store.verify(chunk_id)


@pytest.mark.parametrize("offset", [0, 500])
def test_a_rotten_replica_is_replaced(store: ChunkStore, chunk: Chunk, tmp_path: Path, offset: int) -> None:
    """Nobody has found the rot yet, and whoever stores the chunk again is told that it is durable."""
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    flip(file_of(tmp_path, chunk_id), offset)
    assert store.write(chunk_id, data)
    assert store.verify(chunk_id)
    assert store.usage().used_bytes == len(data)


def test_a_replica_that_vanishes_while_it_is_looked_at_is_written(
    store: ChunkStore, chunk: Chunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    is_good = ChunkStore._is_good

    def too_late(store: ChunkStore, path: Path, chunk_id: str) -> bool:
        file_of(tmp_path, chunk_id).unlink()
        return is_good(store, path, chunk_id)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(ChunkStore, "_is_good", too_late)
        assert store.write(chunk_id, data)
    assert store.verify(chunk_id)


def test_overwrite_trusts_no_file(store: ChunkStore, chunk: Chunk, tmp_path: Path) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    flip(file_of(tmp_path, chunk_id), 100)
    assert store.write(chunk_id, data, overwrite=True)
    assert store.verify(chunk_id)
    assert store.usage().used_bytes == len(data)


def test_what_was_read_outlives_the_file(store: ChunkStore, chunk: Chunk) -> None:
    chunk_id, data = chunk(size_bytes=100_000)
    store.write(chunk_id, data)
    content = store.read(chunk_id)
    store.delete(chunk_id)
    assert content == data


def test_a_read_that_comes_in_parts_goes_on(store: ChunkStore, chunk: Chunk, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk_id, data = chunk(size_bytes=100_000)
    store.write(chunk_id, data)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, count, offset: real(descriptor, min(count, 30_000), offset))
    assert store.read(chunk_id) == data


def test_a_file_that_is_cut_while_it_is_read_is_an_error_and_no_signal(
    store: ChunkStore, chunk: Chunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk(size_bytes=100_000)
    store.write(chunk_id, data)
    real = os.pread

    def cut_first(descriptor: int, count: int, offset: int) -> bytes:
        if offset:  # not for the header
            os.truncate(file_of(tmp_path, chunk_id), 5_000)
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", cut_first)
    with pytest.raises(DiskFailure, match="became shorter"):
        store.read(chunk_id)


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("offset", [*range(64)])
def test_a_flipped_bit_in_the_header_is_seen_at_once(
    store: ChunkStore, chunk: Chunk, tmp_path: Path, offset: int
) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    flip(file_of(tmp_path, chunk_id), offset)
    with pytest.raises(ChunkCorrupt, match="header is torn"):
        store.read(chunk_id)
    assert not store.verify(chunk_id)


@pytest.mark.parametrize("offset", [64, 500, 1063])
def test_a_flipped_bit_in_the_payload_is_seen_by_verify(
    store: ChunkStore, chunk: Chunk, tmp_path: Path, offset: int
) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    flip(file_of(tmp_path, chunk_id), offset)
    assert not store.verify(chunk_id)


@pytest.mark.parametrize("file_bytes", [0, 10, 64, 65, 1063, 1065, 100_000])
def test_a_file_of_another_length_is_corrupt(store: ChunkStore, chunk: Chunk, tmp_path: Path, file_bytes: int) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    os.truncate(file_of(tmp_path, chunk_id), file_bytes)
    with pytest.raises(ChunkCorrupt):
        store.read(chunk_id)
    assert not store.verify(chunk_id)


def test_another_chunks_file_is_corrupt(store: ChunkStore, chunk: Chunk, tmp_path: Path) -> None:
    (chunk_id, data), (other_id, other) = chunk(1), chunk(2)
    store.write(chunk_id, data)
    store.write(other_id, other)
    shutil.copyfile(file_of(tmp_path, other_id), file_of(tmp_path, chunk_id))
    with pytest.raises(ChunkCorrupt, match=f"holds chunk {other_id[:12]}"):
        store.read(chunk_id)


def test_a_missing_chunk_is_missing(store: ChunkStore, chunk: Chunk) -> None:
    chunk_id, _ = chunk()
    for call in (store.read, store.verify, store.quarantine):
        with pytest.raises(ChunkMissing):
            call(chunk_id)
    store.delete(chunk_id)
    assert store.usage().used_bytes == 0


def test_a_directory_in_the_place_of_a_file(store: ChunkStore, chunk: Chunk, tmp_path: Path) -> None:
    chunk_id, data = chunk()
    file_of(tmp_path, chunk_id).mkdir(parents=True)
    with pytest.raises(DiskFailure):
        store.read(chunk_id)
    assert not store.verify(chunk_id)
    with pytest.raises(DiskFailure):
        store.delete(chunk_id)
    with pytest.raises(DiskFailure):
        store.write(chunk_id, data, overwrite=True)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_process_out_of_means_does_not_make_a_replica_bad(
    store: ChunkStore, chunk: Chunk, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    monkeypatch.setattr(os, "open", failing(code))
    with pytest.raises(DiskFailure):
        store.verify(chunk_id)


def test_an_unreadable_file_is_a_bad_replica(store: ChunkStore, chunk: Chunk, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    monkeypatch.setattr(os, "open", failing(errno.EACCES))
    with pytest.raises(DiskFailure, match="Permission denied"):
        store.read(chunk_id)
    assert not store.verify(chunk_id)


def test_quarantine_keeps_every_bad_replica(store: ChunkStore, chunk: Chunk, tmp_path: Path) -> None:
    chunk_id, data = chunk()
    for _ in range(3):
        store.write(chunk_id, data)
        store.quarantine(chunk_id)
        assert store.usage().used_bytes == store.quarantined.usage().bytes
    assert files_in(tmp_path / "quarantine") == [f"{chunk_id}.{number}" for number in range(3)]
    with pytest.raises(ChunkMissing):
        store.read(chunk_id)


def test_a_partial_write_goes_on(store: ChunkStore, chunk: Chunk, monkeypatch: pytest.MonkeyPatch) -> None:
    writev = os.writev

    def a_little(descriptor: int, buffers: list[memoryview]) -> int:
        return writev(descriptor, [buffers[0][:37]])

    chunk_id, data = chunk()
    monkeypatch.setattr(os, "writev", a_little)
    store.write(chunk_id, data)
    assert store.verify(chunk_id)


STEPS = [(os, "open"), (os, "writev"), (os, "fsync"), (Path, "rename"), (Path, "mkdir"), (Path, "stat")]


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, DiskFailure)]
)
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
def test_a_failing_disk_leaves_nothing_behind(
    store: ChunkStore,
    chunk: Chunk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    step: str,
    code: int,
    kind: type[Exception],
) -> None:
    chunk_id, data = chunk()
    with monkeypatch.context() as broken:
        broken.setattr(owner, step, failing(code))
        with pytest.raises(kind, match=str(tmp_path)):
            store.write(chunk_id, data)
    assert files_in(tmp_path) == []
    assert store.usage().used_bytes == 0
    store.write(chunk_id, data)
    assert store.verify(chunk_id)


def test_a_name_that_is_not_durable_does_not_stay(
    store: ChunkStore, chunk: Chunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last fsync, that of the directory, fails after the rename."""
    chunk_id, data = chunk()
    fsync = os.fsync

    def no_sync_after_the_rename(descriptor: int) -> None:
        if file_of(tmp_path, chunk_id).exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", no_sync_after_the_rename)
    with pytest.raises(DiskFailure):
        store.write(chunk_id, data)
    assert files_in(tmp_path) == []
    assert store.usage().used_bytes == 0


def test_the_reserve_is_kept(tmp_path: Path, chunk: Chunk, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    free_bytes = real.f_bavail * real.f_frsize
    store = opened(tmp_path, disk_reserve_bytes=2 * free_bytes)
    chunk_id, data = chunk()
    with pytest.raises(
        DiskFull, match=rf"{tmp_path} has no room for a chunk of 1000 bytes: \d+ bytes are free, \d+ of"
    ):
        store.write(chunk_id, data)
    assert store.usage().free_bytes == 0
    assert files_in(tmp_path) == []


def test_the_nodes_own_limit_is_kept(tmp_path: Path, chunk: Chunk) -> None:
    store = opened(tmp_path, storage_capacity_bytes=2500)
    for seed in (1, 2):
        store.write(*chunk(seed))
    assert (store.usage().used_bytes, store.usage().free_bytes) == (2000, 500)
    with pytest.raises(DiskFull, match="at most 2500 bytes"):
        store.write(*chunk(3))
    store.delete(chunk(1)[0])
    store.write(*chunk(3))


def test_room_is_promised_once(tmp_path: Path, chunk: Chunk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second write that begins while the first is at the disk must not be given the same room."""
    store = opened(tmp_path, storage_capacity_bytes=1500)
    writev = os.writev

    def another_writer_comes(descriptor: int, buffers: list[memoryview]) -> int:
        with pytest.raises(DiskFull):
            store.write(*chunk(2))
        return writev(descriptor, buffers)

    monkeypatch.setattr(os, "writev", another_writer_comes)
    store.write(*chunk(1))
    assert store.usage().used_bytes == 1000


def test_opening_takes_stock(tmp_path: Path, chunk: Chunk) -> None:
    store = opened(tmp_path)
    for seed in range(5):
        store.write(*chunk(seed, size_bytes=100 + seed))
    again = ChunkStore(tmp_path, Config(), "host")
    assert again.open() == {chunk(seed, size_bytes=100 + seed)[0]: 100 + seed for seed in range(5)}
    assert again.usage().used_bytes == 510
    assert again.usage().disk == f"host:{tmp_path.stat().st_dev}"


def test_opening_clears_what_was_coming_in(tmp_path: Path, chunk: Chunk) -> None:
    opened(tmp_path)
    (tmp_path / "incoming" / "half.7").write_bytes(b"half")
    opened(tmp_path)
    assert files_in(tmp_path) == []


def test_opening_sets_aside_what_cannot_be_a_replica(tmp_path: Path, chunk: Chunk) -> None:
    store = opened(tmp_path)
    (good, data), (short, _), (folder, _) = chunk(1), chunk(2), chunk(3)
    store.write(good, data)
    for chunk_id in (short, folder):
        file_of(tmp_path, chunk_id).parent.mkdir(exist_ok=True)
    file_of(tmp_path, short).write_bytes(b"x" * 64)
    file_of(tmp_path, folder).mkdir()
    (tmp_path / "chunks" / "README").touch()
    (tmp_path / "chunks" / good[:2] / "notes.txt").touch()
    assert ChunkStore(tmp_path, Config(), "host").open() == {good: 1000}
    assert sorted(path.name for path in (tmp_path / "quarantine").iterdir()) == sorted([f"{short}.0", f"{folder}.0"])


@pytest.mark.parametrize("file_bytes", [10, 64, 65, 1063, 1065, 100_000])
def test_opening_sets_aside_a_replica_that_was_cut_or_grew(tmp_path: Path, chunk: Chunk, file_bytes: int) -> None:
    """It would count as a copy until the scrubber comes to it, and a good one might go in its favour."""
    store = opened(tmp_path)
    (bad, _), (good, _) = chunk(1), chunk(2)
    for seed in (1, 2):
        store.write(*chunk(seed))
    os.truncate(file_of(tmp_path, bad), file_bytes)
    again = ChunkStore(tmp_path, Config(), "host")
    assert again.open() == {good: 1000}
    assert again.usage().used_bytes == 1000 + file_bytes
    assert files_in(tmp_path / "quarantine") == [f"{bad}.0"]


def test_opening_sets_aside_a_torn_header_and_another_chunks_file(tmp_path: Path, chunk: Chunk) -> None:
    store = opened(tmp_path)
    torn, other, good = (chunk(seed)[0] for seed in (1, 2, 3))
    for seed in (1, 2, 3):
        store.write(*chunk(seed))
    flip(file_of(tmp_path, torn), 14)
    shutil.copyfile(file_of(tmp_path, good), file_of(tmp_path, other))
    assert ChunkStore(tmp_path, Config(), "host").open() == {good: 1000}
    assert files_in(tmp_path / "quarantine") == sorted([f"{torn}.0", f"{other}.0"])


def only_for_chunks(code: int) -> Callable[..., int]:
    real = os.open

    def fail(path: object, flags: int, *arguments: object, **named: object) -> int:
        if len(Path(str(path)).name) == 64:
            raise OSError(code, os.strerror(code))
        return real(path, flags, *arguments, **named)  # type: ignore[arg-type]

    return fail


def test_opening_sets_aside_what_can_not_be_read_until_it_can(
    tmp_path: Path, chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_id, data = chunk()
    opened(tmp_path).write(chunk_id, data)
    with monkeypatch.context() as broken:
        broken.setattr(os, "open", only_for_chunks(errno.EIO))
        again = ChunkStore(tmp_path, Config(), "host")
        assert again.open() == {}
    assert again.bring_back(chunk_id) == 1000
    assert again.read(chunk_id) == data


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM])
def test_opening_judges_no_replica_by_what_this_process_lacks(
    tmp_path: Path, chunk: Chunk, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    chunk_id, data = chunk()
    opened(tmp_path).write(chunk_id, data)
    with monkeypatch.context() as broken:
        broken.setattr(os, "open", only_for_chunks(code))
        with pytest.raises(DirectoryFailure):
            ChunkStore(tmp_path, Config(), "host").open()
    assert ChunkStore(tmp_path, Config(), "host").open() == {chunk_id: 1000}


def test_a_chunk_in_the_wrong_place_is_not_counted(tmp_path: Path, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    store = opened(tmp_path)
    store.write(chunk_id, data)
    wrong = tmp_path / "chunks" / ("00" if chunk_id[:2] != "00" else "01")
    wrong.mkdir()
    file_of(tmp_path, chunk_id).rename(wrong / chunk_id)
    assert ChunkStore(tmp_path, Config(), "host").open() == {}


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", failing(errno.EROFS))
    with pytest.raises(DirectoryFailure, match="Read-only file system"):
        opened(tmp_path)


def test_a_disk_that_does_not_answer(store: ChunkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", failing(errno.EIO))
    with pytest.raises(DiskFailure):
        store.usage()


def test_many_reads_leak_no_descriptors(store: ChunkStore, chunk: Chunk) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        store.read(chunk_id)
        store.verify(chunk_id)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_client_on_the_machine_reads_past_the_process_and_asks_it_when_that_fails(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path, Config(disk_reserve_bytes=0), "host")
    store.open()
    data = b"straight from the disk"
    chunk_id = blake3(data).hexdigest()
    assert read_replica(tmp_path, chunk_id) is None
    store.write(chunk_id, data)
    found = read_replica(tmp_path, chunk_id)
    assert found is not None and bytes(found) == data
    path = next(tmp_path.glob(f"chunks/*/{chunk_id}"))
    path.write_bytes(path.read_bytes()[:-1])
    assert read_replica(tmp_path, chunk_id) is None
    path.write_bytes(b"")
    assert read_replica(tmp_path, chunk_id) is None
    assert read_replica(tmp_path / "elsewhere", chunk_id) is None


def test_directories_removed_under_an_open_store_are_made_again(
    store: ChunkStore, chunk: Chunk, tmp_path: Path
) -> None:
    chunk_id, data = chunk()
    store.write(chunk_id, data)
    shutil.rmtree(file_of(tmp_path, chunk_id).parent)
    assert store.write(chunk_id, data)
    assert store.read(chunk_id) == data


def test_a_directory_removed_in_the_midst_of_a_write_leaves_nothing_counted(
    store: ChunkStore, chunk: Chunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just after the rename: nobody knows whether the name is durable, and the file is gone anyway."""
    chunk_id, data = chunk()
    rename = Path.rename

    def rename_and_lose(path: Path, target: Path) -> None:
        rename(path, target)
        shutil.rmtree(target.parent)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Path, "rename", rename_and_lose)
        with pytest.raises(DiskFailure):
            store.write(chunk_id, data)
    assert store.usage().used_bytes == 0
    assert store.write(chunk_id, data)
    assert store.usage().used_bytes == len(data)
