"""The door of DAME: `python main.py` opens the dashboard, `python main.py VERB ...` runs one verb."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NoReturn

from core import ArtifactStore, connect
from core.checkpoint.restore import Restored, restore_catalog
from core.doctor.finding import DoctorReport
from core.errors import UsageError
from tui import headless

USAGE = """\
usage: python main.py [--address ADDR] [--data-dir DIR] [--nodes N] [VERB ...]

Without a VERB, the dashboard opens.

  --address ADDR  auto, HOST:PORT or ray://HOST:10001; none for an embedded cluster (default $DAME_ADDRESS)
  --data-dir DIR  directory of the embedded cluster, which is started or joined (default $DAME_DATA_DIR)
  --nodes N       storage nodes of a new embedded cluster (default 4)
  --version       print the version
"""


@dataclass(frozen=True)
class Options:
    """Which cluster is meant."""

    address: str | None = None
    data_dir: Path | None = None
    nodes: int | None = None

    def connect(self, on_stage: headless.OnStage) -> ArtifactStore:
        return connect(self.address, data_dir=self.data_dir, nodes=self.nodes, on_stage=on_stage)

    def restore_catalog(self, storage: Sequence[Path], older: bool) -> Restored:
        if self.address is not None:
            raise UsageError(
                "restore-catalog works on directories of this machine, not on an address; drop --address, or unset"
                " DAME_ADDRESS."
            )
        return restore_catalog(self.data_dir, storage, older)

    def examine(self) -> DoctorReport:
        from core.doctor.examination import examine  # imports ray, which other verbs need not wait for

        return examine(self.address, self.data_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the answer is the exit code: 0 done, 1 refused or failed, 2 usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not __debug__:
        sys.stderr.write("dame: assertions guard the stored data; start Python without -O and PYTHONOPTIMIZE.\n")
        return headless.MISUSED
    try:
        options, words = take_options(words, os.environ)
        if words:
            return _run_verb(options, words)
        return _open_dashboard(options)
    except UsageError as error:
        headless.complain(error, sys.stderr, "--json" in words)
        return headless.MISUSED


def take_options(words: Sequence[str], environment: Mapping[str, str]) -> tuple[Options, list[str]]:
    """Part the options that choose a cluster, wherever they stand, from the words of the verb. Raises UsageError.

    What the command line says of the cluster makes the environment's word about it void.
    """
    end = words.index("--") if "--" in words else len(words)
    given, rest = _ClusterOptions().parse_known_args(words[:end])
    for name in ("address", "data_dir", "nodes"):
        if getattr(given, name) == "":
            raise UsageError(f"--{name.replace('_', '-')} needs a value; `--help` shows how to write it.")
    if given.address is None and given.data_dir is None:
        given.address = environment.get("DAME_ADDRESS") or None
        given.data_dir = environment.get("DAME_DATA_DIR") or None
    data_dir = Path(given.data_dir) if given.data_dir else None
    return Options(given.address, data_dir, _number_of_nodes(given.nodes)), [*rest, *words[end:]]


class _ClusterOptions(argparse.ArgumentParser):
    """The options before the verb; argparse says that a value is missing, we say it in our words."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        for flag in ("--address", "--data-dir", "--nodes"):
            self.add_argument(flag)

    def error(self, message: str) -> NoReturn:
        flag = message.removeprefix("argument ").partition(":")[0]
        raise UsageError(f"{flag} needs a value; `--help` shows how to write it.")


def _number_of_nodes(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise UsageError(f"--nodes must be a whole number from 1 on, not {text!r}.")
    return int(text)


def _open_dashboard(options: Options) -> int:
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
        raise UsageError("The dashboard needs a terminal; name a verb instead, such as `status`, or see `--help`.")
    from tui.app import run_dashboard  # Textual takes a quarter of a second that verbs need not spend

    return run_dashboard(options.address, options.data_dir, options.nodes)


def _run_verb(options: Options, words: Sequence[str]) -> int:
    with _private_stdout() as stdout:
        if list(words) == ["--version"]:
            stdout.write(f"dame {_version()}\n".encode())
            stdout.flush()
            return headless.DONE
        if list(words) in (["--help"], ["-h"]):
            stdout.write(f"{USAGE}\nVerbs:\n".encode())
        stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
        streams = headless.Streams(FileIO(0, closefd=False), stdout, stderr)
        return headless.run(words, options.connect, streams, options.restore_catalog, options.examine)


@contextmanager
def _private_stdout() -> Iterator[BinaryIO]:
    """Standard output for answers alone: what anything else writes to it, also native code, goes to standard error."""
    for descriptor, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        _occupy(descriptor, flags)
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        yield stdout
    finally:
        with suppress(OSError):  # all was flushed, or its failure was told
            stdout.close()


def _occupy(descriptor: int, flags: int) -> None:
    """Put something in place of a descriptor that the caller closed, or the next file opened would be taken for it.

    The flags make input and output fail there as they would on a closed one.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, flags)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _version() -> str:
    try:
        return metadata.version("dame")
    except metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
