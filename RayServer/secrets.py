"""The cluster's secrets, in one directory: the token, which every process must show, and with TLS the authority that
signs certificates. Made on the head's first start, never logged, never on a command line."""

from __future__ import annotations

import secrets
from pathlib import Path

from core.directory import directory_failure, make_directory, write_durably

TOKEN_BYTES = 32
SECRET_MODE = 0o600
AUTHORITY = "ca.crt"
AUTHORITY_KEY = "ca.key"


def make_token(path: Path) -> bool:
    """Write a new token unless there is one. True if it was made. Raises DirectoryFailure.

    It appears whole or not at all, and one that is there is never replaced.
    """
    try:
        if path.exists() and path.stat().st_size:
            return False
        make_directory(path.parent)
        write_durably(path, secrets.token_hex(TOKEN_BYTES).encode(), SECRET_MODE)
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


def has_authority(directory: Path) -> bool:
    """Whether the head has made it; the key is written last."""
    return (directory / AUTHORITY_KEY).exists()
