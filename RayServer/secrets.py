"""The cluster's secrets lie in one directory: the token, and with TLS the authority that signs certificates."""

from __future__ import annotations

from pathlib import Path

AUTHORITY = "ca.crt"
AUTHORITY_KEY = "ca.key"


def has_authority(directory: Path) -> bool:
    """Whether the head has made it; the key is written last."""
    return (directory / AUTHORITY_KEY).exists()
