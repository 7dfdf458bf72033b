"""Log lines: one for each event, whatever is in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from io import StringIO

import pytest

from core.cluster.logs import LEVEL_VARIABLE, LastingFailure, LineFormatter, ids, log_event, log_failure, start_logging
from core.errors import DiskFull, Unavailable
from core.model import Event

WHEN = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


Lines = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """What this process wrote to its standard error since the last time, without the times."""
    loggers = [logging.getLogger(name) for name in ("dame", "RayServer")]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    yield lambda: [WHEN.sub("", line) for line in capsys.readouterr().err.splitlines()]
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_a_line_says_when_how_bad_which_part_what_and_of_what(lines: Lines) -> None:
    start_logging("sn-3")
    record = logging.LogRecord("dame", logging.WARNING, "", 0, "%s is %s", ("the disk", "full"), None)
    record.created, record.__dict__["ids"] = 1_700_000_000.0409, {"chunk": "ab12", "artifact": "a b"}
    formatted = LineFormatter("sn-3").format(record)
    assert formatted == '2023-11-14T22:13:20.040Z WARNING sn-3 the disk is full chunk=ab12 artifact="a b"'


def test_an_event_of_the_namenode_is_one_line_with_its_ids(lines: Lines) -> None:
    start_logging("namenode").part = "namenode/7"
    log_event(logging.getLogger("dame"), Event(9, 0, "error", "chunks are lost", node="n-1", artifact="x\ny\u2028=z"))
    log_event(logging.getLogger("dame"), Event(10, 0, "info", "healing started"))
    assert lines() == [
        'ERROR namenode/7 chunks are lost seq=9 node=n-1 artifact="x\\ny\\u2028=z"',
        "INFO namenode/7 healing started seq=10",
    ]


def test_a_part_of_its_own_is_named_by_the_logger(lines: Lines) -> None:
    start_logging("namenode/7")
    logging.getLogger("dame.supervisor").info("starting", extra=ids(endpoint="storage-1", nothing=""))
    assert lines() == ["INFO supervisor starting endpoint=storage-1"]


def test_nothing_breaks_a_line_or_acts_on_a_terminal(lines: Lines) -> None:
    start_logging("sn-1")
    logging.getLogger("dame").error("a\nb\r\x1b[31m\x85\ud800é")
    assert lines() == ["ERROR sn-1 a\\nb\\r\\x1b[31m\\x85\\ud800é"]


def test_a_traceback_follows_its_line_indented(lines: Lines) -> None:
    start_logging("sn-1")
    try:
        raise ValueError("2023-11-14T22:13:20.040Z ERROR sn-9 a lie\nsecond")
    except ValueError:
        logging.getLogger("dame").critical("it failed", exc_info=True)
    first, *rest = lines()
    assert first == "CRITICAL sn-1 it failed"
    assert rest and all(line.startswith("    ") for line in rest)


def test_failures_carry_their_kind_and_what_they_are_about(lines: Lines) -> None:
    start_logging("sn-1")
    log_failure(logging.getLogger("dame"), "store of a chunk", DiskFull("no room"), chunk="ab")
    assert lines() == ["WARNING sn-1 store of a chunk failed: no room error=DiskFull chunk=ab"]


def test_what_fails_again_and_again_is_told_once_and_so_is_its_end(lines: Lines) -> None:
    start_logging("sn-1")
    failure = LastingFailure(logging.getLogger("dame"), "the heartbeat")
    failure.over()
    for _ in range(3):
        failure.failed(Unavailable("no answer"))
    failure.failed(Unavailable("another reason"))
    failure.over()
    failure.over()
    failure.failed(Unavailable("no answer"))
    assert lines() == [
        "WARNING sn-1 the heartbeat failed: no answer error=Unavailable",
        "WARNING sn-1 the heartbeat failed: another reason error=Unavailable",
        "INFO sn-1 the heartbeat works again",
        "WARNING sn-1 the heartbeat failed: no answer error=Unavailable",
    ]


def test_other_loggers_of_a_process_can_write_the_same_lines_and_elsewhere(lines: Lines) -> None:
    written = StringIO()
    start_logging("RayServer/run", "RayServer", stream=written)
    logging.getLogger("RayServer").info("waiting for the head")
    logging.getLogger("dame").warning("it does not answer")
    assert lines() == []
    assert [WHEN.sub("", line) for line in written.getvalue().splitlines()] == [
        "INFO RayServer/run waiting for the head",
        "WARNING RayServer/run it does not answer",
    ]


@pytest.mark.parametrize(("level", "shown"), [("debug", 2), ("INFO", 1), ("warning", 0), ("loud", 1)])
def test_the_level_is_the_environments(lines: Lines, monkeypatch: pytest.MonkeyPatch, level: str, shown: int) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    start_logging("sn-1")
    logger = logging.getLogger("dame")
    logger.debug("fine detail")
    logger.info("all is well")
    written = lines()
    assert sum("detail" in line or "well" in line for line in written) == shown
    assert any("is no level" in line for line in written) == (level == "loud")
