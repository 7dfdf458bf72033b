"""ArtifactStore: the library's front. Every operation of DAME is a method here; nothing else talks to the cluster."""

from __future__ import annotations

import builtins
import io
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from core.config import Config
from core.errors import InvalidRequest, OutputFailure, StorageNodeError
from core.fsck import Fsck, OnSteps
from core.gateway import Call, Gateway
from core.model import (
    Artifact,
    ArtifactInfo,
    BeginRequest,
    ClusterStatus,
    Event,
    FsckReport,
    Located,
    Mode,
    NodeDetail,
    NodeInfo,
    Progress,
    ScrubProgress,
    TrashedArtifact,
    Version,
    Wish,
)
from core.scrub import OnScrub, scrub_to_end
from core.transfer.download import Download
from core.transfer.reader import open_reader
from core.transfer.source import Content, open_source
from core.transfer.upload import Upload

OnProgress = Callable[[Progress], None]


class ArtifactStore:
    """A connection to one DAME cluster. Thread-safe; blocking. Close it, or use it in a `with` statement.

    Every method raises ClusterUnreachable when the NameNode does not answer within the retry time.
    """

    def __init__(self, gateway: Gateway, config: Config, description: str) -> None:
        self._gateway = gateway
        self._config = config
        self.description = description
        """Where this is, for people: "embedded in /data/dame" or "ray://head:10001"."""

    # --- Writing ------------------------------------------------------------------------------------------------

    def upload(
        self,
        name: str,
        content: Content,
        *,
        replication: int | None = None,
        chunk_size_bytes: int | None = None,
        keep_versions: int | None = None,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        """Store a new artifact; it is durable when this returns.

        replication: copies of each chunk; None for the cluster's default, 3.
        chunk_size_bytes: None for the cluster's default, 8 MiB.
        keep_versions: how many of its newest versions the artifact keeps; older ones are removed soon after. 0 for
        all, None for the cluster's default, which is all.
        progress: called from this thread as chunks are stored. cancel: set it from another thread to give up.
        Raises ArtifactExists, InvalidRequest, SourceFailure, NotEnoughNodes, NotEnoughSpace, LeaseExpired, Cancelled.
        """
        return self._write("upload", name, content, replication, chunk_size_bytes, keep_versions, progress, cancel)

    def update(
        self,
        name: str,
        content: Content,
        *,
        replication: int | None = None,
        chunk_size_bytes: int | None = None,
        keep_versions: int | None = None,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        """Store a new version of an artifact that exists; readers see the old one or the new one, never a mixture.

        replication: None for that of the version before. keep_versions: from now on; None for as many as before.
        Raises ArtifactNotFound and what `upload` raises.
        """
        return self._write("update", name, content, replication, chunk_size_bytes, keep_versions, progress, cancel)

    def _write(
        self,
        mode: Mode,
        name: str,
        content: Content,
        replication: int | None,
        chunk_size_bytes: int | None,
        keep_versions: int | None,
        progress: OnProgress | None,
        cancel: threading.Event | None,
    ) -> Version:
        with open_source(content) as source:
            request = BeginRequest(
                self._gateway.unique_id(),
                name,
                mode,
                source.size_bytes,
                replication,
                chunk_size_bytes,
                keep_versions,
            )
            return Upload(self._gateway, self._config, source, progress, cancel).run(request)

    def replicate(self, name: str, replication: int) -> Version:
        """Want so many copies of all versions of the artifact, and of later ones; answers with its newest version.

        Nothing is sent: missing copies are made and surplus ones removed by the cluster itself, later. Raises
        ArtifactNotFound, InvalidRequest.
        """
        return self._gateway.namenode.set_replication(self._gateway.unique_id(), name, replication)

    def delete(self, name: str) -> Version:
        """Move the artifact with all its versions to the trash. Answers with its newest version.

        Raises ArtifactNotFound.
        """
        return self._gateway.namenode.delete(self._gateway.unique_id(), name)

    def undelete(self, name: str) -> Version:
        """Take the artifact deleted last under this name out of the trash. Raises ArtifactNotFound, ArtifactExists."""
        return self._gateway.namenode.undelete(self._gateway.unique_id(), name)

    def purge(self, name: str) -> Version:
        """Remove the artifact deleted last under this name from the trash, for good. Raises ArtifactNotFound."""
        return self._gateway.namenode.purge(self._gateway.unique_id(), name)

    # --- Reading ------------------------------------------------------------------------------------------------

    def get(self, name: str, version: int | None = None) -> bytes:
        """The whole content in memory. Raises ArtifactNotFound, VersionNotFound, ContentLost."""
        content = io.BytesIO()
        self.copy_to(name, content, version)
        return content.getvalue()

    def open(self, name: str, version: int | None = None) -> BinaryIO:
        """A seekable, buffered, read-only stream of one version.

        Raises ArtifactNotFound, VersionNotFound; reading from it raises ContentLost.
        """
        first = self._download(name, version)
        found = first.version
        started = {0: first}
        return open_reader(
            found,
            lambda index: (
                started.pop(index, None) or self._download(name, found.version, first=index, expected=first.first)
            ),
        )

    def download(
        self,
        name: str,
        path: PathLike[str] | str,
        version: int | None = None,
        *,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        """Write the content to a file, which appears whole or not at all; a file that is there is replaced, also one
        that a symbolic link leads to.

        Raises OutputFailure, Cancelled and what `get` raises.
        """
        target = Path(path)
        if target.is_dir():
            raise OutputFailure(f"{target} is a directory; name the file to write.", path=str(target))
        if target.exists() and not target.is_file():
            raise OutputFailure(f"{target} is a device or a pipe, which no file can replace.", path=str(target))
        found = self._download(name, version, cancel=cancel)
        place = Path(os.path.realpath(target))
        partial = place.with_name(f".{self._gateway.unique_id()}.part")
        try:
            with partial.open("xb") as stream:
                _copy(found, stream, progress)
                os.fsync(stream.fileno())
            partial.replace(place)
        except OSError as error:
            raise OutputFailure(f"{target} can't be written: {error.strerror}.", path=str(target)) from error
        finally:
            with suppress(OSError):  # gone already when all went well; out of reach when its directory is
                partial.unlink(missing_ok=True)
        return found.version

    def copy_to(
        self,
        name: str,
        stream: BinaryIO,
        version: int | None = None,
        *,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        """Write the content to a stream, in order. Raises what `get` and the stream raise, and Cancelled."""
        found = self._download(name, version, cancel=cancel)
        _copy(found, stream, progress)
        return found.version

    def _download(
        self,
        name: str,
        version: int | None,
        *,
        first: int = 0,
        cancel: threading.Event | None = None,
        expected: Located | None = None,
    ) -> Download:
        return Download(self._gateway, self._config, name, version, first, cancel, expected)

    # --- Looking ------------------------------------------------------------------------------------------------

    def list(self, filter: str = "") -> list[Artifact]:
        """Live artifacts by name. `filter` is a substring, or a glob if it holds any of * ? [."""
        return self._gateway.namenode.artifacts(filter)

    def history(self, name: str) -> builtins.list[Version]:
        """All versions, newest first. Raises ArtifactNotFound."""
        return self._gateway.namenode.history(name)

    def info(self, name: str, version: int | None = None) -> ArtifactInfo:
        """All about one version, with the place of each replica. Raises ArtifactNotFound, VersionNotFound."""
        return self._gateway.namenode.info(name, version)

    def trash(self) -> builtins.list[TrashedArtifact]:
        """Artifacts that can be undeleted, the one deleted last first."""
        return self._gateway.namenode.trash()

    def status(self) -> ClusterStatus:
        """The cluster at this moment."""
        return self._gateway.namenode.status()

    def nodes(self) -> builtins.list[NodeInfo]:
        """All storage nodes that ever joined, by name."""
        return self._gateway.namenode.nodes()

    def node(self, id: str) -> NodeDetail:
        """All about one node, by name, id or an unambiguous prefix of one. Raises NodeNotFound."""
        return self._gateway.namenode.node(id)

    def events(self, since: int = 0) -> builtins.list[Event]:
        """Events with a greater `seq`, oldest first."""
        return self._gateway.namenode.events(since)

    # --- Operating ----------------------------------------------------------------------------------------------

    def fail(self, node: str) -> NodeInfo:
        """Make a node stop serving and beating until it is recovered, as a failure would. Raises NodeNotFound."""
        info = self._wish(node, "failed")
        with suppress(StorageNodeError):  # a node that can't be told learns it from its next heartbeat or registration
            self._settle(self._gateway.fail(self._gateway.namenode.node_ref(info.id)))
        return info

    def recover(self, node: str) -> NodeInfo:
        """Let a failed node serve and beat again. Raises NodeNotFound."""
        info = self._wish(node, "none", instead_of="failed")
        with suppress(StorageNodeError):  # a process that is gone learns it when the next one registers
            self._settle(self._gateway.recover(self._gateway.namenode.node_ref(info.id)))
        return self.node(info.id).node

    def drain(self, node: str) -> NodeInfo:
        """Copy all that is on a node elsewhere and give it nothing new; it serves reads meanwhile.

        Raises NodeNotFound; InvalidRequest for a node that has been failed.
        """
        info = self._wish(node, "draining", instead_of="none")
        if info.state == "failed":
            raise InvalidRequest(f"{info.name} has been failed and can't be drained; recover it first.", node=info.id)
        return info

    def undrain(self, node: str) -> NodeInfo:
        """Take a drain back. Raises NodeNotFound."""
        return self._wish(node, "none", instead_of="draining")

    def forget(self, node: str) -> str:
        """Strike a node that is down and gone for good off the cluster; answer its name.

        Raises NodeNotFound; InvalidRequest while it may be alive or may have the last replica of a chunk.
        """
        return self._gateway.namenode.forget(self._gateway.unique_id(), node)

    def resume(self) -> bool:
        """Let a NameNode that became read-only after failures take changes again. False if it was not read-only."""
        return self._gateway.namenode.resume()

    def scrub(self) -> int:
        """Ask every node that is up to re-read all its replicas now. The answer is how many were asked."""
        return len(self._gateway.namenode.scrub().nodes)

    def scrub_and_wait(
        self, *, progress: OnScrub | None = None, cancel: threading.Event | None = None
    ) -> ScrubProgress:
        """As `scrub`, and wait until the nodes are through; those that fall silent are not waited for.

        progress: called from this thread about twice a second. cancel: set it to stop waiting; the nodes go on.
        """
        return scrub_to_end(self._gateway, progress, cancel)

    def fsck(
        self,
        *,
        repair: bool = False,
        deep: bool = False,
        progress: OnSteps | None = None,
        cancel: threading.Event | None = None,
    ) -> FsckReport:
        """Compare what the disks hold with what the catalog says: what is missing, short, surplus, corrupt, orphaned.

        repair: put right what can be, wait as long as it gets better, and report what is left.
        deep: re-read every replica first. progress: called from this thread. cancel: set it to give up.
        Raises Cancelled; NotReady while the NameNode has just started.
        """
        return Fsck(self._gateway, self._config, progress, cancel).run(repair=repair, deep=deep)

    def _wish(self, node: str, wish: Wish, instead_of: Wish | None = None) -> NodeInfo:
        return self._gateway.namenode.set_wish(self._gateway.unique_id(), node, wish, instead_of)

    def _settle(self, call: Call) -> None:
        if not self._gateway.wait([call], self._config.call_timeout_ms):
            raise StorageNodeError("the storage node did not answer")
        call.result()

    # --- The connection -----------------------------------------------------------------------------------------

    def reconnect(self) -> None:
        """Drop the connection and make it anew. Raises ClusterUnreachable."""
        self._gateway.reconnect()

    def close(self) -> None:
        """Let go of the cluster; an embedded one that this process started ends with it. Harmless when repeated."""
        self._gateway.close()

    def __enter__(self) -> ArtifactStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _copy(download: Download, stream: BinaryIO, progress: OnProgress | None) -> None:
    total = download.version.size_bytes
    done = 0
    tell = progress or (lambda _: None)
    tell(Progress(0, total, 0, "starting"))
    for data in download:
        stream.write(data)
        done += data.nbytes
        tell(Progress(done, total, done, "transferring"))
    tell(Progress(done, total, done, "done"))


def connect(
    address: str | None = None,
    *,
    data_dir: PathLike[str] | str | None = None,
    nodes: int | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> ArtifactStore:
    """Open a store.

    address: None for the embedded cluster in `data_dir` (started here, or joined if it runs already); "auto" for the
    Ray cluster of this machine; "ray://host:10001" for one elsewhere.
    data_dir: where an embedded cluster lives; the platform's user data directory unless told otherwise.
    nodes: storage nodes of a new embedded cluster, 4 unless told otherwise.
    on_stage: called with a short sentence as the start-up proceeds ("starting Ray", "storage nodes 2/4").
    Raises ClusterUnreachable, DirectoryFailure, ConfigurationFailure, ProtocolMismatch.
    """
    from core.cluster.launch import (
        open_gateway,
    )  # importing ray takes a third of a second; verbs without a store skip it

    config = Config.from_environment()
    gateway, description = open_gateway(address, data_dir, nodes, config, on_stage or (lambda _: None))
    return ArtifactStore(gateway, config, description)


__all__ = ["ArtifactStore", "Content", "OnProgress", "connect"]
