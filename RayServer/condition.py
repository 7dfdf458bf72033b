"""What a machine's attendant saw last and when: written each second, read by `health`."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "condition.json"

AGE_MAX_MS = 15_000
"""An attendant writes each second, and a question to the NameNode takes up to 5 s."""

STALE = 75
"""Exit code of an attendant whose head has been replaced by another."""


@dataclass(frozen=True)
class Condition:
    """Soft state of one machine."""

    well: bool
    """Whether it does its work."""
    sentence: str
    time_ms: int = 0
    """Milliseconds since this machine started, which no change of its clock moves."""


def now_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def write(path: Path, well: bool, sentence: str) -> None:
    """Raises OSError. It matters only while the machine runs, so that it need not reach a disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(asdict(Condition(well, sentence, now_ms()))))
    temporary.rename(path)


def read(path: Path) -> Condition:
    """What was seen last. Raises OSError, ValueError, TypeError."""
    return Condition(**json.loads(path.read_bytes()))


def believed(condition: Condition) -> Condition:
    """Not well if it was seen too long ago: whoever looks may have stopped looking."""
    age_ms = now_ms() - condition.time_ms
    if 0 <= age_ms <= AGE_MAX_MS:
        return condition
    return Condition(False, f"nothing was heard for {age_ms // 1000} s; last: {condition.sentence}")
