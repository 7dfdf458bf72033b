"""One verb without the screen: exit codes, clean standard output, and what happens when somebody pulls the plug."""

from __future__ import annotations

import array
import fcntl
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import main
from core.errors import ClusterUnreachable, UsageError
from core.model import ScrubProgress
from core.scrub import OnScrub
from core.store import ArtifactStore
from main import Options, take_options
from tests.fakes import FakeStore
from tui import headless
from tui.headless import OnStage, Streams

ROOT = Path(main.__file__).parent
PATIENCE_S = 30

PROGRAM = """
import os, sys, threading
import main
from tests.fakes import FakeStore, Gate

def connect(address, *, data_dir, nodes, on_stage):
    on_stage("starting the fake")
    store = FakeStore()
    store.upload("greeting", b"hello\\x00\\xff")
    store.upload("large", bytes(1_000_000), chunk_size_bytes=100_000)
    os.write(1, b"NOISE")
    print("MORE NOISE", flush=True)
    if "GATE" in os.environ:
        store.slow_transfers(Gate())
    return store

main.connect = connect
code = main.main()
if "MODULES" in os.environ:
    sys.stderr.write(f"LOADED {sorted({'textual', 'ray'} & set(sys.modules))}")
sys.exit(code)
"""
"""The real program over a fake store, whose start-up writes to standard output as native code of Ray does."""


@dataclass
class Ran:
    code: int
    stdout: bytes
    stderr: str


def run(*words: str, store: FakeStore | None = None, stdin: bytes = b"") -> Ran:
    """Run one verb in this process."""

    def connect(on_stage: OnStage) -> ArtifactStore:
        on_stage("starting")
        return store if store is not None else FakeStore()

    stdout, stderr = io.BytesIO(), io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    code = headless.run(words, connect, Streams(io.BytesIO(stdin), stdout, stderr))
    return Ran(code, stdout.getvalue(), stderr.buffer.getvalue().decode())  # type: ignore[attr-defined]


def start(*words: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start the real program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        env=clean_environment() | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DAME_", "PYTHON"))}


def program(*words: str, stdin: bytes = b"", **environment: str) -> Ran:
    with start(*words, **environment) as process:
        stdout, stderr = process.communicate(stdin, PATIENCE_S)
    return Ran(process.returncode, stdout, stderr.decode())


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


# --- Answers ----------------------------------------------------------------------------------------------------


def test_a_verb_writes_its_sentence_and_is_done(store: FakeStore) -> None:
    ran = run("upload", "a", "text", store=store)
    assert (ran.code, ran.stdout, ran.stderr) == (0, b"Uploaded a: version 1, 4 B in 1 chunk, 3 copies each.\n", "")
    assert store.closed


def test_get_writes_exactly_the_bytes(store: FakeStore) -> None:
    content = bytes(range(256)) * 5
    store.upload("a", content, chunk_size_bytes=7)
    ran = run("get", "a", store=store)
    assert (ran.code, ran.stdout, ran.stderr) == (0, content, "")


def test_standard_input_is_content(store: FakeStore) -> None:
    assert run("upload", "a", "--file", "-", store=store, stdin=b"\x00piped").code == 0
    store.closed = False
    assert store.get("a") == b"\x00piped"


def test_the_trash_is_a_table_or_json(store: FakeStore) -> None:
    assert run("trash", store=store).stdout == b"The trash is empty.\n"
    store.closed = False
    store.upload("a", b"content")
    store.delete("a")
    (row,) = json.loads(run("trash", "--json", store=store).stdout)
    assert set(row) == {"name", "version", "versions", "size_bytes", "deleted_ms", "purge_ms"}
    store.closed = False
    assert b"GOES IN" in run("trash", store=store).stdout


@pytest.mark.parametrize(
    "words", ["list", "status", "nodes", "node sn-01", "history a", "info a", "events", "scrub", "fsck"]
)
def test_json_is_one_document_and_nothing_else(store: FakeStore, words: str) -> None:
    store.upload("a", b"content")
    ran = run(*words.split(), "--json", store=store)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.count(b"\n") == 1
    assert json.loads(ran.stdout)


class InterruptedStore(FakeStore):
    """Somebody presses Ctrl-C as soon as the waiting begins."""

    def scrub_and_wait(
        self, *, progress: OnScrub | None = None, cancel: threading.Event | None = None
    ) -> ScrubProgress:
        os.kill(os.getpid(), signal.SIGINT)
        assert cancel is not None and cancel.wait(PATIENCE_S)
        return super().scrub_and_wait(progress=progress, cancel=cancel)


def test_ctrl_c_ends_the_waiting_and_not_the_scrub() -> None:
    store = InterruptedStore()
    store.upload("a", b"content")
    ran = run("scrub", "--wait", store=store)
    assert (ran.code, ran.stderr) == (0, "")
    assert "The scrub goes on without you" in ran.stdout.decode()


def test_fsck_is_a_report_and_an_exit_code(store: FakeStore) -> None:
    store.upload("a", b"content", replication=4)
    ran = run("fsck", store=store)
    assert (ran.code, ran.stderr) == (0, "")
    assert "verdict   clean" in ran.stdout.decode()
    store.closed = False
    store.kill("sn-01")
    store.kill("sn-02")
    ran = run("fsck", "--repair", store=store)
    text = ran.stdout.decode()
    assert (ran.code, ran.stderr) == (1, "")
    assert "NOT CLEAN" in text and "on sn-03, sn-04; in a" in text
    store.closed = False
    ran = run("fsck", "--json", store=store)
    report = json.loads(ran.stdout)
    assert (ran.code, ran.stderr) == (1, "")
    assert (report["clean"], report["under"], report["findings"][0]["artifacts"]) == (False, 1, ["a"])


@pytest.mark.parametrize("verb", ["list", "nodes", "node sn-01", "events", "status", "fsck"])
def test_hostile_names_never_reach_the_terminal(store: FakeStore, verb: str) -> None:
    store.add_hostile_names()
    ran = run(*verb.split(), store=store)
    assert ran.code == 0
    text = ran.stdout.decode("utf-8")
    assert all(char == "\n" or char.isprintable() for char in text)


def test_a_table_in_a_pipe_cuts_no_name(store: FakeStore) -> None:
    names = store.add_hostile_names()
    text = run("list", store=store).stdout.decode()
    assert "n" * 1000 in text
    assert text.count("\n") == len(names) + 1
    assert "model[/red]" in text and "[$primary]x" in text


def test_hostile_names_in_json_come_back_as_they_are(store: FakeStore) -> None:
    names = store.add_hostile_names()
    rows = json.loads(run("list", "--json", store=store).stdout)
    assert sorted(row["name"] for row in rows) == sorted(names)


def test_empty_lists_say_so(store: FakeStore) -> None:
    assert run("list", store=store).stdout == b"There are no artifacts to show.\n"
    store.closed = False
    assert run("events", "--since", "999", store=store).stdout == b"There are no events to show.\n"


def test_warnings_go_to_standard_error(store: FakeStore) -> None:
    store.fail("sn-01")
    store.fail("sn-02")
    ran = run("upload", "a", "text", store=store)
    assert ran.code == 0
    assert ran.stderr.startswith("dame: warning: ") and "warning" not in ran.stdout.decode()
    store.closed = False
    ran = run("update", "a", "text", "--json", store=store)
    assert ran.stderr == ""
    assert len(json.loads(ran.stdout)["warnings"]) == 1


# --- Refusals ---------------------------------------------------------------------------------------------------


def test_usage_errors_never_connect() -> None:
    def connect(_: OnStage) -> ArtifactStore:
        raise AssertionError("a cluster was started for a command that can't be understood")

    for words in (["lst"], ["get"], ["get", "a", "--json"], ["upload", "a"], ["--json"], ["help", "nothing"]):
        assert headless.run(words, connect, nowhere()) == 2
    for words in (["help"], ["help", "get"], ["get", "--help"], ["exit"], ["quit"]):
        assert headless.run(words, connect, nowhere()) == 0


def nowhere() -> Streams:
    return Streams(io.BytesIO(), io.BytesIO(), io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("get", "a", "--output", "/tmp/never"), 1, "ArtifactNotFound"),
        (("upload", "\n", "text"), 1, "InvalidRequest"),
        (("node", "nobody"), 1, "NodeNotFound"),
        (("upload", "a", "--file", "/no/such/file"), 1, "SourceFailure"),
        (("lst",), 2, "UsageError"),
        (("upload", "a", "b", "--replication", "x"), 2, "UsageError"),
    ],
)
def test_a_refusal_is_a_sentence_or_a_document_and_an_exit_code(words: Sequence[str], code: int, kind: str) -> None:
    plain = run(*words)
    assert (plain.code, plain.stdout) == (code, b"")
    assert plain.stderr.startswith("dame: ") and plain.stderr.count("\n") == 1
    as_json = run("--json", *words)
    assert (as_json.code, as_json.stdout) == (code, b"")
    error = json.loads(as_json.stderr)["error"]
    assert (error["type"], f"dame: {error['message']}\n") == (kind, plain.stderr)
    assert isinstance(error["details"], dict)


def test_an_unreachable_cluster_is_a_failure() -> None:
    store = FakeStore()
    store.break_connection()
    assert run("list", store=store).code == 1

    def connect(_: OnStage) -> ArtifactStore:
        raise ClusterUnreachable("Nobody answers at ray://nowhere:10001.")

    assert headless.run(["list"], connect, nowhere()) == 1


def test_a_hostile_error_is_shown_harmless() -> None:
    ran = run("get", "esc\x1b[31m", "--output", "x")
    assert "\x1b" not in ran.stderr


def test_standard_output_that_is_full_is_a_failure(store: FakeStore) -> None:
    store.upload("a", b"content")
    with Path("/dev/full").open("wb", buffering=0) as full:
        stderr = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        assert headless.run(["get", "a"], lambda _: store, Streams(io.BytesIO(), full, stderr)) == 1
    assert b"No space left" in stderr.buffer.getvalue()  # type: ignore[attr-defined]


# --- The options that choose a cluster ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        ([], Options(), []),
        (["--nodes", "2", "list"], Options(nodes=2), ["list"]),
        (["list", "--nodes=2", "--json"], Options(nodes=2), ["list", "--json"]),
        (["get", "a", "--address", "auto"], Options(address="auto"), ["get", "a"]),
        (["--data-dir", "/d", "up"], Options(data_dir=Path("/d")), ["up"]),
        (["upload", "a", "--", "--nodes", "x"], Options(), ["upload", "a", "--", "--nodes", "x"]),
        (["get", "a", "--version", "2"], Options(), ["get", "a", "--version", "2"]),
    ],
)
def test_options_stand_before_or_after_the_verb(words: list[str], options: Options, rest: list[str]) -> None:
    assert take_options(words, {}) == (options, rest)


def test_the_environment_fills_in_what_the_command_line_leaves_open() -> None:
    both = {"DAME_ADDRESS": "auto", "DAME_DATA_DIR": ""}
    assert take_options(["list"], both) == (Options(address="auto"), ["list"])
    assert take_options(["list"], {"DAME_DATA_DIR": "/d"}) == (Options(data_dir=Path("/d")), ["list"])
    assert take_options(["--data-dir", "/x"], both) == (Options(data_dir=Path("/x")), [])
    assert take_options(["--address", "ray://h:1"], {"DAME_DATA_DIR": "/d"}) == (Options(address="ray://h:1"), [])


@pytest.mark.parametrize("words", [["--nodes"], ["--nodes", "0"], ["--nodes", "x"], ["--nodes", "-1"], ["--address="]])
def test_options_that_can_not_be_used(words: list[str]) -> None:
    with pytest.raises(UsageError):
        take_options(words, {})


# --- The real program --------------------------------------------------------------------------------------------


def test_noise_of_native_code_stays_out_of_standard_output() -> None:
    assert program("get", "greeting").stdout == b"hello\x00\xff"
    assert [row["name"] for row in json.loads(program("list", "--json").stdout)] == ["greeting", "large"]


def test_neither_textual_nor_ray_is_loaded_without_need() -> None:
    for words in (("list",), ("help",), ("status", "--json"), ("get", "greeting")):
        ran = program(*words, MODULES="yes")
        assert ran.code == 0
        assert ran.stderr.endswith("LOADED []")


def test_program_help_and_version() -> None:
    ran = program("--help")
    assert ran.code == 0
    assert ran.stdout.startswith(b"usage: python main.py") and b"undelete" in ran.stdout
    assert program("--version").stdout.startswith(b"dame ")


def test_the_dashboard_needs_a_terminal() -> None:
    ran = program()
    assert (ran.code, ran.stdout) == (2, b"")
    assert "terminal" in ran.stderr


def test_python_without_assertions_is_refused() -> None:
    ran = subprocess.run(
        [sys.executable, "-O", "main.py", "help"],
        cwd=ROOT,
        env=clean_environment(),
        check=False,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert b"-O" in ran.stderr


def test_a_closed_pipe_ends_it_quietly() -> None:
    with start("get", "large") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read().decode()
        assert process.wait(PATIENCE_S) == 141
    assert "Traceback" not in stderr and "dame:" not in stderr


def test_a_closed_standard_output_is_told() -> None:
    ran = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", PROGRAM, "get", "greeting"],
        cwd=ROOT,
        env=clean_environment(),
        check=False,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert ran.returncode == 1
    assert b"Standard output can't be written" in ran.stderr


def test_names_that_the_terminal_can_not_show_are_escaped() -> None:
    ran = program("upload", "世界", "text", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (ran.code, ran.stdout) == (0, b"Uploaded \\u4e16\\u754c: version 1, 4 B in 1 chunk, 3 copies each.\n")


def test_an_interrupted_wait_for_standard_input_stores_nothing() -> None:
    with start("upload", "a", "--file", "-") as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        _wait_until_read(process.stdin.fileno())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert b"cancelled; nothing was stored" in process.stderr.read()


def _wait_until_read(pipe: int) -> None:
    """Until the other side has taken everything out of the pipe, and so waits for more."""
    deadline = time.monotonic() + PATIENCE_S
    waiting = array.array("i", [1])
    while waiting[0]:
        assert time.monotonic() < deadline
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
        time.sleep(0.005)


def test_up_tells_when_it_is_ready_and_ends_well() -> None:
    for ending in (signal.SIGINT, signal.SIGTERM):
        with start("up", "--json") as process:
            assert process.stdout is not None and process.stderr is not None
            ready = json.loads(process.stdout.readline())
            assert [node["name"] for node in ready["nodes"]] == ["sn-01", "sn-02", "sn-03", "sn-04"]
            process.send_signal(ending)
            assert process.wait(PATIENCE_S) == 0
            stderr = process.stderr.read().decode()
        assert "starting the fake" in stderr and "sn-04 is up" in stderr and "ready: fake cluster" in stderr


# --- At a terminal ------------------------------------------------------------------------------------------------


class Terminal:
    """The real program at a terminal of its own, as a person sees it."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.screen = b""
        self._process, self._master = self._start(words, environment)

    def _start(self, words: Sequence[str], environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], int]:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=ROOT,
            env=clean_environment() | {"TERM": "xterm", "COLUMNS": "80"} | environment,
            stdin=slave,
            stdout=subprocess.DEVNULL,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        return process, master

    def read_until(self, wanted: bytes) -> None:
        self.screen += _wait_for(self._master, wanted)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """The exit code; what is still written meanwhile is read, or the program would wait for us."""
        reader = threading.Thread(target=self._drain)
        reader.start()
        code = self._process.wait(PATIENCE_S)
        reader.join(PATIENCE_S)
        os.close(self._master)
        return code

    def _drain(self) -> None:
        while piece := _read(self._master):
            self.screen += piece


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # a terminal whose other side is closed
        return b""


def _wait_for(descriptor: int, wanted: bytes) -> bytes:
    seen = b""
    deadline = time.monotonic() + PATIENCE_S
    while wanted not in seen:
        left_s = deadline - time.monotonic()
        assert left_s > 0 and select.select([descriptor], [], [], left_s)[0], f"{wanted!r} did not come: {seen!r}"
        piece = _read(descriptor)
        assert piece, f"{wanted!r} did not come before the end: {seen!r}"
        seen += piece
    return seen


def test_a_transfer_at_a_terminal_shows_its_progress_and_is_cancelled_by_an_interrupt(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(1_000_000))
    terminal = Terminal("upload", "b", "--file", str(source), "--chunk-size", "100000", GATE="yes")
    terminal.read_until(b"10%")
    terminal.interrupt()
    assert terminal.wait() == 130
    assert b"cancelled; nothing was stored" in terminal.screen


def test_a_cancelled_get_leaves_no_file(tmp_path: Path) -> None:
    terminal = Terminal("get", "large", "--output", str(tmp_path / "out"), GATE="yes")
    terminal.read_until(b"10%")
    terminal.interrupt()
    assert terminal.wait() == 130
    assert b"cancelled; no file was written" in terminal.screen
    assert list(tmp_path.iterdir()) == []


def test_no_progress_in_a_pipe() -> None:
    ran = program("upload", "b", "text")
    assert "%" not in ran.stderr and "\x1b" not in ran.stderr
