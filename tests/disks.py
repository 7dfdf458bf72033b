"""Small disks for tests that fill them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[None]:
    """A file system of this size, where this user may mount one; else the test is skipped.

    A process of its own mounts it and takes it down when this one ends, however it ends: left behind by a killed run,
    it would keep later runs from clearing the directory away.
    """
    path.mkdir(parents=True)
    keep = 'mount -t tmpfs -o "size=$1" dame-test "$2" 2>&1 && echo mounted && cat && umount --lazy "$2"'
    keeper = subprocess.Popen(
        ["sh", "-c", keep, "sh", str(size_bytes), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        answer = keeper.stdout.readline().strip()
        if answer != "mounted":
            pytest.skip(f"needs the right to mount a file system: {answer}")
        yield
        keeper.stdin.close()
        assert keeper.wait() == 0
