"""Ray's token, which every process of a cluster must show, in its file: made once, never logged, closed to others.

Ray would make one itself for a cluster on this machine alone, and let every user of the machine read it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from core.directory import directory_failure, make_directory, sync_directory, write_durably

TOKEN_BYTES = 32
SECRET_MODE = 0o600


def default_token_file() -> Path:
    """Where Ray looks for it unless RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH is set."""
    return Path.home() / ".ray" / "auth_token"


def make_token(path: Path) -> bool:
    """Write a new token unless there is one. True if it was made. Raises DirectoryFailure.

    It appears whole or not at all, and one that is there is never replaced, whoever else makes one at the same moment.
    """
    try:
        if path.exists() and path.stat().st_size:
            return False
        make_directory(path.parent)
        own = path.with_name(f".{path.name}.{os.getpid()}")
        write_durably(own, secrets.token_hex(TOKEN_BYTES).encode(), SECRET_MODE)
        try:
            if path.exists():  # an empty one
                own.replace(path)
            else:
                os.link(own, path)
        except FileExistsError:
            return False
        finally:
            own.unlink(missing_ok=True)
            sync_directory(path.parent)
    except OSError as error:
        raise directory_failure(path.parent, error) from error
    return True


def ensure_token() -> None:
    """Make this home's token, if there is none, unless the environment names another. Raises DirectoryFailure."""
    if not (os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")):
        make_token(default_token_file())


def has_token(path: Path) -> bool:
    """Whether there is one. Raises DirectoryFailure if it can't be read."""
    try:
        return bool(path.read_bytes().strip())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise directory_failure(path, error) from error
