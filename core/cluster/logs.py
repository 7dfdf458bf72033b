"""One format for the lines that DAME's processes in the cluster write to their logs.

    2026-11-24T18:01:02.123Z WARNING namenode/12 sn-03 is down: no heartbeat for 10 s seq=51539607559 node=6f1c...

When (UTC), how bad, which part, what happened as a sentence, and the ids of what it is about as key=value. A part is
`namenode/EPOCH`, a storage node by its name, what runs beside them (`supervisor`, `checkpoints`), or what keeps Ray's
processes running on a machine (`RayServer/head`). Each event is one line; the lines of a traceback follow it,
indented. Lines name artifacts and ids; contents and tokens never get here.

They go to standard error, which Ray keeps in its log directory, in a file for each process that it started.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from core.errors import DameError
from core.model import Event

LEVEL_VARIABLE = "DAME_LOG_LEVEL"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LEVEL_DEFAULT = "INFO"

LOGGER = "dame"
"""Name of the logger above all of the library's; what follows a dot in a logger's name is the part."""

_LEVEL_OF = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_BREAKS_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BARE = re.compile(r"[^\s\"'=]+")


class LineFormatter(logging.Formatter):
    """`part`: what this process is; may be set anew when it becomes known."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        own_part = record.name.partition(".")[2]
        words = [_utc(record.created), record.levelname, own_part or self.part, record.getMessage()]
        words += [f"{key}={_value(value)}" for key, value in getattr(record, "ids", {}).items()]
        lines = [" ".join(words)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        return "\n    ".join(map(one_line, lines))


def start_logging(part: str, *others: str, stream: TextIO | None = None) -> LineFormatter:
    """Let the log lines of the library, and of the loggers with other names, go to this process' standard error, or
    to another stream. The answer names the part."""
    formatter = LineFormatter(part)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    wanted = os.environ.get(LEVEL_VARIABLE, LEVEL_DEFAULT).upper()
    for name in (LOGGER, *others):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(wanted if wanted in LEVELS else LEVEL_DEFAULT)
    if wanted not in LEVELS:
        logging.getLogger(LOGGER).warning(
            "%s=%s is no level; give one of %s", LEVEL_VARIABLE, wanted, ", ".join(LEVELS)
        )
    return formatter


def ids(**values: Any) -> Mapping[str, Mapping[str, Any]]:
    """For a logging call's `extra`: what the line is about. Empty values are left out."""
    return {"ids": {key: value for key, value in values.items() if value not in ("", None)}}


def log_event(logger: logging.Logger, event: Event) -> None:
    """One of the NameNode's events as a line."""
    about = ids(seq=event.seq, node=event.node, artifact=event.artifact)
    logger.log(_LEVEL_OF[event.severity], "%s", event.text, extra=about)


def log_failure(
    logger: logging.Logger, doing: str, error: DameError, level: int = logging.WARNING, **values: Any
) -> None:
    """A refusal of this process that an operator may have to look into."""
    logger.log(level, "%s failed: %s", doing, error.message, extra=ids(error=type(error).__name__, **values))


class LastingFailure:
    """Something tried again and again: its failure is a line once, not each time, and so is its end."""

    def __init__(self, logger: logging.Logger, doing: str) -> None:
        self._logger = logger
        self._doing = doing
        self._told = ""

    def failed(self, error: DameError, **values: Any) -> None:
        if error.message != self._told:
            self._told = error.message
            log_failure(self._logger, self._doing, error, **values)

    def over(self) -> None:
        if self._told:
            self._told = ""
            self._logger.info("%s works again", self._doing)


def one_line(text: str) -> str:
    """The text with everything escaped that would begin another line or act on a terminal."""
    return _BREAKS_A_LINE.sub(lambda found: ascii(found[0])[1:-1], text)


def _utc(time_s: float) -> str:
    milliseconds = int(time_s * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03d}Z"


def _value(value: Any) -> str:
    """Bare if nobody could take it for two words, else as a JSON string."""
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
