"""The cluster's token, which every process must show: made on the head's first start, never logged, never on a command
line."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from core.directory import directory_failure, make_directory, sync_directory

TOKEN_BYTES = 32


def make_token(path: Path) -> bool:
    """Write a new token unless there is one. True if it was made. Raises DirectoryFailure.

    It appears whole or not at all, and one that is there is never replaced.
    """
    try:
        if path.exists() and path.stat().st_size:
            return False
        make_directory(path.parent)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, secrets.token_hex(TOKEN_BYTES).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise directory_failure(path.parent, error) from error
    return True


def has_token(path: Path) -> bool:
    """Whether there is one. Raises DirectoryFailure if it can't be read."""
    try:
        return bool(path.read_bytes().strip())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise directory_failure(path, error) from error
