"""Keeping Ray's processes running, with small programs in their place."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.token_file import make_token
from RayServer import condition, keeper, processes
from RayServer.keeper import Keeper
from RayServer.raystart import HEAD, STORAGE, Part
from RayServer.settings import settings_of

Start = Callable[..., Keeper]


class Programs:
    """What is started in the place of Ray and of the attendant; each start is a line in a file."""

    def __init__(self, directory: Path) -> None:
        self.started = directory / "started"
        self.started.touch()
        self.ray = "time.sleep(600)"
        self.attendant = "time.sleep(600)"

    def words(self, what: str, code: str) -> list[str]:
        """Noted here and not by the program: of two, the second may be the first to run."""
        with self.started.open("a") as started:
            started.write(f"{what}\n")
        return [sys.executable, "-c", f"import sys, time; {code}"]

    def starts(self, what: str) -> int:
        return self.started.read_text().split().count(what)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs(tmp_path)
    begin = processes.start

    def start(words: list[str], environment: dict[str, str], output: int) -> object:
        what, code = ("attendant", programs.attendant) if "attend" in words else ("ray", programs.ray)
        return begin(programs.words(what, code), environment, output)

    monkeypatch.setattr(keeper.processes, "start", start)
    monkeypatch.setattr(keeper.processes, "reap", lambda _: None)  # this process has children of its own
    monkeypatch.setattr(keeper.processes, "end_descendants", lambda _: None)
    return programs


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    keepers = []

    def start(part: Part, port: int = 1) -> Keeper:
        settings = settings_of(
            {
                "DAME_HEAD": f"127.0.0.1:{port}",
                "RAY_AUTH_TOKEN_PATH": str(tmp_path / "auth_token"),
                "RAY_TMPDIR": str(tmp_path),
            }
        )
        keepers.append(Keeper(part, settings, {}, tmp_path))
        return keepers[-1]

    yield start
    for one in keepers:
        one.stop()


def _step_until(one: Keeper, done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline_s
        one.step()
        time.sleep(0.02)


def test_nothing_is_started_without_a_token(programs: Programs, start: Start, tmp_path: Path) -> None:
    head = start(HEAD)
    head.step()
    assert programs.starts("ray") == 0
    assert "waiting for the token" in condition.read(tmp_path / condition.FILE_NAME).sentence
    make_token(tmp_path / "auth_token")
    _step_until(head, lambda: programs.starts("attendant") == 1)
    assert programs.starts("ray") == 1


def test_a_machine_joins_when_there_is_a_head(programs: Programs, start: Start, tmp_path: Path) -> None:
    make_token(tmp_path / "auth_token")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        storage = start(STORAGE, listener.getsockname()[1])
        storage.step()
        assert programs.starts("ray") == 0
        assert "waiting for the head" in condition.read(tmp_path / condition.FILE_NAME).sentence
        listener.listen()
        _step_until(storage, lambda: programs.starts("ray") == 1)


def test_what_ends_is_started_again(programs: Programs, start: Start, tmp_path: Path) -> None:
    make_token(tmp_path / "auth_token")
    programs.ray = f"sys.exit(1) if open({str(programs.started)!r}).read().count('ray') < 3 else time.sleep(600)"
    programs.attendant = "sys.exit(1)"
    head = start(HEAD)
    _step_until(head, lambda: programs.starts("ray") == 3)
    assert not condition.read(tmp_path / condition.FILE_NAME).well
    before = programs.starts("attendant")
    _step_until(head, lambda: programs.starts("attendant") >= before + 2)
    assert programs.starts("ray") == 3, "an attendant that ends is no matter of Ray's"


def test_ray_that_belongs_to_another_head_is_started_anew(programs: Programs, start: Start, tmp_path: Path) -> None:
    make_token(tmp_path / "auth_token")
    programs.attendant = f"sys.exit({condition.STALE})"
    head = start(HEAD)
    _step_until(head, lambda: programs.starts("ray") == 2)


def test_ray_that_ends_at_once_is_started_less_and_less_often(
    programs: Programs, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_token(tmp_path / "auth_token")
    waits: list[float] = []
    monkeypatch.setattr(keeper, "BACKOFF_FIRST_S", 0.05)
    programs.ray = "sys.exit(1)"
    programs.attendant = "sys.exit(1)"
    head = start(HEAD)
    for count in (1, 2, 3, 4, 5):
        begun_s = time.monotonic()
        _step_until(head, lambda count=count: programs.starts("ray") == count)  # type: ignore[misc]
        waits.append(time.monotonic() - begun_s)
    assert waits[4] > 0.4, waits


def test_a_keeper_that_stops_leaves_nothing(programs: Programs, start: Start, tmp_path: Path) -> None:
    make_token(tmp_path / "auth_token")
    head = start(HEAD)
    _step_until(head, lambda: programs.starts("attendant") == 1)
    head.stop()
    assert not (tmp_path / condition.FILE_NAME).exists()
