"""Storage directories shared out among replicas."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from RayServer.claim import claim, number_of


@contextmanager
def held_elsewhere(directory: Path) -> Iterator[None]:
    """Another process holds the directory until it is killed."""
    code = "import sys, pathlib, core.directory as d; d.lock_directory(pathlib.Path(sys.argv[1])); print(); input()"
    directory.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def test_replicas_without_numbers_take_the_first_free_directories(tmp_path: Path) -> None:
    first, second = claim(tmp_path / "root", None), claim(tmp_path / "root", None)
    assert (first.directory.name, second.directory.name) == ("replica-1", "replica-2")
    first.lock.release()
    third = claim(tmp_path / "root", None)
    assert third.directory.name == "replica-1", "one that exists comes before a new one"
    second.lock.release()
    third.lock.release()


def test_a_number_is_preferred_also_to_a_free_directory_of_another(tmp_path: Path) -> None:
    (tmp_path / "replica-1").mkdir()
    claimed = claim(tmp_path, 4)
    assert claimed.directory == tmp_path / "replica-4"
    claimed.lock.release()


def test_a_number_that_is_held_makes_do_with_another(tmp_path: Path) -> None:
    (tmp_path / "replica-7").mkdir()
    with held_elsewhere(tmp_path / "replica-4"):
        claimed = claim(tmp_path, 4)
        assert claimed.directory == tmp_path / "replica-7"
        claimed.lock.release()
    claimed = claim(tmp_path, 4)
    assert claimed.directory == tmp_path / "replica-4", "its holder was killed"
    claimed.lock.release()


def test_new_numbers_are_the_lowest(tmp_path: Path) -> None:
    held = [claim(tmp_path, number) for number in (1, 3)]
    held.append(claim(tmp_path, None))
    assert held[-1].directory.name == "replica-2"
    for claimed in held:
        claimed.lock.release()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("dame-storage-4", 4),
        ("dame_storage_12", 12),
        ("0a1b2c_dame_storage_3", 3),
        ("head", None),
        ("dame-storage-0", None),
        ("storage", None),
        ("storage-", None),
    ],
)
def test_a_container_s_number_is_the_end_of_its_name(name: str, number: int | None) -> None:
    assert number_of(name) == number
