"""Progress that only grows and ends at the whole, and cancelling that leaves nothing behind."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import Cancelled
from core.model import Progress
from core.store import ArtifactStore

CONTENT = bytes(range(200))


def _check(seen: list[Progress], total_bytes: int, known: bool = True) -> None:
    done = [progress.done_bytes for progress in seen]
    assert done == sorted(done)
    assert all(progress.sent_bytes <= progress.done_bytes for progress in seen)
    assert all(progress.total_bytes in (None, total_bytes) for progress in seen)
    assert seen[0].done_bytes == 0
    assert (seen[-1].stage, seen[-1].done_bytes) == ("done", total_bytes)
    assert not known or all(progress.total_bytes == total_bytes for progress in seen)


def test_progress_of_an_upload(store: ArtifactStore, name: str) -> None:
    seen: list[Progress] = []
    store.upload(name, CONTENT, chunk_size_bytes=10, progress=seen.append)
    _check(seen, len(CONTENT))
    assert len(seen) > 3


def test_progress_of_a_stream_of_unknown_length(store: ArtifactStore, name: str) -> None:
    seen: list[Progress] = []
    store.upload(name, io.BytesIO(CONTENT), chunk_size_bytes=10, progress=seen.append)
    _check(seen, len(CONTENT), known=False)
    assert seen[0].total_bytes is None


def test_progress_of_nothing(store: ArtifactStore, name: str) -> None:
    seen: list[Progress] = []
    store.upload(name, b"", progress=seen.append)
    _check(seen, 0)
    assert store.get(name) == b""


def test_progress_of_a_download(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    store.upload(name, CONTENT, chunk_size_bytes=10)
    for read in (
        lambda tell: store.download(name, tmp_path / "out", progress=tell),
        lambda tell: store.copy_to(name, io.BytesIO(), progress=tell),
    ):
        seen: list[Progress] = []
        read(seen.append)
        _check(seen, len(CONTENT))


def _cancelling(cancel: threading.Event) -> Callable[[Progress], None]:
    """Cancels as soon as something was moved."""

    def tell(progress: Progress) -> None:
        if progress.done_bytes:
            cancel.set()

    return tell


def test_a_cancelled_upload_leaves_nothing(store: ArtifactStore, name: str) -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        store.upload(name, CONTENT, chunk_size_bytes=2, progress=_cancelling(cancel), cancel=cancel)
    assert store.list(name) == []
    assert store.upload(name, b"again").version == 1
    assert store.get(name) == b"again"


def test_a_cancelled_update_leaves_the_version_before(store: ArtifactStore, name: str) -> None:
    store.upload(name, b"before")
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        store.update(name, CONTENT, chunk_size_bytes=2, progress=_cancelling(cancel), cancel=cancel)
    assert [version.version for version in store.history(name)] == [1]
    assert store.get(name) == b"before"


def test_a_cancelled_download_leaves_no_file(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    store.upload(name, CONTENT, chunk_size_bytes=2)
    target = tmp_path / "out" / "file"
    target.parent.mkdir()
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        store.download(name, target, progress=_cancelling(cancel), cancel=cancel)
    assert list(target.parent.iterdir()) == []


def test_a_transfer_cancelled_before_it_began(store: ArtifactStore, name: str, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        store.upload(name, CONTENT, cancel=cancel)
    assert store.list(name) == []
    store.upload(name, CONTENT)
    with pytest.raises(Cancelled):
        store.download(name, tmp_path / "out", cancel=cancel)
    assert not (tmp_path / "out").exists()


def test_a_raising_progress_callback_ends_the_upload_without_a_trace(store: ArtifactStore, name: str) -> None:
    class Oops(Exception):
        pass

    def tell(progress: Progress) -> None:
        if progress.done_bytes:
            raise Oops

    with pytest.raises(Oops):
        store.upload(name, CONTENT, chunk_size_bytes=10, progress=tell)
    assert store.list(name) == []
    store.upload(name, b"again")
