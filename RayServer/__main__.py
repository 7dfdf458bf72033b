"""`python -m RayServer COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from core.cluster.logs import start_logging
from core.errors import DameError
from RayServer import commands
from RayServer.settings import settings_of

FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the answer is the exit code."""
    own, words = split_run(sys.argv[1:] if arguments is None else arguments)
    given = _parser().parse_args(own)
    start_logging(f"RayServer/{given.role if given.command == 'attend' else given.command}", "RayServer")
    for flag, variable in (("head", "DAME_HEAD"), ("root", "DAME_STORAGE_DIR")):
        if value := getattr(given, flag, None):
            os.environ[variable] = value
    try:
        settings = settings_of()
        if given.command == "attend":
            from RayServer.attendant import attend  # Ray, which only this process needs

            return attend(given.role, given.condition, given.directory, settings)
        if given.command == "run":
            return commands.run(settings, words)
        return {"head": commands.head, "storage": commands.storage, "health": commands.health}[given.command](settings)
    except DameError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED


def split_run(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is this program's own, and the words behind `run`, which are main.py's whatever they look like: argparse
    would refuse an option among them that stands before the verb."""
    if list(arguments[:1]) != ["run"] or list(arguments[1:2]) in (["-h"], ["--help"]):
        return list(arguments), []
    end = 1
    while end < len(arguments) and arguments[end].partition("=")[0] == "--head":
        end += 1 if "=" in arguments[end] else 2
    return list(arguments[:end]), list(arguments[end:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m RayServer", description="A machine's part in a DAME cluster.")
    commands_ = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands_.add_parser("head", help="be the head: the NameNode, and the ports that machines and clients come to")
    storage = commands_.add_parser("storage", help="be a storage node of the cluster at --head")
    storage.add_argument("--head", metavar="HOST:PORT", help="where the head is (default $DAME_HEAD)")
    storage.add_argument(
        "--directory", dest="root", metavar="DIR", help="where chunks are kept (default $DAME_STORAGE_DIR)"
    )
    run = commands_.add_parser("run", help="join the cluster for one verb, or for the dashboard without one")
    run.add_argument("--head", metavar="HOST:PORT", help="where the head is (default $DAME_HEAD)")
    run.add_argument("words", nargs="*", metavar="WORDS", help="as main.py understands them")
    commands_.add_parser("health", help="exit 0 only if this machine does its work")
    attendant = commands_.add_parser("attend")
    attendant.add_argument("role")
    attendant.add_argument("condition", type=Path)
    attendant.add_argument("directory", type=Path, nargs="?")
    return parser


if __name__ == "__main__":
    sys.exit(main())
