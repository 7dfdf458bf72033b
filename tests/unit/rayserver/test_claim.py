"""Storage directories shared out among replicas."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from RayServer.claim import Claim, claim, container_name, number_of, own_address, slots


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
    for number in (1, 4):
        (tmp_path / f"replica-{number}").mkdir()
    claimed = claim(tmp_path, 4)
    assert claimed.directory == tmp_path / "replica-4"
    claimed.lock.release()


@pytest.mark.parametrize("left_over", [False, True])
def test_the_successor_of_a_container_that_was_removed_takes_its_directory(tmp_path: Path, left_over: bool) -> None:
    put_replica(tmp_path / "replica-2")
    if left_over:  # by another container of this number, which never held anything
        (tmp_path / "replica-4" / "slot-0").mkdir(parents=True)
    with held_elsewhere(tmp_path / "replica-1"):
        claimed = claim(tmp_path, 4, patience_s=0)
        assert claimed.directory == tmp_path / "replica-2"
        claimed.lock.release()


def test_a_new_number_leaves_a_directory_to_the_one_whose_own_it_is(tmp_path: Path) -> None:
    put_replica(tmp_path / "replica-1")
    owners: list[Claim] = []
    owner = threading.Timer(0.3, lambda: owners.append(claim(tmp_path, 1)))
    owner.start()
    claimed = claim(tmp_path, 4, patience_s=2)
    owner.join()
    assert (owners[0].directory.name, claimed.directory.name) == ("replica-1", "replica-4")
    for each in (*owners, claimed):
        each.lock.release()


def put_replica(directory: Path) -> None:
    folder = directory / "slot-0" / "chunks" / "ab"
    folder.mkdir(parents=True)
    (folder / ("ab" * 32)).touch()


def test_a_new_number_waits_for_nobody_where_all_directories_are_held(tmp_path: Path) -> None:
    put_replica(tmp_path / "replica-1")
    with held_elsewhere(tmp_path / "replica-1"):
        claimed = claim(tmp_path, 2, patience_s=600)
        assert claimed.directory == tmp_path / "replica-2"
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


def test_a_root_that_holds_a_storage_node_already_is_claimed_itself(tmp_path: Path) -> None:
    (tmp_path / "slot-0").mkdir()
    first, second = claim(tmp_path, 2), claim(tmp_path, 2)
    assert (first.directory, second.directory) == (tmp_path, tmp_path / "replica-2")
    first.lock.release()
    second.lock.release()


def test_slots_are_offered_up_to_the_highest_that_is_there(tmp_path: Path) -> None:
    assert slots(tmp_path) == slots(tmp_path / "none") == 1
    for name in ("slot-0", "slot-2", "slot-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "slot-7").touch()
    assert slots(tmp_path) == 3


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


@pytest.fixture
def getent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program in the place of `getent`."""

    def put(body: str) -> None:
        program = tmp_path / "getent"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return put


def test_a_container_s_name_is_asked_of_the_dns_alone(getent: Callable[[str], None]) -> None:
    getent('[ "$*" = "-s dns hosts 192.0.2.4" ] && echo "192.0.2.4       dame-storage-4.dame_default"')
    assert container_name("192.0.2.4") == "dame-storage-4"


def test_a_dns_that_does_not_know_yet_is_asked_again(getent: Callable[[str], None], tmp_path: Path) -> None:
    getent(f'echo x >> {tmp_path}/asked; [ "$(wc -l < {tmp_path}/asked)" -gt 2 ] && echo "192.0.2.4 storage-4.net"')
    assert container_name("192.0.2.4") == "storage-4"


def test_a_dns_that_never_knows_is_given_up(getent: Callable[[str], None]) -> None:
    getent("exit 2")
    assert container_name("192.0.2.4", patience_s=0.1) is None


def test_there_is_no_address_towards_a_host_that_is_not_there() -> None:
    assert own_address("127.0.0.1", 1) == "127.0.0.1"
    assert own_address("no-such-host.invalid", 1) is None
