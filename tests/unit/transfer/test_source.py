from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from core.errors import SourceFailure
from core.transfer.source import Content, Source, open_source


def read_all(source: Source, piece: int = 4) -> bytes:
    buffer, content = bytearray(piece), b""
    while count := source.read_into(memoryview(buffer)):
        content += buffer[:count]
    return content


@pytest.mark.parametrize("content", [b"", b"x", b"four", b"more than four"])
def test_everything_that_can_be_uploaded_reads_alike(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    path_kinds: list[Content] = [path, io.BytesIO(content)]
    kinds: list[Content] = [content, bytearray(content), memoryview(content), content.decode(), *path_kinds]
    for kind in kinds:
        with open_source(kind) as source:
            assert read_all(source) == content
            source.verify_unchanged(len(content))


def test_a_stream_that_yields_little_at_a_time_still_fills_chunks(tmp_path: Path) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for letter in b"slow but sure":
                pipe.write(bytes([letter]))

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb", buffering=0) as pipe, open_source(pipe) as source:
        assert source.size_bytes is None
        buffer = bytearray(4)
        assert source.read_into(memoryview(buffer)) == 4
        assert read_all(source) == b" but sure"
    thread.join()


def test_a_named_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=(b"through a pipe",))
    thread.start()
    with open_source(path) as source:
        assert source.size_bytes is None
        assert read_all(source) == b"through a pipe"
    thread.join()


def test_a_multibyte_view_counts_bytes_not_items() -> None:
    view = memoryview(b"abcdefgh").cast("I")
    with open_source(view) as source:
        assert source.size_bytes == 8
        assert read_all(source) == b"abcdefgh"


@pytest.mark.parametrize("change", [b"longer than before", b"short", b"same-size!"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(1, 1))
    with open_source(path) as source:
        read = len(read_all(source))
        path.write_bytes(change)
        with pytest.raises(SourceFailure, match="changed while it was being read"):
            source.verify_unchanged(read)


def test_what_can_not_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(SourceFailure, match=r"nowhere can't be read: No such file"), open_source(tmp_path / "nowhere"):
        pass
    with pytest.raises(SourceFailure, match="is a directory"), open_source(tmp_path):
        pass
    with pytest.raises(SourceFailure, match="UTF-8"), open_source("\ud800"):
        pass
    with pytest.raises(TypeError, match="not int"), open_source(5):  # type: ignore[arg-type]
        pass


def test_a_text_stream_is_refused(tmp_path: Path) -> None:
    with open_source(io.StringIO("text")) as source, pytest.raises(SourceFailure, match="binary"):  # type: ignore[arg-type]
        read_all(source)


def test_a_stream_that_does_not_wait_is_not_taken_for_a_short_one() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb", buffering=0) as pipe, os.fdopen(writing, "wb", buffering=0) as end:
        end.write(b"first half")
        with open_source(pipe) as source, pytest.raises(SourceFailure, match="make it blocking"):
            read_all(source)
