"""What storage directories hold, read without any process that runs on them: identities, manifests, chunks."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from core.checkpoint import manifest as manifests
from core.checkpoint.manifest import Manifest
from core.directory import directory_failure, lock_directory
from core.errors import DirectoryFailure
from core.model import ChunkKey
from core.storagenode import identity
from core.storagenode.chunkfile import HEADER_BYTES
from core.storagenode.chunkstore import read_replica

_CHUNK_ID = re.compile(r"[0-9a-f]{64}")

_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


@dataclass
class Scan:
    """What a set of storage directories holds."""

    directories: list[Path]
    cluster_id: str = ""
    epoch_max: int = 0
    """The highest epoch of a NameNode that any of them has heard of."""
    node_ids: set[str] = field(default_factory=set)
    manifests: list[Manifest] = field(default_factory=list)
    """Each once, the newest checkpoint first."""
    chunks: dict[str, int] = field(default_factory=dict)
    """Payload bytes by chunk, from the names and sizes of the files; their hashes are not checked."""
    damaged: list[str] = field(default_factory=list)
    """Sentences about what could not be read."""

    def chunk(self, key: ChunkKey) -> bytes | None:
        """The bytes of a chunk, with the right hash, from the first directory that has it so."""
        for directory in self.directories:
            data = read_replica(directory, key.id)
            if data is not None and len(data) == key.size_bytes and blake3(data).hexdigest() == key.id:
                return data
        return None


def storage_directories(paths: Iterable[Path]) -> list[Path]:
    """The directories of storage nodes among these paths: each is one, or holds some as `slot-N` or, the root of
    several replicas, as `replica-N/slot-N`.

    Raises DirectoryFailure for a path with none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        patterns = (f"slot-*/{identity.FILE_NAME}", f"replica-*/slot-*/{identity.FILE_NAME}")
        slots = sorted(slot for pattern in patterns for slot in path.glob(pattern))
        here = [path] if (path / identity.FILE_NAME).exists() else [slot.parent for slot in slots]
        if not here:
            raise DirectoryFailure(
                f"{path} is not the directory of a storage node: there is no {identity.FILE_NAME} in it nor in a slot-N"
                " under it. Name one that is.",
                directory=str(path),
            )
        found.update(dict.fromkeys(directory.resolve() for directory in here))
    return list(found)


@contextmanager
def held(directories: Iterable[Path]) -> Iterator[None]:
    """Nobody else opens these directories meanwhile. Raises DirectoryInUse, DirectoryFailure.

    One that can't be written from here (a read-only mount) is not held: nobody can run a node on it through this mount.
    """
    with ExitStack() as locks:
        for directory in directories:
            try:
                locks.callback(lock_directory(directory).release)
            except DirectoryFailure as failure:
                if getattr(failure.__cause__, "errno", None) not in _READ_ONLY:
                    raise
        yield


def scan(directories: Sequence[Path]) -> Scan:
    """Read all of them. Raises DirectoryFailure if they belong to several clusters, if they can't be read, or if
    a later DAME wrote a manifest: an older checkpoint is not to be taken because this DAME is old."""
    result = Scan(list(directories))
    clusters: dict[str, Path] = {}
    found: dict[Manifest, None] = {}
    for directory in directories:
        _identify(directory, result, clusters)
        try:
            found.update(dict.fromkeys(_manifests_in(directory, result, clusters)))
            for chunk_id, size_bytes in _chunks_in(directory):
                result.chunks.setdefault(chunk_id, size_bytes)
        except OSError as error:
            raise directory_failure(directory, error) from error
    if len(clusters) > 1:
        whose = ", ".join(f"{path} of {cluster_id}" for cluster_id, path in clusters.items())
        raise DirectoryFailure(f"These storage directories belong to several clusters: {whose}. Name those of one.")
    result.cluster_id = next(iter(clusters), "")
    result.manifests = sorted(found, key=lambda manifest: manifest.age_key, reverse=True)
    return result


def _identify(directory: Path, result: Scan, clusters: dict[str, Path]) -> None:
    try:
        who = identity.load(directory)
    except DirectoryFailure as failure:
        result.damaged.append(failure.message)
        return
    if who is not None and who.cluster_id:
        result.node_ids.add(who.node_id)
        clusters.setdefault(who.cluster_id, directory)
        result.epoch_max = max(result.epoch_max, who.epoch)


def _manifests_in(directory: Path, result: Scan, clusters: dict[str, Path]) -> Iterator[Manifest]:
    for path in manifests.files(directory):
        try:
            content = path.read_bytes() if path.stat().st_size <= manifests.SIZE_BYTES_MAX else b""
            manifest = manifests.decode(content)
        except manifests.NewerFormat as error:
            raise DirectoryFailure(
                f"The checkpoint's manifest {path} can't be read: {error}. Use the release of DAME that wrote it, or a"
                " newer one.",
                directory=str(directory),
            ) from error
        except ValueError as error:
            result.damaged.append(f"{path} is no manifest of a checkpoint: {error}.")
        except OSError as error:
            result.damaged.append(f"{path} can't be read: {error.strerror or error}.")
        else:
            clusters.setdefault(manifest.cluster_id, directory)
            result.epoch_max = max(result.epoch_max, manifest.epoch)
            yield manifest


def _chunks_in(directory: Path) -> Iterator[tuple[str, int]]:
    chunks = directory / "chunks"
    for folder in sorted(chunks.iterdir()) if chunks.is_dir() else ():
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if _CHUNK_ID.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    yield entry.name, max(0, entry.stat(follow_symlinks=False).st_size - HEADER_BYTES)
