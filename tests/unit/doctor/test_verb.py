"""`doctor` as a person and a script meet it, where no cluster can be reached."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.cluster.examine import inside
from main import main


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unconnected: None) -> Iterator[None]:
    """A home of its own, with a token in it; and no cluster is started or left behind."""
    for name in list(os.environ):
        if name.startswith(("DAME_", "RAY_AUTH_TOKEN")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    (tmp_path / "home" / ".ray").mkdir(parents=True)
    token = tmp_path / "home" / ".ray" / "auth_token"
    token.touch(0o600)
    token.write_text("secret-of-this-test")
    yield
    assert not inside()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody answers."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"ray://127.0.0.1:{unused.getsockname()[1]}"


def test_a_directory_in_which_no_cluster_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-dir", str(tmp_path / "dame"), "doctor"]) == 0
    told = capfd.readouterr()
    assert "No process runs the cluster embedded in" in told.out and "dame: " not in told.err
    assert not (tmp_path / "dame").exists(), "nothing is started, nothing made"


def test_a_cluster_that_can_not_be_reached(nobody: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--address", nobody, "--json"]) == 1
    told = capfd.readouterr().out
    report = json.loads(told)
    assert (report["verdict"], report["problems"]) == ("problem", 2)
    assert [finding["check"] for finding in report["findings"][:2]] == ["cluster", "ports"]
    assert "connection refused" in report["findings"][0]["seen"] and report["findings"][0]["advice"]
    assert "secret-of-this-test" not in told


def test_a_token_that_ray_would_end_the_process_for(
    nobody: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/none/at/all")
    assert main(["doctor", "--address", nobody]) == 1
    told = capfd.readouterr().out
    assert "The token /none/at/all is not there." in told
    assert "There is no token to show" in told
