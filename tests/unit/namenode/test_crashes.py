"""A broken invariant ends the process; after a few of them the next one only reads, and says so."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from core.config import Config
from core.directory import is_in_use
from core.errors import Defect, DirectoryFailure, DirectoryInUse, InvalidRequest, ReadOnly, Unavailable
from core.model import BeginRequest, DeleteChunk, SendFullReport
from core.namenode import crashes, request_note
from core.namenode.crashes import Crash, read_only_mode
from core.namenode.namenode import NameNode
from core.namenode.request_note import RequestNote
from core.namenode.service import METHODS, NameNodeService
from core.namenode.state import State
from tests.unit.namenode.driver import FakeNode, key_of

CONFIG = Config(chunk_size_bytes=4, catalog_ballast_bytes=0)
NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000


# --- The notes ------------------------------------------------------------------------------------------------------


def test_notes_are_kept_in_order_and_bounded(tmp_path: Path) -> None:
    assert crashes.read(tmp_path) == []
    for number in range(80):
        crashes.note(tmp_path, Crash(number, "commit", f"text {number}\n" + "x" * 1000))
    notes = crashes.read(tmp_path)
    assert [crash.time_ms for crash in notes] == list(range(30, 80))
    assert (tmp_path / crashes.FILE_NAME).stat().st_size < 50 * 500
    crashes.forget(tmp_path)
    crashes.forget(tmp_path)
    assert crashes.read(tmp_path) == []


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"7", b'{"time_ms": 1}', b'{"time_ms":"x","method":"","text":""}', b"\xff"]
)
def test_a_note_that_cannot_be_understood_is_none(tmp_path: Path, line: bytes) -> None:
    crashes.note(tmp_path, Crash(1, "commit", "why"))
    good = (tmp_path / crashes.FILE_NAME).read_bytes()
    (tmp_path / crashes.FILE_NAME).write_bytes(line + b"\n" + good)
    assert crashes.read(tmp_path) == [Crash(1, "commit", "why")]


@pytest.mark.parametrize(
    ("minutes_ago", "left_ms"),
    [
        ([], None),
        ([1, 0], None),
        ([9, 5, 1], MINUTE_MS),
        ([11, 5, 1], None),
        ([10, 5, 1], None),
        ([11, 9, 5, 1], MINUTE_MS),
        ([9, 8, 7, 0], 2 * MINUTE_MS),
        ([-500, -500, -500], 10 * MINUTE_MS),
    ],
)
def test_only_crashes_close_together_count(minutes_ago: list[int], left_ms: int | None) -> None:
    notes = [Crash(NOW_MS - minutes * MINUTE_MS, "commit", "why") for minutes in minutes_ago]
    mode = read_only_mode(notes, NOW_MS, CONFIG)
    assert (mode.until_ms - NOW_MS if mode else None) == left_ms


@pytest.mark.parametrize(
    ("ends", "read_only"),
    [("ssssss", True), ("sssss", False), ("sssbb", True), ("ssbb", True), ("sbb", False), ("sssb", False)],
)
def test_ends_without_a_word_count_half(ends: str, read_only: bool) -> None:
    notes = [Crash(NOW_MS, "commit", "why", silent=end == "s") for end in ends]
    assert (read_only_mode(notes, NOW_MS, CONFIG) is not None) == read_only


class Killed(BaseException):
    """Of the process: nobody gets to do anything after it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Let every process end without a word that tries this method of a NameNode."""

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(NameNode, method, killed)
    monkeypatch.setattr(RequestNote, "during", lambda note, noted: nullcontext(note._write(noted.encode())))


def test_a_request_that_ends_the_process_without_a_word_does_so_seven_times_at_most(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.ask("status")
    with monkeypatch.context() as patched:
        kill_at(patched, "events")
        for ends in range(7):
            assert bool(process.ask("status").read_only) == (ends == 6)  # type: ignore[attr-defined]
            with pytest.raises(Killed):
                process.ask("events")
            process.end()
        assert "last at `events` (its process ended without a word" in process.ask("status").read_only  # type: ignore[attr-defined]
        with pytest.raises(Defect, match=r"does not try `events` again now.*`resume`"):
            process.ask("events")
        assert process.ask("artifacts", "") == []
    assert process.starts == 8
    assert process.ask("resume") is True
    assert process.ask("events", 0)


def test_a_start_that_ends_the_process_without_a_word_is_given_up(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_at(patched, "_load")
        for _ in range(7):
            process.service.close()
            with pytest.raises(Killed):
                process.start()
        process.end()
        for _ in range(3):
            with pytest.raises(Defect, match=r"does not try `start` again now.*`resume`"):
                process.ask("status")
        assert not is_in_use(process.directory)
    assert process.ask("resume") is True
    assert process.ask("status").read_only == ""  # type: ignore[attr-defined]


def test_who_does_not_hold_the_directory_notes_nothing_there(process: Process, tmp_path: Path) -> None:
    (tmp_path / request_note.FILE_NAME).write_text("commit")
    second = NameNodeService(tmp_path, CONFIG, lambda: "", lambda: random.Random(1), request_note=RequestNote(tmp_path))
    second.open(NOW_MS)
    with pytest.raises(DirectoryInUse):
        second.ask(NOW_MS, "status")
    assert (tmp_path / request_note.FILE_NAME).read_text() == "commit"
    assert crashes.read(tmp_path) == []


# --- A NameNode that fails ------------------------------------------------------------------------------------------


class Process:
    """What Ray does around a NameNode: a new process after each one that ended."""

    def __init__(self, directory: Path, config: Config = CONFIG) -> None:
        self.directory = directory
        self.config = config
        self.now_ms = NOW_MS
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        note = RequestNote(self.directory)
        self.service = NameNodeService(
            self.directory, self.config, lambda: "cluster-1", lambda: random.Random(1), request_note=note
        )
        try:
            self.service.open(self.now_ms)
        except AssertionError:
            self.end()

    def end(self) -> None:
        assert self.starts < 50, "it never stops failing"
        self.service.close()
        self.start()

    def ask(self, method: str, *arguments: object) -> object:
        self.now_ms += 1_000
        try:
            return self.service.ask(self.now_ms, method, *arguments)
        except AssertionError:
            self.end()
            raise


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    made.service.close()


def poison(monkeypatch: pytest.MonkeyPatch, method: str, error: Exception | None = None) -> None:
    def broken(*_: object) -> None:
        raise error or AssertionError("one and one are three")

    monkeypatch.setattr(NameNode, method, broken)


def fail(process: Process, method: str, times: int = 3) -> None:
    for _ in range(times):
        with pytest.raises(AssertionError):
            process.ask(method)


def test_a_poisonous_request_ends_the_process_three_times_and_no_more(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "events")
    fail(process, "events", 2)
    assert process.ask("status").read_only == ""  # type: ignore[attr-defined]
    fail(process, "events", 1)
    assert process.starts == 4
    reason = process.ask("status").read_only  # type: ignore[attr-defined]
    assert "failed 3 times within 600 s, last at `events`" in reason
    assert "one and one are three" in reason
    for _ in range(10):
        with pytest.raises(Defect, match=r"failed inside at `events` \(test_crashes.py:\d+: one and one are three\)"):
            process.ask("events")
    assert process.starts == 4


FORESEEN_BY_NOBODY = (
    KeyError("node-1"),
    TypeError("unhashable"),
    ValueError("no hexadecimal digit"),
    AttributeError("none"),
    MemoryError(),
    RecursionError(),
    OSError(5, "Input/output error"),
    sqlite3.ProgrammingError("Cannot operate on a closed database."),
)


@pytest.mark.parametrize("error", FORESEEN_BY_NOBODY, ids=lambda error: type(error).__name__)
def test_an_error_that_nobody_foresaw_is_a_broken_invariant(
    process: Process, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patched:
        poison(patched, "events", error)
        fail(process, "events", 1)
        kind = type(error).__name__
        assert kind in crashes.read(process.directory)[0].text
        fail(process, "events", 2)
        with pytest.raises(Defect, match=rf"failed inside at `events` \(test_crashes.py:\d+: {kind}"):
            process.ask("events")
    assert process.starts == 4


def test_what_was_half_changed_by_such_an_error_is_served_by_nobody(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wish is in the catalog and the node's role is not changed yet."""
    register(process, FakeNode("node-1", "host-1"))

    def broken(*_: object) -> None:
        monkeypatch.undo()
        raise KeyError("node-1")

    monkeypatch.setattr(State, "sync_role", broken)
    with pytest.raises(AssertionError, match="KeyError: 'node-1'"):
        process.ask("set_wish", "op", "node-1", "failed")
    assert process.starts == 2
    assert [node.state for node in process.ask("nodes")] == ["failed"]  # type: ignore[attr-defined]
    assert process.service.namenode is not None
    process.service.namenode.check_invariants()


def test_such_an_error_at_the_start_does_not_go_on_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        poison(patched, "_load", KeyError("chunk"))
        process = Process(tmp_path)
        assert process.starts == 4
        with pytest.raises(Defect, match="failed inside at `start`"):
            process.ask("status")
    process.now_ms += CONFIG.crash_window_ms
    assert process.ask("status").epoch == 1, "none that failed at its start had one"  # type: ignore[attr-defined]
    process.service.close()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), sqlite3.DatabaseError("malformed")])
def test_a_disk_that_fails_is_no_broken_invariant(
    process: Process, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    poison(monkeypatch, "events", error)
    for _ in range(5):
        with pytest.raises(Unavailable, match="can't be read"):
            process.ask("events")
    assert (process.starts, crashes.read(process.directory)) == (1, [])


def test_crashes_that_cannot_be_forgotten_are_a_refusal(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        poison(patched, "events")
        fail(process, "events")

    def failing(_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(crashes, "forget", failing)
    with pytest.raises(DirectoryFailure, match="Read-only file system"):
        process.ask("resume")
    assert process.ask("status").read_only  # type: ignore[attr-defined]


# --- A catalog that is damaged --------------------------------------------------------------------------------------


def damage(catalog: Path) -> bytes:
    """Overwrite the pages that only a start reads through, and answer with what the file was."""
    whole = catalog.read_bytes()
    with closing(sqlite3.connect(catalog)) as connection:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'chunks'").fetchone()
    with catalog.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xa5" * page_bytes)
    return whole


def test_a_damaged_catalog_is_a_refusal_that_names_the_way_out(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.service.close()
    catalog = tmp_path / "catalog.sqlite"
    whole = damage(catalog)
    process.start()
    assert (process.service.namenode, process.service.catalog) == (None, None)
    for _ in range(5):
        with pytest.raises(DirectoryFailure, match=r"can't be read \(.*malformed.*`restore-catalog`"):
            process.ask("status")
    assert not is_in_use(tmp_path), "whoever mends it can have it"
    assert process.starts == 2 and crashes.read(tmp_path) == []
    with closing(sqlite3.connect(catalog)) as connection:
        epoch = connection.execute("SELECT value FROM facts WHERE key = 'epoch'").fetchone()
    assert epoch == ("1",), "what can't be read through gets no epoch"
    catalog.write_bytes(whole)
    assert process.ask("status").epoch == 2  # type: ignore[attr-defined]
    process.service.close()


def test_what_is_no_catalog_at_all_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"\xa5" * 40_000)
    process = Process(tmp_path)
    with pytest.raises(DirectoryFailure, match=r"can't be opened .*`restore-catalog`"):
        process.ask("status")
    assert not is_in_use(tmp_path)


# --- What a NameNode that only reads does ---------------------------------------------------------------------------


def test_it_only_reads_then_and_storage_nodes_are_heard(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode("node-1", "host-1")
    register(process, node)
    poison(monkeypatch, "info")
    fail(process, "info")
    request = BeginRequest("op", "a", "upload", 4, None, None)
    node.host = "elsewhere"
    register(process, node)
    changes: list[Callable[[], object]] = [
        lambda: process.ask("begin", request),
        lambda: process.ask("set_wish", "op-3", "sn-01", "draining"),
        lambda: register(process, FakeNode("node-2", "host-2")),
    ]
    for change in changes:
        with pytest.raises(ReadOnly, match="`resume`"):
            change()
    assert process.ask("artifacts", "") == []
    assert process.ask("heartbeat", node.heartbeat()).known  # type: ignore[attr-defined]
    assert [row.host for row in process.ask("nodes")] == ["elsewhere"]  # type: ignore[attr-defined]


def register(process: Process, node: FakeNode) -> None:
    process.ask("register", node.registration())


def beat(process: Process, node: FakeNode, times: int) -> None:
    for _ in range(times):
        for command in process.ask("heartbeat", node.heartbeat()).commands:  # type: ignore[attr-defined]
            if isinstance(command, DeleteChunk):
                node.drop(command.chunk_id)
            for page in node.pages() if isinstance(command, SendFullReport) else ():
                process.ask("full_report", page)


def test_nothing_is_deleted_while_it_only_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(tmp_path, Config(catalog_ballast_bytes=0, garbage_grace_ms=1_000, unknown_grace_ms=1_000))
    node = FakeNode("node-1", "host-1")
    register(process, node)
    poison(monkeypatch, "info")
    fail(process, "info")
    node.store(key_of(b"stray"))
    register(process, node)
    beat(process, node, 60)
    with pytest.raises(ReadOnly, match="`resume`"):
        process.ask("fsck_repair")
    beat(process, node, 3)
    assert node.chunks
    process.ask("resume")
    register(process, node)
    beat(process, node, 60)
    assert not node.chunks
    process.service.close()


def test_it_takes_changes_again_when_the_window_is_over(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        poison(patched, "events")
        fail(process, "events")
    epoch = process.ask("status").epoch  # type: ignore[attr-defined]
    assert process.ask("status").read_only  # type: ignore[attr-defined]
    process.now_ms += CONFIG.crash_window_ms
    status = process.ask("status")
    assert (status.read_only, status.epoch) == ("", epoch + 1)  # type: ignore[attr-defined]
    assert process.starts == 4, "in the same process"


def test_notes_from_the_future_do_not_keep_it_so_for_ever(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        poison(patched, "events")
        fail(process, "events")
    process.now_ms -= 365 * 24 * 60 * MINUTE_MS
    process.end()
    assert process.ask("status").read_only  # type: ignore[attr-defined]
    process.now_ms += CONFIG.crash_window_ms
    process.end()
    assert process.ask("status").read_only == ""  # type: ignore[attr-defined]


def test_notes_from_the_future_count_as_made_now_also_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        crashes.note(tmp_path, Crash(NOW_MS + MINUTE_MS, "commit", "why"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(crashes, "write_durably", full)
    process = Process(tmp_path)
    assert process.ask("status").read_only  # type: ignore[attr-defined]
    process.service.close()


@pytest.mark.parametrize("method", ["check_invariants", "_load", "__init__", "tick", "recorded", "no such method"])
def test_what_nobody_may_ask_is_refused_and_no_crash(process: Process, method: str) -> None:
    for _ in range(5):
        with pytest.raises(InvalidRequest, match="has no method"):
            process.ask(method)
    assert (process.starts, crashes.read(process.directory)) == (1, [])


def test_every_other_public_method_may_be_asked() -> None:
    public = {name for name in vars(NameNode) if not name.startswith("_")}
    assert public - {"check_invariants", "tick", "recorded"} == METHODS


def test_each_event_is_fresh_once_also_over_a_restart(process: Process) -> None:
    service = process.service
    first = service.fresh_events()
    assert first[0].text.startswith("NameNode started")
    assert service.fresh_events() == []
    process.ask("checkpoint_failed", "the disk is full")
    told = service.fresh_events()
    assert told and told[0].seq > first[-1].seq
    assert [*first, *told] == process.ask("events", 0)
    assert service.fresh_events() == []
    service.close()
    assert service.fresh_events() == []
    service.open(NOW_MS)
    again = service.fresh_events()
    assert again[0].seq > told[-1].seq and again[0].text.startswith("NameNode started")


def test_resume_ends_it_at_once(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    assert process.ask("resume") is False
    with monkeypatch.context() as patched:
        poison(patched, "events")
        fail(process, "events")
    assert process.ask("resume") is True
    assert process.ask("status").read_only == ""  # type: ignore[attr-defined]
    assert process.ask("resume") is False


def test_a_start_that_fails_does_not_go_on_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        poison(patched, "_load")
        process = Process(tmp_path)
        assert process.starts == 4
        for request in (("status",), ("artifacts", "")):
            with pytest.raises(Defect, match="failed inside at `start`"):
                process.ask(*request)
    process.now_ms += CONFIG.crash_window_ms
    assert process.ask("status").read_only == ""  # type: ignore[attr-defined]
    process.service.close()


def test_a_crash_that_cannot_be_noted_is_a_crash_all_the_same(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(crashes, "write_durably", full)
    poison(monkeypatch, "events")
    fail(process, "events", 5)
    assert process.starts == 6
