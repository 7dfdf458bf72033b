"""StorageNode: stores and reads chunks, tells the NameNode what it holds, and does what the replies say.

It ties together the disk (chunkstore), what of it has been told (inventory) and who it is (identity), and decides
nothing about other nodes. Its shell moves the messages, pulls the copies and sets the pace.

Threads: data calls, `copied`, `copy_failed`, `fail` and `recover` may come from any number of threads at once. The
conversation with the NameNode (`registered`, `heartbeat`, `confirmed`, `obey`, `full_report`) belongs to one thread,
`look_after` to another.

Hard state: the chunk files, identity.json and the manifests of the catalog's checkpoints. All else is rebuilt from them
when the directory is opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from core.checkpoint.manifest import Manifest
from core.config import Config
from core.directory import DirectoryLock, directory_failure, lock_directory, make_directory
from core.errors import (
    ChunkCorrupt,
    ChunkMissing,
    DirectoryFailure,
    DiskFailure,
    DiskFull,
    NodeNotServing,
    StorageNodeError,
)
from core.model import (
    Command,
    CopyChunk,
    DeleteChunk,
    FullReport,
    GiveUp,
    Heartbeat,
    HeartbeatReply,
    Registration,
    RegistrationReply,
    ScrubAll,
    StopServing,
    WalkReport,
)
from core.storagenode import identity as identity_file
from core.storagenode.checkpoints import Checkpoints
from core.storagenode.chunkfile import Buffer
from core.storagenode.chunkstore import ChunkStore, holds_replicas
from core.storagenode.identity import Identity
from core.storagenode.inventory import Inventory
from core.storagenode.locks import ChunkLocks
from core.storagenode.scrubber import IDLE_MS, Scrubber
from core.storagenode.walker import Walker


class StorageNode:
    """One storage directory, opened. Make it with `open`."""

    def __init__(
        self,
        *,
        lock: DirectoryLock,
        identity: Identity,
        chunks: ChunkStore,
        held: dict[str, int],
        new_id: Callable[[], str],
        host: str,
        config: Config,
    ) -> None:
        self.incarnation = new_id()
        self.down_after_ms = config.down_after_ms
        """After so much silence the NameNode gives a node up."""
        self._new_id = new_id
        self.host = host
        self.directory = lock.path
        self._directory_lock = lock
        self._identity = identity
        self._identity_saved = identity
        self._chunks = chunks
        self._checkpoints = Checkpoints(lock.path)
        self._inventory = Inventory(held, config.changes_per_heartbeat_max)
        self._report_page_chunks = config.report_page_chunks_max
        self._report = 0
        self._changing = ChunkLocks()
        self._walker = Walker(chunks, self._inventory, self._changing, self._give_up_replica)
        self._scrubber = Scrubber(self.directory, config, self._inventory, self.walk, self.verify)
        self._lock = threading.Lock()
        """Guards the fields below; never held while the disk works."""
        self._copying: set[str] = set()
        self._copying_low = 0
        """With so few copies left more are asked for: half of what there was to do when the NameNode spoke last. The
        other half keeps the disk busy until the answer is here."""
        self._asks_for_more = False
        self._failed = False
        self._ended = False
        self._read_bytes = 0
        self._written_bytes = 0
        self._copied_bytes = 0

    @classmethod
    def open(cls, directory: Path, config: Config, *, host: str, new_id: Callable[[], str]) -> StorageNode:
        """Become the node that lives in this directory, or a new one if it is empty. Raises DirectoryFailure."""
        make_directory(directory)
        lock = lock_directory(directory)
        try:
            identity = identity_file.identity_of(directory, new_id, holds_replicas)
            chunks = ChunkStore(directory, config, host)
            return cls(
                lock=lock,
                identity=identity,
                chunks=chunks,
                held=chunks.open(),
                new_id=new_id,
                host=host,
                config=config,
            )
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Refuse all further calls and let another process have the directory."""
        with self._lock:
            self._ended = True
        self._directory_lock.release()

    # --- Who it is ----------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self._identity.node_id

    @property
    def name(self) -> str:
        """What to call it in a sentence: its name, or the beginning of its id while it has none."""
        return self._identity.name or self._identity.node_id[:8]

    def check_meant(self, node_id: str) -> None:
        """Refuse a call that is meant for another node, whose address this one may have. Raises NodeNotServing."""
        if node_id != self.id:
            raise NodeNotServing(f"This is storage node {self.name} now, not the one that was meant; ask again.")

    def begin_anew(self) -> None:
        """Be a new process to the NameNode, which then takes back what it ordered, and orders no deletion before a full
        report is in."""
        self.incarnation = self._new_id()

    @property
    def cluster_id(self) -> str:
        return self._identity.cluster_id

    @property
    def epoch(self) -> int:
        """The highest epoch of a NameNode heard of."""
        return self._identity.epoch

    def registration(self, endpoint: str, pid: int) -> Registration:
        """How the node presents itself. Raises DiskFailure."""
        return Registration(
            self.id,
            self.cluster_id,
            self.incarnation,
            endpoint,
            self.host,
            pid,
            str(self.directory),
            self._chunks.usage(),
            epoch=self.epoch,
        )

    def registered(self, reply: RegistrationReply) -> bool:
        """Take up what the NameNode answered. False if it is not the newest NameNode and was ignored.

        Raises DirectoryFailure if it is another cluster's, or if it joins one and that can't be written down.
        """
        if reply.epoch < self.epoch:
            return False
        if self.cluster_id not in ("", reply.cluster_id):
            raise DirectoryFailure(
                f"{self.directory} belongs to cluster {self.cluster_id} and can't serve cluster {reply.cluster_id}; "
                "give another directory or join the cluster it belongs to.",
                directory=str(self.directory),
            )
        identity = Identity(self.id, reply.cluster_id, reply.name, reply.epoch)
        if self.cluster_id:
            self._take_up(identity)
        else:
            self._join(identity)
        if reply.wish == "failed":
            self.fail()
        return True

    # --- Data ---------------------------------------------------------------------------------------------------

    def store(self, chunk_id: str, data: Buffer) -> None:
        """Make a replica durable; storing it again is harmless.

        Raises NodeNotServing, ChunkCorrupt, DiskFull, DiskFailure; InvalidRequest for what can't be a chunk.
        """
        self._check_serving()
        size_bytes = memoryview(data).nbytes
        with self._changing.hold(chunk_id):
            known = chunk_id in self._inventory
            try:
                # A file the inventory does not know may be a bad one that could not be quarantined.
                written = self._chunks.write(chunk_id, data, overwrite=not known)
            except (DiskFull, DiskFailure):
                if known:  # it may have turned out bad, or be gone with the write: it must not count on
                    with contextlib.suppress(ChunkMissing, DiskFailure):
                        self._judge(chunk_id)
                raise
            self._inventory.add(chunk_id, size_bytes)
        if written:
            with self._lock:
                self._written_bytes += size_bytes
                self._copied_bytes += size_bytes if chunk_id in self._copying else 0

    def read(self, chunk_id: str) -> bytes:
        """The bytes of a replica, not verified.

        Raises NodeNotServing, ChunkMissing, ChunkCorrupt, DiskFailure. A replica that can't be read is looked at once
        more and leaves the inventory if it is bad.
        """
        self._check_serving()
        if chunk_id not in self._inventory:
            raise ChunkMissing(f"Storage node {self.name} has no chunk {chunk_id[:12]}.", chunk=chunk_id)
        try:
            data = self._chunks.read(chunk_id)
        except (ChunkMissing, ChunkCorrupt, DiskFailure):
            self._examine(chunk_id)
            raise
        with self._lock:
            self._read_bytes += len(data)
        return data

    def note_read(self, size_bytes: int) -> None:
        """Count what a client on this machine read past this process."""
        with self._lock:
            self._read_bytes += size_bytes

    def verify(self, chunk_id: str) -> bool:
        """Hash a replica anew from the disk. A bad one is quarantined and reported.

        Raises NodeNotServing, ChunkMissing; DiskFailure if it can't be told just now.
        """
        self._check_serving()
        return self._examine(chunk_id)

    def keep_checkpoint(self, manifest: Manifest) -> None:
        """Keep what it takes to find the newest checkpoint of the catalog, which is not this node's own business.

        Raises NodeNotServing, DiskFull, DiskFailure; StorageNodeError for one of another cluster or an older NameNode.
        """
        self._check_serving()
        if manifest.cluster_id != self.cluster_id or manifest.epoch < self.epoch:
            raise StorageNodeError(
                f"Storage node {self.name} obeys epoch {self.epoch} of cluster {self.cluster_id or '(none)'}, not epoch"
                f" {manifest.epoch} of cluster {manifest.cluster_id}; it keeps no checkpoint of that one.",
                node=self.id,
            )
        self._checkpoints.keep(manifest)

    def chunk_ids(self) -> list[str]:
        """The chunks held, in order."""
        return self._inventory.ids()

    def _examine(self, chunk_id: str) -> bool:
        """Whether the replica is good, with nobody changing it meanwhile; one that is not leaves the inventory."""
        with self._changing.hold(chunk_id):
            if chunk_id not in self._inventory:
                raise ChunkMissing(f"Storage node {self.name} has no chunk {chunk_id[:12]}.", chunk=chunk_id)
            return self._judge(chunk_id)

    def _judge(self, chunk_id: str) -> bool:
        """As `_examine`. Precondition: it is in the inventory, and nobody else changes this chunk."""
        try:
            good = self._chunks.verify(chunk_id)
        except ChunkMissing:
            self._inventory.remove(chunk_id)
            raise
        if not good:
            self._give_up_replica(chunk_id)
        return good

    def _delete(self, chunk_id: str) -> None:
        with self._changing.hold(chunk_id):
            try:
                self._chunks.delete(chunk_id)
            except (DiskFailure, DiskFull):
                # The NameNode wanted it gone and a person should know that this disk refuses.
                self._give_up_replica(chunk_id)
            else:
                self._inventory.remove(chunk_id)

    def _give_up_replica(self, chunk_id: str) -> None:
        """Quarantine a replica and report it corrupt. Precondition: nobody else changes this chunk."""
        # On a disk that refuses even the rename the file stays; outside the inventory it is neither served nor trusted.
        with contextlib.suppress(DiskFailure, DiskFull, ChunkMissing):
            self._chunks.quarantine(chunk_id)
        self._inventory.remove(chunk_id, corrupt=True)

    def look_after(self, now_ms: int) -> int:
        """Keep the quarantine within its bounds and re-read the next replica, if it is time.

        now_ms: wall-clock time. The answer is after how many milliseconds to call again, counted from this call.
        Belongs to one thread. Raises DiskFailure if the disk can't be told anything of just now; call again later.
        """
        if not self.serving:
            return IDLE_MS
        self._walker.trim_quarantine(now_ms)
        with self._lock:
            served_bytes = self._read_bytes + self._written_bytes
        try:
            return self._scrubber.step(now_ms, served_bytes)
        except NodeNotServing:  # it was failed in this very moment
            return IDLE_MS

    def walk(self) -> WalkReport:
        """Compare the directory with the inventory and put the inventory right. Raises NodeNotServing, DiskFailure."""
        self._check_serving()
        return self._walker.walk()

    def bring_back(self, chunk_ids: Sequence[str]) -> int:
        """Look once more at quarantined replicas of these chunks; the number of good ones, which count again.

        Raises NodeNotServing, DiskFailure.
        """
        self._check_serving()
        return self._walker.bring_back(chunk_ids)

    # --- Serving or not -----------------------------------------------------------------------------------------

    @property
    def serving(self) -> bool:
        with self._lock:
            return not (self._failed or self._ended)

    def fail(self) -> None:
        """Refuse data calls until `recover`, as if the node had failed."""
        with self._lock:
            self._failed = True

    def recover(self) -> None:
        with self._lock:
            self._failed = False

    def _check_serving(self) -> None:
        with self._lock:
            failed, ended = self._failed, self._ended
        if ended:
            raise NodeNotServing(f"Storage node {self.name} is no longer run by this process; ask again.", node=self.id)
        if failed:
            raise NodeNotServing(f"{self.name} has been failed by an operator; recover it.", node=self.id)

    # --- The conversation with the NameNode ---------------------------------------------------------------------

    def heartbeat(self) -> Heartbeat:
        """What to tell next. Until it is confirmed, its changes and its sequence number are told again."""
        usage = self._chunks.usage()
        changes = self._inventory.changes()
        with self._lock:
            return Heartbeat(
                self.id,
                self.incarnation,
                changes.sequence,
                usage,
                changes.chunks,
                changes.inventory_digest,
                changes.received,
                changes.removed,
                changes.corrupt,
                changes.failed_copies,
                copying=len(self._copying),
                read_bytes=self._read_bytes,
                written_bytes=self._written_bytes,
                copied_bytes=self._copied_bytes,
                quarantine=self._chunks.quarantined.usage(),
                scrub=self._scrubber.state,
                epoch=self.epoch,
            )

    def confirmed(self, sequence: int) -> None:
        """The NameNode has taken the heartbeat of this number."""
        self._inventory.confirmed(sequence)

    def full_report(self) -> list[FullReport]:
        """The whole inventory in pages, numbered from 0, at least one. It replaces all unconfirmed changes."""
        self._report += 1
        chunks = self._inventory.full_report()
        size = self._report_page_chunks
        pages = [tuple(chunks[first : first + size]) for first in range(0, len(chunks), size)] or [()]
        return [
            FullReport(
                self.id, self.incarnation, self._report, number, len(pages), page, self._inventory.sequence, self.epoch
            )
            for number, page in enumerate(pages)
        ]

    def obey(self, reply: HeartbeatReply) -> list[Command]:
        """Do what the newest NameNode orders; answer with what is left for the shell to do. An older one is ignored."""
        if reply.epoch < self.epoch:
            return []
        self._heard_of(reply.epoch)
        if GiveUp() in reply.commands:
            # The chunks are another process's now; nothing else that was ordered may touch them.
            with self._lock:
                self._ended = True
            return [GiveUp()]
        left = [command for command in reply.commands if not self._done(command)]
        with self._lock:
            self._copying_low = len(self._copying) // 2
            self._asks_for_more = False
        return left

    def _done(self, command: Command) -> bool:
        """Carry out a command, if it is for this class."""
        if isinstance(command, DeleteChunk):
            self._delete(command.chunk_id)
        elif isinstance(command, StopServing):
            self.fail()
        elif isinstance(command, ScrubAll):
            self._scrubber.ask(command.order)
        elif isinstance(command, CopyChunk):
            return not self._begin_copy(command.chunk.id)
        else:
            return False
        return True

    def _begin_copy(self, chunk_id: str) -> bool:
        """False if there is nothing to pull: it is under way, or held, which is then told again."""
        if chunk_id in self._inventory:
            self._inventory.mention(chunk_id)
            return False
        with self._lock:
            if chunk_id in self._copying:
                return False
            self._copying.add(chunk_id)
            return True

    def asks_for_more(self) -> bool:
        """Whether the next heartbeat should come at once, to be told what else to copy. True once."""
        with self._lock:
            asks, self._asks_for_more = self._asks_for_more, False
            return asks

    def copied(self, chunk_id: str) -> None:
        """A pull that `obey` asked for ended well; `store` has told of the chunk."""
        with self._lock:
            self._copying.remove(chunk_id)
            self._asks_for_more |= len(self._copying) == self._copying_low

    def copy_failed(self, chunk_id: str) -> None:
        """A pull that `obey` asked for could not be done."""
        self.copied(chunk_id)
        self._inventory.copy_failed(chunk_id)

    def _heard_of(self, epoch: int) -> None:
        self._take_up(dataclasses.replace(self._identity, epoch=epoch))

    def _take_up(self, identity: Identity) -> None:
        """If the disk is full it is written after a later reply: the deletions that make room must not wait for it."""
        self._identity = identity
        with contextlib.suppress(OSError):
            self._save(identity)

    def _join(self, identity: Identity) -> None:
        try:
            self._save(identity)
        except OSError as error:
            raise directory_failure(self.directory, error) from error
        self._identity = identity

    def _save(self, identity: Identity) -> None:
        if identity != self._identity_saved:
            identity_file.save(self.directory, identity)
            self._identity_saved = identity
