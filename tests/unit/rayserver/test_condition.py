"""What `health` believes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from RayServer import commands, condition
from RayServer.settings import settings_of


def test_what_was_written_is_read(tmp_path: Path) -> None:
    condition.write(tmp_path / "condition.json", True, "all is well")
    seen = condition.read(tmp_path / "condition.json")
    assert (seen.well, seen.sentence) == (True, "all is well")


@pytest.mark.parametrize("age_ms", [condition.AGE_MAX_MS + 1_000, -5_000])
def test_what_is_old_or_from_before_a_restart_is_not_believed(tmp_path: Path, age_ms: int) -> None:
    document = {"well": True, "sentence": "all is well", "time_ms": condition.now_ms() - age_ms}
    (tmp_path / "condition.json").write_text(json.dumps(document))
    seen = condition.read(tmp_path / "condition.json")
    assert seen.well and not condition.believed(seen).well


def test_health_is_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_of({"DAME_RUN_DIR": str(tmp_path)})
    assert commands.health(settings) == commands.FAILED
    for role in ("head", "storage"):
        (tmp_path / role).mkdir()
    condition.write(tmp_path / "head" / condition.FILE_NAME, True, "the NameNode answers")
    assert commands.health(settings) == commands.DONE
    condition.write(tmp_path / "storage" / condition.FILE_NAME, False, "storage node sn-01 is down")
    assert commands.health(settings) == commands.FAILED
    assert "storage: storage node sn-01 is down" in capsys.readouterr().out
