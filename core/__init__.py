"""DAME's library: durable, replicated, versioned artifacts on a Ray cluster.

from core import connect

with connect() as store:
    store.upload("greeting", "hello")
    print(store.get("greeting"))
"""

from core import errors
from core.errors import DameError
from core.model import (
    Artifact,
    ArtifactInfo,
    ChunkInfo,
    ClusterStatus,
    Event,
    NodeDetail,
    NodeInfo,
    Progress,
    Version,
)
from core.store import ArtifactStore, connect

__all__ = [
    "Artifact",
    "ArtifactInfo",
    "ArtifactStore",
    "ChunkInfo",
    "ClusterStatus",
    "DameError",
    "Event",
    "NodeDetail",
    "NodeInfo",
    "Progress",
    "Version",
    "connect",
    "errors",
]
