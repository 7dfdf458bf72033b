"""What a process was doing when it ended without a word is known to the next."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.namenode.request_note import FILE_NAME, WIDTH_BYTES, RequestNote
from core.namenode.service import METHODS

KILLED_AT_COMMIT = """
import os, signal, sys
from pathlib import Path
from core.namenode.request_note import RequestNote
note = RequestNote(Path(sys.argv[1]))
with note.during("status"):
    pass
with note.during("commit"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_method_at_which_a_process_was_killed_is_known_once(tmp_path: Path) -> None:
    assert RequestNote(tmp_path).take() == ""
    done = subprocess.run([sys.executable, "-c", KILLED_AT_COMMIT, str(tmp_path)], check=False)
    assert done.returncode == -9
    note = RequestNote(tmp_path)
    assert (note.take(), note.take()) == ("commit", "")


def test_one_that_was_answered_or_refused_is_nothing(tmp_path: Path) -> None:
    note = RequestNote(tmp_path)
    with note.during("status"):
        assert (tmp_path / FILE_NAME).read_bytes().strip() == b"status"
    with pytest.raises(KeyError), note.during("commit"):
        raise KeyError
    assert RequestNote(tmp_path).take() == ""


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_room_in_a_line_of_fixed_width(tmp_path: Path, method: str) -> None:
    with RequestNote(tmp_path).during(method):
        assert (tmp_path / FILE_NAME).stat().st_size == WIDTH_BYTES
        assert RequestNote(tmp_path).take() == method


@pytest.mark.parametrize("content", [b"", b"\0" * WIDTH_BYTES, b" " * 3])
def test_a_file_that_a_power_cut_left_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert RequestNote(tmp_path).take() == ""


def test_a_disk_that_is_full_is_said_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    note = RequestNote(tmp_path)
    with caplog.at_level(logging.WARNING, "dame"):
        for _ in range(3):
            with note.during("status"):
                pass
    assert [record.message for record in caplog.records] == [
        "which request is being answered can't be noted: [Errno 28] No space left on device"
    ]
