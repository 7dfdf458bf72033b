"""ArtifactStore: the library's front. Every operation of DAME is a method here; nothing else talks to the cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Union

from core.model import (
    Artifact,
    ArtifactInfo,
    ClusterStatus,
    Event,
    NodeDetail,
    NodeInfo,
    Progress,
    Version,
)

Content = Union[str, bytes, bytearray, memoryview, "PathLike[str]", BinaryIO]
"""What can be uploaded: text (stored as UTF-8), bytes, the path of a file, or a binary file object read to its end."""

OnProgress = Callable[[Progress], None]


class ArtifactStore:
    """A connection to one DAME cluster. Thread-safe; blocking. Close it, or use it in a `with` statement.

    Every method raises ClusterUnreachable when the NameNode does not answer within the retry time.
    """

    description: str
    """Where this is, for people: "embedded in /data/dame" or "ray://head:10001"."""

    def upload(
        self,
        name: str,
        content: Content,
        *,
        replication: int | None = None,
        chunk_size_bytes: int | None = None,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        """Store a new artifact; it is durable when this returns. Raises ArtifactExists, InvalidRequest, SourceFailure,
        NotEnoughNodes, NotEnoughSpace, LeaseExpired, Cancelled."""
        raise NotImplementedError

    def update(
        self,
        name: str,
        content: Content,
        *,
        replication: int | None = None,
        chunk_size_bytes: int | None = None,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        """Store a new version of an artifact that exists. Raises ArtifactNotFound and what `upload` raises."""
        raise NotImplementedError

    def get(self, name: str, version: int | None = None) -> bytes:
        """The whole content in memory. Raises ArtifactNotFound, VersionNotFound, ContentLost."""
        raise NotImplementedError

    def open(self, name: str, version: int | None = None) -> BinaryIO:
        """A seekable, buffered, read-only stream of one version. Raises ArtifactNotFound, VersionNotFound; reads raise ContentLost."""
        raise NotImplementedError

    def download(
        self,
        name: str,
        path: PathLike[str] | str,
        version: int | None = None,
        *,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        """Write the content to a file, which appears whole or not at all. Raises OutputFailure and what `get` raises."""
        raise NotImplementedError

    def copy_to(
        self,
        name: str,
        stream: BinaryIO,
        version: int | None = None,
        *,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        """Write the content to a stream, in order."""
        raise NotImplementedError

    def delete(self, name: str) -> Version:
        """Move the artifact with all its versions to the trash. Answers with its newest version. Raises ArtifactNotFound."""
        raise NotImplementedError

    def undelete(self, name: str) -> Version:
        """Take the artifact deleted last under this name out of the trash. Raises ArtifactNotFound, ArtifactExists."""
        raise NotImplementedError

    def list(self, filter: str = "") -> list[Artifact]:
        """Live artifacts by name. `filter` is a substring, or a glob if it holds any of * ? [."""
        raise NotImplementedError

    def history(self, name: str) -> list[Version]:
        """All versions, newest first. Raises ArtifactNotFound."""
        raise NotImplementedError

    def info(self, name: str, version: int | None = None) -> ArtifactInfo: ...
    def status(self) -> ClusterStatus: ...
    def nodes(self) -> list[NodeInfo]: ...
    def node(self, id: str) -> NodeDetail:
        """All about one node, by name, id or an unambiguous prefix of one. Raises NodeNotFound."""
        raise NotImplementedError

    def events(self, since: int = 0) -> list[Event]:
        """Events with a greater `seq`, oldest first."""
        raise NotImplementedError

    def fail(self, node: str) -> NodeInfo:
        """Make a node stop serving and beating until it is recovered, as a failure would. Raises NodeNotFound."""
        raise NotImplementedError

    def recover(self, node: str) -> NodeInfo: ...
    def drain(self, node: str) -> NodeInfo: ...
    def undrain(self, node: str) -> NodeInfo: ...
    def scrub(self) -> int:
        """Ask every node that is up to re-read all its replicas now. The answer is how many were asked."""
        raise NotImplementedError

    def reconnect(self) -> None:
        """Drop the connection and make it anew. Raises ClusterUnreachable."""
        raise NotImplementedError

    def close(self) -> None: ...
    def __enter__(self) -> ArtifactStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(
    address: str | None = None,
    *,
    data_dir: PathLike[str] | str | None = None,
    nodes: int | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> ArtifactStore:
    """Open a store.

    address: None for the embedded cluster in `data_dir` (started here, or joined if it runs already); "auto" for the Ray
    cluster of this machine; "ray://host:10001" for one elsewhere.
    data_dir: default is the platform's user data directory. nodes: storage nodes of a new embedded cluster, 4 unless told otherwise.
    on_stage: called with a short sentence as the start-up proceeds ("starting Ray", "storage nodes 2/4").
    Raises ClusterUnreachable, DirectoryFailure, ConfigurationFailure.
    """
    raise NotImplementedError
