"""Who a storage directory is. It lies on the disk beside the chunks, so a node outlives its processes and its host."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from core.directory import directory_failure, write_durably
from core.errors import DirectoryFailure

T = TypeVar("T", int, str)

FILE_NAME = "identity.json"
FORMAT = 1
"""Of identity.json and of everything else in the directory; raised when an older DAME could not use it."""


@dataclass(frozen=True)
class Identity:
    """Hard state of a storage node."""

    node_id: str
    cluster_id: str = ""
    """Empty until the node has joined a cluster; never changes after."""
    name: str = ""
    """As the NameNode told it last; for sentences only."""
    epoch: int = 0
    """The highest of any NameNode heard of. Orders of a lower one are not obeyed."""


def load(directory: Path) -> Identity | None:
    """None if there is no identity yet. Raises DirectoryFailure if there is one that can't be used."""
    path = directory / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise directory_failure(directory, error) from error
    return _parse(path, content)


def identity_of(directory: Path, new_id: Callable[[], str], holds_replicas: Callable[[Path], bool]) -> Identity:
    """The identity on the disk; a new one, written down, if the directory holds nothing yet.

    Raises DirectoryFailure.
    """
    identity = load(directory)
    if identity is not None:
        return identity
    try:
        if holds_replicas(directory):
            raise DirectoryFailure(
                f"{directory} holds chunks but no {FILE_NAME}, so it is not known whose they are; "
                "restore the file or give another directory.",
                directory=str(directory),
            )
        identity = Identity(new_id())
        save(directory, identity)
    except OSError as error:
        raise directory_failure(directory, error) from error
    return identity


def save(directory: Path, identity: Identity) -> None:
    """Replace the identity durably. Raises OSError."""
    document = json.dumps({"format": FORMAT, **asdict(identity)}, indent=2)
    write_durably(directory / FILE_NAME, document.encode() + b"\n")


def _parse(path: Path, content: bytes) -> Identity:
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise TypeError("not an object")
        if _typed(document, "format", int) > FORMAT:
            raise DirectoryFailure(
                f"{path.parent} was made by a newer DAME (format {document['format']}, this one knows {FORMAT}); "
                "upgrade.",
                directory=str(path.parent),
            )
        return Identity(
            _typed(document, "node_id", str),
            _typed(document, "cluster_id", str),
            _typed(document, "name", str),
            _typed(document, "epoch", int),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DirectoryFailure(
            f"{path} can't be understood ({error}), so it is not known whose chunks these are; "
            "restore the file or give another directory.",
            directory=str(path.parent),
        ) from error


def _typed(document: dict[str, object], key: str, kind: type[T]) -> T:
    value = document[key]
    if type(value) is not kind:
        raise TypeError(f"{key} is {value!r}")
    return value
