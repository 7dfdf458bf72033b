"""Notes in the NameNode's directory of broken invariants, and of ends without a word (core/namenode/request_note.py):
a process that starts after one knows of it.

A process whose state may be half changed ends; the next one starts from what is on disk. When the same thing ends that
one, too, again and again, the next must do less: it comes up read-only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path

from core.config import Config
from core.directory import write_durably
from core.namenode.words import seconds

FILE_NAME = "crashes"
NOTES_MAX = 50
"""Notes that are kept: what makes it read-only, and one more for each method at which it may end then."""
TEXT_MAX = 300
"""Characters of an assertion's text that are kept."""
SILENT = "its process ended without a word: a library crashed, memory ran out, or somebody killed it"


@dataclass(frozen=True)
class Crash:
    """A broken invariant; or, `silent`, a process that ended while it answered this method, `only_reading` or not."""

    time_ms: int
    method: str
    text: str
    silent: bool = False
    only_reading: bool = False


def note(directory: Path, crash: Crash) -> None:
    """Add a note, durably; the oldest ones make room. Raises OSError."""
    kept = [*read(directory), replace(crash, text=crash.text[:TEXT_MAX])][-NOTES_MAX:]
    _write(directory, kept)


def forget(directory: Path) -> None:
    """Remove all notes. Raises OSError."""
    (directory / FILE_NAME).unlink(missing_ok=True)


def read(directory: Path) -> list[Crash]:
    """The notes, oldest first. What can't be read or understood is no note: it must not keep the NameNode from
    starting."""
    try:
        lines = (directory / FILE_NAME).read_bytes().splitlines()
    except OSError:
        return []
    return [crash for line in lines if (crash := _parsed(line)) is not None]


def settle(directory: Path, now_ms: int) -> list[Crash]:
    """The notes, oldest first. Those from the future, of a clock that has stepped back since, are made notes of now, on
    the disk too: else they would be new at every start. Raises OSError."""
    found = read(directory)
    settled = [replace(crash, time_ms=min(crash.time_ms, now_ms)) for crash in found]
    if settled != found:
        _write(directory, settled)
    return settled


def _write(directory: Path, kept: Sequence[Crash]) -> None:
    lines = "".join(json.dumps(asdict(each)) + "\n" for each in kept)
    write_durably(directory / FILE_NAME, lines.encode())


def _parsed(line: bytes) -> Crash | None:
    try:
        crash = Crash(**json.loads(line))
    except (ValueError, TypeError):
        return None
    kinds = (
        (crash.time_ms, int),
        (crash.method, str),
        (crash.text, str),
        (crash.silent, bool),
        (crash.only_reading, bool),
    )
    return crash if all(isinstance(value, kind) for value, kind in kinds) else None


@dataclass(frozen=True)
class ReadOnlyMode:
    """What a NameNode that failed too often does instead of failing once more."""

    reason: str
    """As a sentence for callers."""
    until_ms: int
    deadly: frozenset[str]
    """Methods that are not even tried: one that only read ended at them without a word, too."""


def read_only_mode(crashes: Sequence[Crash], now_ms: int, config: Config) -> ReadOnlyMode | None:
    """How to start after these crashes; None for as usual. Notes from the future, of a clock that has stepped back
    since, count as made now. Silent ones count half: they may be somebody's kill."""
    settled = (replace(crash, time_ms=min(crash.time_ms, now_ms)) for crash in crashes)
    recent = [crash for crash in settled if now_ms - crash.time_ms < config.crash_window_ms]
    newest_first = sorted(recent, key=lambda crash: crash.time_ms, reverse=True)
    weights = accumulate(1 if crash.silent else 2 for crash in newest_first)
    enough = (crash for crash, weight in zip(newest_first, weights, strict=True) if weight >= 2 * config.crashes_max)
    if (first_that_counts := next(enough, None)) is None:
        return None
    last = crashes[-1]
    return ReadOnlyMode(
        f"The NameNode failed {len(recent)} times within {seconds(config.crash_window_ms)}, last at `{last.method}`"
        f" ({last.text}), so it only reads: nothing is stored, deleted or copied. It takes changes again by itself when"
        f" {seconds(config.crash_window_ms)} have passed, or at once after `resume`. Please report this.",
        first_that_counts.time_ms + config.crash_window_ms,
        frozenset(crash.method for crash in recent if crash.only_reading),
    )
