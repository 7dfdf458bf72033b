"""Artifacts, versions and their chunks, as users of the library see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.model.words import Health


@dataclass(frozen=True)
class Version:
    """One immutable version of an artifact."""

    name: str
    version: int
    size_bytes: int
    chunks: int
    chunk_size_bytes: int
    replication: int
    digest: str
    created_ms: int
    warnings: tuple[str, ...] = ()
    """Sentences about what was acknowledged with less than was asked for; only in the answer to upload and update."""


@dataclass(frozen=True)
class Artifact:
    """A row of `list`: the newest version of a live artifact."""

    name: str
    version: int
    size_bytes: int
    chunks: int
    replication: int
    health: Health
    digest: str
    modified_ms: int


@dataclass(frozen=True)
class ChunkInfo:
    """One chunk of a version, and where its good replicas are."""

    index: int
    id: str
    size_bytes: int
    replicas: tuple[str, ...]
    """Ids of the storage nodes, up or suspect, that hold a replica."""


@dataclass(frozen=True)
class ArtifactInfo:
    """All about one version of an artifact."""

    name: str
    version: int
    size_bytes: int
    replication: int
    health: Health
    digest: str
    chunk_size_bytes: int
    created_ms: int
    versions: int
    """How many versions the artifact has."""
    chunks: tuple[ChunkInfo, ...]
    newest: int = 0
    """Number of its newest version."""
    keep_versions: int = 0
    """How many of the newest are kept; older ones are removed. 0 for all."""


@dataclass(frozen=True)
class TrashedArtifact:
    """A row of `trash`: an artifact that was deleted and can be undeleted."""

    name: str
    version: int
    """Its newest."""
    versions: int
    size_bytes: int
    """Of all its versions together."""
    deleted_ms: int
    purge_ms: int
    """When it is removed for good."""


@dataclass(frozen=True)
class Progress:
    """How far a transfer is."""

    done_bytes: int
    total_bytes: int | None
    """None while the source's size is unknown (a pipe)."""
    sent_bytes: int
    """Part of done_bytes that had to be moved; the rest was stored already."""
    stage: Literal["starting", "transferring", "committing", "done"]


@dataclass(frozen=True)
class Steps:
    """How far something is that takes long and moves no content."""

    doing: str
    """What is being done, in a few words."""
    done: int
    total: int
    """0 while it is not known."""
