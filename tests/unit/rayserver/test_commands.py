"""What the entry point refuses before it starts anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import ConfigurationFailure, DirectoryInUse
from RayServer import commands
from RayServer.settings import settings_of


def test_a_run_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of({"DAME_RUN_DIR": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")})
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    for command in (commands.head, lambda settings: commands.run(settings, ["list"])):
        with pytest.raises(ConfigurationFailure, match="DAME_RUN_DIR"):
            command(settings)


def test_one_machine_is_one_head_only(tmp_path: Path) -> None:
    settings = settings_of({"DAME_RUN_DIR": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")})
    (tmp_path / "head").mkdir()
    lock = commands.lock_directory(tmp_path / "head")
    with pytest.raises(DirectoryInUse):
        commands.head(settings)
    lock.release()
