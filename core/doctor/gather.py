"""Facts that can be gathered without a cluster: this process, its token, the head's ports, directories here."""

from __future__ import annotations

import json
import os
import platform
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from core.directory import is_in_use
from core.doctor.facts import Directory, Port, ProcessFacts, Space, Token, TokenState
from core.errors import DirectoryFailure
from core.host import host_name
from core.namenode.schema import FILE_NAME as CATALOG_NAME
from core.protocol import PROTOCOL_VERSION, RELEASE
from core.storagenode import identity

SHARED_MEMORY = Path("/dev/shm")
KNOCK_TIMEOUT_S = 2.0

GCS_PORT, CLIENT_PORT, DASHBOARD_PORT = 6379, 10001, 8265
"""Ray's own defaults."""


def process_facts(ray_version: str, directory: Path | None = None, ray_node_id: str = "") -> ProcessFacts:
    """This process, whichever it is."""
    return ProcessFacts(
        host=host_name(),
        python=platform.python_version(),
        ray=ray_version,
        release=RELEASE,
        protocol=PROTOCOL_VERSION,
        clock_ms=wall_ms(),
        shared_memory=space(SHARED_MEMORY),
        disk=space(directory) if directory is not None else None,
        directory=str(directory or ""),
        ray_node_id=ray_node_id,
    )


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def space(path: Path) -> Space | None:
    """What is free for this user on the file system of a path; None if it can't be told."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


# --- The token --------------------------------------------------------------------------------------------------


def token_facts(environment: Mapping[str, str], home: Path) -> Token:
    """Where Ray would find its token: the variable, else the file that is named, else the one in the home directory."""
    mode = environment.get("RAY_AUTH_MODE", "token").lower()
    if environment.get("RAY_AUTH_TOKEN"):
        return Token(mode, "RAY_AUTH_TOKEN", "there", named=True)
    named = environment.get("RAY_AUTH_TOKEN_PATH", "")
    path = Path(named) if named else home / ".ray" / "auth_token"
    state, permissions = _token_file(path)
    return Token(mode, str(path), state, bool(named), permissions)


def _token_file(path: Path) -> tuple[TokenState, int | None]:
    try:
        permissions = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return "missing", None
    except OSError:
        return "unreadable", None
    try:
        return "there" if path.read_bytes().strip() else "empty", permissions
    except OSError:
        return "unreadable", permissions


# --- Ports ------------------------------------------------------------------------------------------------------


def head_ports(address: str, embedded: bool = False) -> tuple[Port, ...]:
    """What there may be to knock at. address: `ray://HOST:PORT` or `HOST:PORT`; any other names no port."""
    by_client = address.startswith("ray://")
    host, _, number = address.removeprefix("ray://").rpartition(":")
    if not number.isdecimal():
        return ()
    what = "Ray client" if by_client else "Ray's GCS"
    named = Port(what, host, int(number), needed=True)
    if embedded:
        return (named,)
    other = Port("Ray's GCS", host, GCS_PORT, False) if by_client else Port("Ray client", host, CLIENT_PORT, False)
    return named, other, Port("Ray's dashboard", host, DASHBOARD_PORT, needed=False)


def knocked(ports: Iterable[Port]) -> tuple[Port, ...]:
    """The ports, each with the trouble there is with it."""
    asked = tuple(ports)
    if not asked:
        return ()
    with ThreadPoolExecutor(len(asked)) as pool:
        return tuple(pool.map(_knocked, asked))


def _knocked(port: Port) -> Port:
    try:
        socket.create_connection((port.host, port.port), KNOCK_TIMEOUT_S).close()
        return port
    except TimeoutError:
        trouble = f"no answer within {KNOCK_TIMEOUT_S:.0f} s"
    except OSError as error:
        trouble = (error.strerror or str(error)).lower()
    return Port(port.what, port.host, port.port, port.needed, trouble)


# --- Directories ------------------------------------------------------------------------------------------------


def directories(namenode: Path | None, storage_root: Path | None) -> tuple[Directory, ...]:
    """The catalog's directory and those of storage nodes under a root, as far as they are there."""
    found = []
    if namenode is not None and (namenode / CATALOG_NAME).exists():
        found.append(_catalog(namenode))
    if storage_root is not None:
        found += [_storage(path) for path in _slots(storage_root)]
    return tuple(found)


def _slots(root: Path) -> Iterator[Path]:
    """`slot-N` under the root, or under a directory of each of several Ray nodes that share it."""
    for pattern in ("slot-*", "*/slot-*"):
        yield from sorted(path for path in root.glob(pattern) if (path / identity.FILE_NAME).exists())


def _catalog(path: Path) -> Directory:
    facts = _facts_in(path / CATALOG_NAME)
    cluster_id, epoch = facts.get("cluster_id", ""), int(facts.get("epoch", 0))
    return Directory(str(path), "namenode", cluster_id, "", _in_use(path), space(path), epoch=epoch)


def _facts_in(catalog: Path) -> dict[str, str]:
    """Empty if it can't be read now: another check tells of that."""
    try:
        with closing(sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return dict(connection.execute("SELECT key, value FROM facts").fetchall())
    except sqlite3.Error:
        return {}


def _storage(path: Path) -> Directory:
    try:
        known = identity.load(path)
    except DirectoryFailure as failure:
        return Directory(str(path), "storage", "", "", _in_use(path), space(path), str(failure))
    node_id, cluster_id, epoch = (known.node_id, known.cluster_id, known.epoch) if known else ("", "", 0)
    return Directory(str(path), "storage", cluster_id, node_id, _in_use(path), space(path), epoch=epoch)


def _in_use(path: Path) -> bool:
    """A directory that can't be looked into counts as in use: nothing is to be said of it."""
    try:
        return is_in_use(path)
    except OSError:
        return True


def running_session(run: Path) -> str | None:
    """The address of the embedded cluster that a process runs; empty while it is starting; None if none runs."""
    if not _in_use(run):
        return None
    try:
        return str(json.loads((run / "session.json").read_bytes())["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
