"""Whether a cluster has all it should."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.cluster.launch import log_directory
from core.store import ArtifactStore
from tests.integration.processes import eventually

KIB = 1024
MIB = 1024 * KIB


def content(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def is_whole(store: ArtifactStore) -> bool:
    status = store.status()
    return status.nodes["up"] == 4 and status.under_replicated == status.missing == status.healing == 0


def wait_until_whole(store: ArtifactStore) -> None:
    """Or say what the cluster tells of itself, and its processes in their logs."""
    _wait_until(store, lambda: is_whole(store))


def wait_until_replicated(store: ArtifactStore) -> None:
    """However many nodes are up. Or say what the cluster tells of itself, as `wait_until_whole` does."""
    _wait_until(store, lambda: not store.status().under_replicated)


def _wait_until(store: ArtifactStore, condition: Callable[[], bool]) -> None:
    try:
        eventually(condition)
    except AssertionError as error:
        logs = [path.read_text(errors="replace").splitlines() for path in Path(log_directory()).glob("worker-*.err*")]
        warnings = sorted(line for log in logs for line in log if " INFO " not in line)
        told = [store.status(), *store.nodes(), *store.events()[-40:], *warnings[-100:]]
        raise AssertionError("not whole:\n" + "\n".join(map(str, told))) from error


def tells_of_whole(status: dict[str, Any], nodes: int) -> bool:
    """Whether `status --json` tells of so many storage nodes up, and nothing missing, short of replicas or healed."""
    return status["nodes"]["up"] == nodes and not (
        status["missing"] or status["under_replicated"] or status["healing"] or status["safe_mode"]
    )


def has_all_copies(store: ArtifactStore, name: str) -> bool:
    """Three each; others may have left artifacts in the shared cluster that want more than the nodes that are up."""
    return all(len(chunk.replicas) == 3 for chunk in store.info(name).chunks)
