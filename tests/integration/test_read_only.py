"""A request that breaks an invariant of the NameNode, again and again, on real Ray: it stops failing and only reads."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from core.cluster import remote
from core.config import Config
from core.errors import DameError, Defect, ReadOnly, Unavailable
from core.model import ClusterStatus
from core.namenode import crashes, request_note
from core.store import ArtifactStore
from tests.integration.processes import eventually, namenode_pid

pytestmark = pytest.mark.ray


def test_a_poisonous_request_leaves_a_namenode_that_reads(real_store: ArtifactStore) -> None:
    class Poison(str):
        """A name that breaks whoever looks at it, by an error that nobody foresaw."""

        def encode(self, *_: object) -> bytes:
            raise KeyError("poison")

    store = real_store
    store.upload("before-the-poison", b"content")
    for _ in range(3):  # or less, where tests before have killed it in the middle of a request
        if not store.status().read_only:
            with pytest.raises(Unavailable):
                remote.ask_namenode("history", Poison("name"))
    assert "last at `history` (" in store.status().read_only
    with pytest.raises(Defect):
        remote.ask_namenode("history", Poison("name"))
    assert eventually(lambda: store.get("before-the-poison")) == b"content"
    with pytest.raises(ReadOnly, match="`resume`"):
        store.upload("while-it-only-reads", b"content")
    with pytest.raises(ReadOnly):
        store.delete("before-the-poison")
    assert store.resume() is True
    eventually(lambda: store.status().nodes["up"] == 4)
    store.upload("after-the-poison", b"content")
    store.delete("before-the-poison")
    assert store.status().read_only == ""


def test_requests_that_end_the_process_without_a_word_are_not_tried_for_ever(
    real_store: ArtifactStore, cluster_directory: Path
) -> None:
    """As if a library crashed at `history`: the process is killed in the middle of it, time and again."""
    store = real_store
    store.upload("before-the-crashes", b"content")
    directory = cluster_directory / "namenode"
    (directory / crashes.FILE_NAME).unlink(missing_ok=True)  # of tests before
    with history_asked_all_the_time():
        for _ in range(2 * Config().crashes_max):
            assert not is_read_only(store)
            kill_in_the_middle(directory, b"history")
        assert is_read_only(store)
        kill_in_the_middle(directory, b"history")
        assert is_read_only(store)
    assert "last at `history` (its process ended without a word" in store.status().read_only
    with pytest.raises(Defect, match="does not try `history` again"):
        store.history("before-the-crashes")
    assert eventually(lambda: store.get("before-the-crashes")) == b"content"
    with pytest.raises(ReadOnly, match="`resume`"):
        store.upload("while-it-only-reads", b"content")
    assert store.resume() is True
    assert [version.version for version in store.history("before-the-crashes")] == [1]
    eventually(lambda: store.status().nodes["up"] == 4)
    store.delete("before-the-crashes")


def is_read_only(store: ArtifactStore) -> bool:
    """Of the NameNode that is there now, or will be soon."""

    def answers() -> list[ClusterStatus]:
        with suppress(DameError):
            return [store.status()]
        return []

    return bool(eventually(answers)[0].read_only)


def kill_in_the_middle(directory: Path, method: bytes) -> None:
    """SIGKILL the NameNode's process while it answers this method: stopped, looked at, let go on if it does not."""
    pid = namenode_pid(directory.parent)
    while True:
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: state_of(pid) == "T", every_s=0.001)
        if (directory / request_note.FILE_NAME).read_bytes().strip() == method:
            os.kill(pid, signal.SIGKILL)
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(random.uniform(0.001, 0.01))


def state_of(pid: int) -> str:
    """Of its main thread, as ps shows it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@contextmanager
def history_asked_all_the_time() -> Iterator[None]:
    """By two threads, which mind no answer."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            with suppress(DameError):
                remote.ask_namenode("history", "before-the-crashes")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
