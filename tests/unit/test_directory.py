"""Holding a data directory, and small files that survive a crash."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.directory import lock_directory, make_directory, numbered, write_durably
from core.errors import DirectoryFailure


def test_a_second_opener_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    with pytest.raises(DirectoryFailure, match=rf"{tmp_path} is in use by another process \(pid {os.getpid()}\)"):
        lock_directory(tmp_path)
    lock.release()
    lock.release()
    lock_directory(tmp_path).release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from core.directory import lock_directory\n"
        "lock = lock_directory(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read(1); os._exit(9)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(DirectoryFailure, match=rf"\(pid {owner.pid}\)"):
            lock_directory(tmp_path)
        owner.communicate("x")
    lock_directory(tmp_path).release()


def test_a_refusal_names_the_owner_only_if_the_file_tells(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    (tmp_path / "lock").write_text("garbage")
    with pytest.raises(DirectoryFailure, match="in use by another process;"):
        lock_directory(tmp_path)
    lock.release()


def test_a_filesystem_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(DirectoryFailure, match="No locks available"):
        lock_directory(tmp_path)


def test_a_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DirectoryFailure, match=str(path)):
            make_directory(path)


def test_a_file_is_synced_before_its_name_and_its_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def recorded_fsync(descriptor: int) -> None:
        steps.append("fsync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync file")  # noqa: PTH112
        fsync(descriptor)

    def recorded_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "rename", recorded_rename)
    write_durably(tmp_path / "file", b"new")
    assert steps == ["fsync file", "rename", "fsync directory"]


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    write_durably(tmp_path / "file", b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space"):
            write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    write_durably(tmp_path / "file", b"newer")
    assert (tmp_path / "file").read_bytes() == b"newer"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_only_numbered_directories_have_numbers(tmp_path: Path) -> None:
    for name in ("slot-0", "slot-10", "slot-2", "slot-x", "slot-", "slot--1", "replica-7"):
        (tmp_path / name).mkdir()
    (tmp_path / "slot-3").touch()
    assert numbered(tmp_path, "slot") == [0, 2, 10]
    assert numbered(tmp_path / "missing", "slot") == []
