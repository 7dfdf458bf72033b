"""DAME as its user runs it: processes of their own, driven by their command line, killed without warning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def eventually(condition: Callable[[], Any], timeout_s: float = 120.0, every_s: float = 0.1) -> Any:
    """Wait until the condition answers with something true, and answer with that."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {condition}"
        time.sleep(every_s)


def dame(
    *words: str, data_dir: Path | None = None, stdin: bytes | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run one verb to its end."""
    where = ["--data-dir", str(data_dir)] if data_dir is not None else []
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *where, *words],
        input=stdin if stdin is not None else b"",
        capture_output=True,
        env={**os.environ, **(environment or {})},
        timeout=180,
        check=False,
    )


def dame_json(*words: str, data_dir: Path | None = None, environment: dict[str, str] | None = None) -> Any:
    """Run one verb with --json and read what it says. It must succeed."""
    done = dame(*words, "--json", data_dir=data_dir, environment=environment)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def fetch(name: str, *options: str, data_dir: Path | None = None, environment: dict[str, str] | None = None) -> bytes:
    """The content that `get` writes to its standard output. It must succeed."""
    done = dame("get", name, *options, data_dir=data_dir, environment=environment)
    assert done.returncode == 0, f"get {name} exited with {done.returncode}: {done.stderr.decode()}"
    return done.stdout


def assert_same(content: bytes, expected: bytes) -> None:
    """Compare contents too long to be shown: by their lengths, and by where they part."""
    if content != expected:
        short = min(len(content), len(expected))
        parts_at = next((index for index in range(short) if content[index] != expected[index]), short)
        raise AssertionError(f"{len(content)} bytes instead of {len(expected)}; they part at byte {parts_at}")


class Up:
    """`main.py up` in the background."""

    def __init__(self, data_dir: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "main.py"), "--data-dir", str(data_dir), *options, "up", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1].decode()
        self.ready = json.loads(line)

    def stop(self) -> int:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self._ended()

    def kill(self) -> int:
        """As the kernel does when memory runs out."""
        self.process.kill()
        return self._ended()

    def _ended(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode


class Loader:
    """`tests.integration.loader` in the background, at work on a cluster until `finish`."""

    def __init__(self, where: Path | str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.loader", str(where)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def finish(self) -> Any:
        """What happened, once all that was stored is verified. Nothing may be lost."""
        assert self.process.poll() is None, "it worked until now"
        said, complaints = self.process.communicate(timeout=200)
        assert self.process.returncode == 0, said.decode() + complaints.decode()
        return json.loads(said)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def namenode_pid(data_dir: Path) -> int:
    """The NameNode of an embedded cluster, or the last one while there is none."""
    return int((data_dir / "namenode" / "lock").read_text())


def processes_using(directory: Path) -> list[int]:
    """Ids of processes that have a file under the directory open."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            opened = [str(link.readlink()) for link in (process / "fd").iterdir()]
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        if any(path.startswith(str(directory)) for path in opened):
            found.append(int(process.name))
    return found


def child_of(parent: int, program: str) -> int:
    """The id of the parent's child that runs this program."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _parent_and_program(process) == (parent, program):
            return int(process.name)
    raise AssertionError(f"process {parent} has no child that runs {program}")


def _parent_and_program(process: Path) -> tuple[int, str]:
    try:
        after_name = (process / "stat").read_text().rpartition(")")[2].split()
        command = (process / "cmdline").read_bytes().split(b"\0")[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        return 0, ""
    return int(after_name[1]), Path(command).name
