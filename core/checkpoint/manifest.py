"""What it takes to put a checkpoint together, and how that is written down.

A manifest is a JSON document with the hash of its own content, since nothing else vouches for it: what a torn or rotten
one says must not be taken for the newest checkpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from core.model import ChunkKey

FORMAT = 1

EPOCH_MARGIN = 1_000
"""Added to the highest epoch that is found when a catalog is restored: a storage directory that is not at hand may have
met later NameNodes, and would not obey one with an epoch below theirs."""

SIZE_BYTES_MAX = 16 * 1024 * 1024
"""Of a manifest: enough for a catalog of 200 GB in chunks of 1 MiB."""


@dataclass(frozen=True)
class Manifest:
    """One checkpoint of the catalog."""

    cluster_id: str
    epoch: int
    """Of the NameNode whose catalog it is."""
    edits: int
    """How many edits had been applied to it."""
    time_ms: int
    """When the copy was taken."""
    size_bytes: int
    digest: str
    """BLAKE3 hash of the whole copy."""
    chunks: tuple[ChunkKey, ...]

    @property
    def age_key(self) -> tuple[int, int, int]:
        """Greater for a newer checkpoint. The epoch leads: a catalog that was restored counts edits anew."""
        return (self.epoch, self.edits, self.time_ms)


def encode(manifest: Manifest) -> bytes:
    facts = {"format": FORMAT, **asdict(manifest)}
    facts["chunks"] = [[chunk.id, chunk.size_bytes] for chunk in manifest.chunks]
    return _canonical({**facts, "check": _check(facts)}) + b"\n"


class NewerFormat(ValueError):
    """It is sound, and a later release of DAME wrote it."""


def decode(content: bytes) -> Manifest:
    """Raises ValueError, saying what is wrong with it; NewerFormat if that is this DAME's age."""
    try:
        facts = json.loads(content)
        if not isinstance(facts, dict) or facts.pop("check") != _check(facts):
            raise ValueError("it is damaged")
        if (version := facts.pop("format")) != FORMAT:
            kind = NewerFormat if version > FORMAT else ValueError
            raise kind(f"it has format {version}, and this DAME reads format {FORMAT}")
        chunks = tuple(ChunkKey(str(chunk_id), int(size_bytes)) for chunk_id, size_bytes in facts.pop("chunks"))
        return Manifest(**facts, chunks=chunks)
    except (KeyError, TypeError, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError("it is damaged") from error


def _check(facts: dict[str, Any]) -> str:
    return blake3(_canonical(facts)).hexdigest()


def _canonical(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


# --- On a storage node's disk -----------------------------------------------------------------------------------

FOLDER = "checkpoints"
"""Under a storage node's directory."""

_FILE_NAME = re.compile(r"\d{12}-\d{15}-\d{15}\.json")


def file_name(manifest: Manifest) -> str:
    """Sorted by name, the newest checkpoint is the last."""
    return f"{manifest.epoch:012d}-{manifest.edits:015d}-{manifest.time_ms:015d}.json"


def before_restore(found: Sequence[Path]) -> list[Path]:
    """Of the manifests in a directory, newest first, those of the time before the last restore that they tell of."""
    epochs = [int(path.name.partition("-")[0]) for path in found]
    jumps = [place for place in range(1, len(found)) if epochs[place - 1] - epochs[place] > EPOCH_MARGIN]
    return list(found[jumps[0] :]) if jumps else []


def files(directory: Path) -> list[Path]:
    """The manifests in a storage node's directory, newest first; none of them read yet. Raises OSError."""
    try:
        found = [path for path in (directory / FOLDER).iterdir() if _FILE_NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda path: path.name, reverse=True)
