"""Whether a cluster has all it should: as it says itself, and as its disks say past it."""

from __future__ import annotations

import random
from pathlib import Path

from blake3 import blake3

from core.storagenode.chunkstore import read_replica
from core.store import ArtifactStore

KIB = 1024
MIB = 1024 * KIB


def content(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def is_whole(store: ArtifactStore) -> bool:
    status = store.status()
    return status.nodes["up"] == 4 and status.under_replicated == status.missing == status.healing == 0


def has_all_copies(store: ArtifactStore, name: str) -> bool:
    """Three each; others may have left artifacts in the shared cluster that want more than the nodes that are up."""
    return all(len(chunk.replicas) == 3 for chunk in store.info(name).chunks)


def replica_files(storage: Path, chunk_id: str) -> list[Path]:
    """What lies at the places of a chunk's replicas, under `storage/slot-N/`."""
    return sorted(storage.glob(f"slot-*/chunks/*/{chunk_id}"))


def good_files(storage: Path, chunk_id: str) -> list[Path]:
    """The files that hold the chunk's very bytes under a header that fits."""
    return [path for path in replica_files(storage, chunk_id) if _holds(path, chunk_id)]


def _holds(path: Path, chunk_id: str) -> bool:
    data = read_replica(path.parents[2], chunk_id)
    return data is not None and blake3(data).hexdigest() == chunk_id
