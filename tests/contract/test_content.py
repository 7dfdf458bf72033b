"""Content goes in as anything that holds bytes, and comes out byte for byte."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from core.errors import ArtifactExists, ArtifactNotFound, OutputFailure, Rejected, SourceFailure, VersionNotFound
from core.store import ArtifactStore

EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize(
    "wrap",
    [bytes, bytearray, memoryview, io.BytesIO, lambda data: memoryview(bytearray(data * 2))[: len(data)]],
    ids=["bytes", "bytearray", "memoryview", "file object", "part of a view"],
)
def test_bytes_of_any_kind_come_back(store: ArtifactStore, name: str, wrap: Callable[[bytes], object]) -> None:
    version = store.upload(name, wrap(EVERY_BYTE))
    assert store.get(name) == EVERY_BYTE
    assert (version.name, version.size_bytes) == (name, 256)
    assert version.digest == blake3(EVERY_BYTE).hexdigest()


def test_text_is_stored_as_utf8(store: ArtifactStore, name: str) -> None:
    store.upload(name, "grüße, 世界")
    assert store.get(name) == "grüße, 世界".encode()


def test_a_path_is_read(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(EVERY_BYTE)
    store.upload(name, source)
    assert store.get(name) == EVERY_BYTE


def test_a_file_object_is_read_from_where_it_stands(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"headbody")
    with source.open("rb") as stream:
        stream.seek(4)
        store.upload(name, stream)
    assert store.get(name) == b"body"


@pytest.mark.parametrize("size_bytes", [0, 1, 3, 4, 5, 7, 8, 9, 41])
def test_sizes_around_the_chunk_boundary(store: ArtifactStore, name: str, size_bytes: int) -> None:
    content = random.Random(size_bytes).randbytes(size_bytes)
    version = store.upload(name, content, chunk_size_bytes=4)
    assert version.chunks == -(-size_bytes // 4)
    assert version.chunk_size_bytes == 4
    assert store.get(name) == content


def test_equal_chunks_within_one_artifact(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"same" * 5, chunk_size_bytes=4)
    assert store.get(name) == b"same" * 5
    info = store.info(name)
    assert [chunk.index for chunk in info.chunks] == [0, 1, 2, 3, 4]
    assert len({chunk.id for chunk in info.chunks}) == 1


def test_every_version_stays_readable(store: ArtifactStore, name: str) -> None:
    first = store.upload(name, b"one")
    second = store.update(name, b"two")
    third = store.update(name, b"")
    assert [first.version, second.version, third.version] == [1, 2, 3]
    assert store.get(name) == b""
    assert [store.get(name, number) for number in (1, 2, 3)] == [b"one", b"two", b""]


def test_an_update_keeps_the_replication_unless_told(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"one", replication=4)
    assert store.update(name, b"two").replication == 4
    assert store.update(name, b"three", replication=2).replication == 2


def test_an_update_with_the_same_content_is_a_version(store: ArtifactStore, name: str) -> None:
    first = store.upload(name, b"same")
    second = store.update(name, b"same")
    assert (second.version, second.digest) == (2, first.digest)


# --- Streams ----------------------------------------------------------------------------------------------------


def test_open_reads_seeks_and_tells(store: ArtifactStore, name: str) -> None:
    content = random.Random(1).randbytes(41)
    store.upload(name, content, chunk_size_bytes=4)
    with store.open(name) as stream:
        assert stream.readable() and stream.seekable() and not stream.writable()
        assert stream.read(3) == content[:3]
        assert stream.tell() == 3
        assert stream.seek(10) == 10
        assert stream.read(9) == content[10:19]
        assert stream.seek(-5, io.SEEK_END) == 36
        assert stream.read() == content[36:]
        assert stream.read() == b""
        assert stream.seek(-20, io.SEEK_CUR) == 21
        buffer = bytearray(8)
        assert stream.readinto(buffer) == 8  # type: ignore[attr-defined]
        assert bytes(buffer) == content[21:29]
        stream.seek(1000)
        assert stream.read() == b""


def test_open_reads_lines(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"one\ntwo\nthree", chunk_size_bytes=4)
    with store.open(name) as stream:
        assert list(stream) == [b"one\n", b"two\n", b"three"]


def test_open_reads_the_version_asked_for_although_newer_ones_come(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"old" * 20, chunk_size_bytes=4)
    with store.open(name) as stream:
        start = stream.read(3)
        store.update(name, b"new" * 20, chunk_size_bytes=4)
        assert start + stream.read() == b"old" * 20
    with store.open(name, 1) as stream:
        assert stream.read() == b"old" * 20


def test_copy_to_a_stream(store: ArtifactStore, name: str) -> None:
    store.upload(name, EVERY_BYTE, chunk_size_bytes=100)
    stream = io.BytesIO()
    version = store.copy_to(name, stream)
    assert stream.getvalue() == EVERY_BYTE
    assert (version.name, version.version, version.size_bytes) == (name, 1, 256)


# --- Files ------------------------------------------------------------------------------------------------------


def test_download_writes_the_file_and_nothing_else(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    target = tmp_path / "out" / "file"
    target.parent.mkdir()
    store.upload(name, EVERY_BYTE, chunk_size_bytes=100)
    assert store.download(name, target).version == 1
    assert target.read_bytes() == EVERY_BYTE
    assert list(target.parent.iterdir()) == [target]


def test_download_replaces_a_file(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"something longer that was there before")
    store.upload(name, b"new")
    store.update(name, b"newer")
    store.download(name, target, 1)
    assert target.read_bytes() == b"new"
    store.download(name, str(target))
    assert target.read_bytes() == b"newer"


def test_a_download_that_is_refused_leaves_the_file_that_was_there(
    store: ArtifactStore, name: str, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "file"
    target.parent.mkdir()
    target.write_bytes(b"precious")
    with pytest.raises(ArtifactNotFound):
        store.download(name, target)
    assert target.read_bytes() == b"precious"
    assert list(target.parent.iterdir()) == [target]


def test_download_to_a_place_that_can_not_be_written(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    store.upload(name, b"content")
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path, tmp_path / "missing" / "out", tmp_path / "file" / "out"):
        with pytest.raises(OutputFailure) as refused:
            store.download(name, target)
        assert str(target) in refused.value.message


# --- Refusals ---------------------------------------------------------------------------------------------------


def test_upload_under_a_name_that_is_taken(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"first")
    with pytest.raises(ArtifactExists) as refused:
        store.upload(name, b"second")
    assert name in refused.value.message and "update" in refused.value.message
    assert store.get(name) == b"first"
    assert [version.version for version in store.history(name)] == [1]


def test_update_of_a_name_that_is_not_there(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ArtifactNotFound) as refused:
        store.update(name, b"content")
    assert name in refused.value.message
    assert store.list(name) == []


@pytest.mark.parametrize("version", [0, 2, -1, 10**12])
def test_versions_that_are_not_there(store: ArtifactStore, name: str, version: int, tmp_path: Path) -> None:
    store.upload(name, b"content")
    with pytest.raises(Rejected):
        store.get(name, version)
    with pytest.raises(Rejected):
        store.info(name, version)
    with pytest.raises(Rejected):
        store.open(name, version)
    with pytest.raises(Rejected):
        store.download(name, tmp_path / "out", version)
    assert not (tmp_path / "out").exists()


def test_a_missing_version_is_named(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"content")
    with pytest.raises(VersionNotFound) as refused:
        store.get(name, 7)
    assert name in refused.value.message and "7" in refused.value.message


def test_sources_that_can_not_be_read(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    for source in (tmp_path / "missing", tmp_path):
        with pytest.raises(SourceFailure) as refused:
            store.upload(name, source)
        assert str(source) in refused.value.message
    assert store.list(name) == []


def test_a_source_that_breaks_halfway_leaves_nothing(store: ArtifactStore, name: str) -> None:
    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 20:
                raise OSError(5, "Input/output error")
            return super().read(min(20, size if size is not None and size >= 0 else 20))

    with pytest.raises(SourceFailure):
        store.upload(name, Breaks(bytes(100)), chunk_size_bytes=4)
    assert store.list(name) == []
    store.upload(name, b"whole")
    assert store.get(name) == b"whole"


def test_a_text_stream_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(SourceFailure):
        store.upload(name, io.StringIO("text"))  # type: ignore[arg-type]
    assert store.list(name) == []


def test_half_a_character_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(SourceFailure):
        store.upload(name, "\ud800")
    assert store.list(name) == []


@pytest.mark.parametrize("wrong", [{"replication": 0}, {"replication": 17}, {"replication": -1}, {"replication": 16}])
def test_replications_that_can_not_be(store: ArtifactStore, name: str, wrong: dict[str, int]) -> None:
    with pytest.raises(Rejected) as refused:
        store.upload(name, b"content", **wrong)
    assert str(wrong["replication"]) in refused.value.message
    assert store.list(name) == []


@pytest.mark.parametrize("chunk_size_bytes", [0, -1, 65 * 1024 * 1024])
def test_chunk_sizes_that_can_not_be(store: ArtifactStore, name: str, chunk_size_bytes: int) -> None:
    with pytest.raises(Rejected):
        store.upload(name, b"content", chunk_size_bytes=chunk_size_bytes)
    assert store.list(name) == []
