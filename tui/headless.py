"""One verb without the screen: what `python main.py VERB ...` does.

Answers go to standard output and nothing else does; errors, warnings, progress and start-up stages go to standard
error.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as ProgressBar

from core.checkpoint.restore import Restored, restore_catalog
from core.config import Config
from core.doctor.finding import DoctorReport, summary
from core.errors import Cancelled, DameError, OutputFailure, UsageError
from core.model import Progress, Steps
from core.store import ArtifactStore
from core.verbs import Context, Invocation, Result, parse, to_json
from core.verbs.restoring import restored_text
from tui.printing import render
from tui.text import safe

DONE = 0
FAILED = 1
MISUSED = 2
INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE

PIPE_WIDTH = 10_000
"""Columns of a table that nobody's eyes limit: no name is cut."""

UP_CHECK_S = 5.0
"""How often `up` looks whether the cluster still answers."""

POLL_S = 0.1
"""How often a wait for standard input looks whether the transfer was cancelled."""

OnStage = Callable[[str], None]
Connect = Callable[[OnStage], ArtifactStore]
Restore = Callable[[Sequence[Path], bool], Restored]
Examine = Callable[[], DoctorReport]


@dataclass(frozen=True)
class Streams:
    """Where a verb reads and writes."""

    stdin: BinaryIO
    stdout: BinaryIO
    stderr: TextIO


def run(
    words: Sequence[str],
    connect: Connect,
    streams: Streams,
    restore: Restore = lambda storage, older: restore_catalog(None, storage, older),
    examine: Examine | None = None,
) -> int:
    """Do what the words say; the answer is the exit code.

    connect: opens the store; called only for verbs that need one, after the words are understood.
    restore: puts a checkpoint in the place of the cluster's lost catalog, from its own and these storage directories;
        the second argument is whether it may be an older one than directories that were not named may have.
    examine: the doctor's visit to the cluster that is meant.
    """
    try:
        invocation = parse(words)
    except UsageError as error:
        complain(error, streams.stderr, "--json" in words)
        return MISUSED
    try:
        if invocation.verb.name == "restore-catalog":
            return _restore_catalog(invocation, restore, streams)
        if invocation.verb.name == "doctor":
            assert examine is not None, "whoever knows which cluster is meant passes it"
            return _doctor(invocation, examine, streams)
        return _ROUTES.get(invocation.verb.name, _run)(invocation, connect, streams)
    except Cancelled:
        return _interrupted(streams.stderr, _cancelled(invocation))
    except DameError as error:
        complain(error, streams.stderr, invocation.json)
        return MISUSED if isinstance(error, UsageError) else FAILED
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _interrupted(streams.stderr, "interrupted")


def complain(error: DameError, stderr: TextIO, as_json: bool = False) -> None:
    """Tell what went wrong."""
    if as_json:
        facts = {"type": type(error).__name__, "message": error.message, "details": error.details}
        text = json.dumps({"error": facts}, default=str)
    else:
        text = f"dame: {safe(error.message)}"
    _tell(stderr, text)


def _run(invocation: Invocation, connect: Connect, streams: Streams) -> int:
    if not invocation.verb.needs_store:
        _answer(invocation.run(None), invocation.json, streams)
        return DONE
    with _store(connect, streams.stderr) as store:
        result = _run_with(store, invocation, streams)
        _answer(result, invocation.json, streams)
    return FAILED if result.failed else DONE


def _run_with(store: ArtifactStore, invocation: Invocation, streams: Streams) -> Result:
    cancel = threading.Event()
    context = Context(store, _interruptible(streams.stdin, cancel), streams.stdout, cancel=cancel)
    if invocation.verb.lasts:
        context.attended = streams.stdout.isatty() and not invocation.json
        with _cancelled_by_interrupt(cancel), _steps_bar(streams) as context.steps:
            return invocation.run(context)
    if not invocation.verb.transfers:
        return invocation.run(context)
    with _cancelled_by_interrupt(cancel), _progress_bar(invocation, streams) as context.progress, _stdout_failures():
        return invocation.run(context)


def _up(invocation: Invocation, connect: Connect, streams: Streams) -> int:
    """Keep a cluster running until somebody ends it."""
    stop = threading.Event()
    connected = connect(lambda stage: _tell(streams.stderr, safe(stage)))
    with connected as store, _handling(lambda *_: stop.set(), signal.SIGINT, signal.SIGTERM):
        _announce(store, invocation.json, streams)
        while not stop.wait(UP_CHECK_S):
            _keep_up(store, streams.stderr)
    return DONE


def _keep_up(store: ArtifactStore, stderr: TextIO) -> None:
    """Ray itself may be killed under us; who runs the cluster is the one to start it again."""
    try:
        store.reconnect()
    except DameError as error:
        _tell(stderr, safe(f"{error.message} The next attempt follows."))


def _announce(store: ArtifactStore, as_json: bool, streams: Streams) -> None:
    nodes = store.nodes()
    for node in nodes:
        _tell(streams.stderr, safe(f"{node.name} is {node.state}, {node.directory}"))
    _tell(streams.stderr, safe(f"ready: {store.description}; Ctrl-C ends it"))
    if as_json:
        _write_json({"address": store.description, "nodes": to_json(nodes)}, streams.stdout)
        streams.stdout.flush()


def _restore_catalog(invocation: Invocation, restore: Restore, streams: Streams) -> int:
    given = invocation.arguments
    restored = restore([Path(text).expanduser() for text in given.storage], given.older)
    text = restored_text(restored, Config.from_environment())
    _answer(Result("text", restored, text), invocation.json, streams)
    return DONE


def _doctor(invocation: Invocation, examine: Examine, streams: Streams) -> int:
    found = examine()
    _answer(Result("doctor", found, summary(found)), invocation.json, streams)
    return FAILED if found.problems else DONE


def _exit(_invocation: Invocation, _connect: Connect, _streams: Streams) -> int:
    """There is nothing to leave."""
    return DONE


_ROUTES: Mapping[str, Callable[[Invocation, Connect, Streams], int]] = {"up": _up, "exit": _exit}
"""Verbs that are not the store's business."""


@contextmanager
def _store(connect: Connect, stderr: TextIO) -> Iterator[ArtifactStore]:
    with _stages(stderr) as on_stage:
        store = connect(on_stage)
    with store:
        yield store


# --- Answers ----------------------------------------------------------------------------------------------------


def _answer(result: Result, as_json: bool, streams: Streams) -> None:
    with _stdout_failures():
        if result.kind != "none":
            _write_json(result.value, streams.stdout) if as_json else _draw(result, streams.stdout)
        streams.stdout.flush()
    for warning in () if as_json else result.warnings:
        _tell(streams.stderr, f"dame: warning: {safe(warning)}")


def _write_json(value: Any, stdout: BinaryIO) -> None:
    stdout.write(json.dumps(to_json(value)).encode("ascii") + b"\n")


def _draw(result: Result, stdout: BinaryIO) -> None:
    text = io.TextIOWrapper(stdout, encoding=_encoding(), errors="backslashreplace", write_through=True)
    try:
        console = Console(file=text, highlight=False, markup=False, emoji=False)
        if not console.is_terminal:
            console = Console(file=text, width=PIPE_WIDTH, no_color=True, highlight=False, markup=False, emoji=False)
        console.print(render(result, now_ms=time.time_ns() // 1_000_000))
    finally:
        text.detach()  # or it would close standard output when it goes


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


@contextmanager
def _stdout_failures() -> Iterator[None]:
    """The library turns the system's errors into its own; one that still gets here is of standard output."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailure(f"Standard output can't be written: {error.strerror or error}.") from error


# --- A person at a terminal -------------------------------------------------------------------------------------


def _tell(stderr: TextIO, text: str) -> None:
    line = text.encode(stderr.encoding or "utf-8", "backslashreplace").decode(stderr.encoding or "utf-8")
    stderr.write(f"{line}\n")
    stderr.flush()


def _cancelled(invocation: Invocation) -> str:
    if invocation.verb.lasts:
        return "cancelled; what was begun goes on"
    if invocation.verb.mutates:
        return "cancelled; nothing was stored"
    return (
        "cancelled; the output is not complete"
        if invocation.arguments.output is None
        else "cancelled; no file was written"
    )


def _interrupted(stderr: TextIO, text: str) -> int:
    _tell(stderr, f"dame: {text}")
    return INTERRUPTED


@contextmanager
def _stages(stderr: TextIO) -> Iterator[OnStage]:
    """A line that shows the stage of the start-up and goes away; nothing where nobody watches."""
    if not stderr.isatty():
        yield lambda _: None
        return
    with Console(file=stderr, markup=False, highlight=False).status("connecting") as status:
        yield lambda stage: status.update(safe(stage))


@contextmanager
def _progress_bar(invocation: Invocation, streams: Streams) -> Iterator[Callable[[Progress], None] | None]:
    """Shows a transfer on standard error, unless nobody watches or the content itself goes to the same terminal."""
    to_terminal = invocation.verb.name == "get" and invocation.arguments.output is None and streams.stdout.isatty()
    if to_terminal or not streams.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with ProgressBar(*columns, console=Console(file=streams.stderr), transient=True) as bar:
        task = bar.add_task(safe(invocation.arguments.name)[:40], total=None)
        yield lambda progress: bar.update(task, completed=progress.done_bytes, total=progress.total_bytes)


@contextmanager
def _steps_bar(streams: Streams) -> Iterator[Callable[[Steps], None] | None]:
    """Shows how far a verb is on standard error, unless nobody watches."""
    if not streams.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=Console(file=streams.stderr), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda steps: bar.update(
            task, description=safe(steps.doing), completed=steps.done, total=steps.total or None
        )


@contextmanager
def _cancelled_by_interrupt(cancel: threading.Event) -> Iterator[None]:
    """The first Ctrl-C asks the transfer to clean up and end; the second one ends it at once."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    with _handling(interrupt, signal.SIGINT):
        yield


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None], *signals: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _interruptible(stream: BinaryIO, cancel: threading.Event) -> BinaryIO:
    """The same input, whose reads end when the transfer is cancelled; what is in memory never waits."""
    try:
        return io.BufferedReader(_Input(stream.fileno(), cancel))
    except io.UnsupportedOperation:
        return stream


class _Input(io.RawIOBase):
    """A file descriptor that stops waiting when the transfer is cancelled; a plain read would sleep on."""

    def __init__(self, descriptor: int, cancel: threading.Event) -> None:
        self._descriptor = descriptor
        self._cancel = cancel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not select.select([self._descriptor], [], [], POLL_S)[0]:
            if self._cancel.is_set():
                raise Cancelled("The transfer was cancelled while it waited for standard input; nothing was stored.")
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)
