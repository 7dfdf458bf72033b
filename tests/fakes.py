"""FakeStore: an ArtifactStore in one process, without Ray, disks or a clock of its own.

It keeps the promises that the contract suite checks, and obeys verbs that only tests have: kill a node, hang, break the
connection, hold a transfer at a known place.
"""

from __future__ import annotations

import builtins
import io
import threading
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Literal

from blake3 import blake3

from core.config import GIB, Config
from core.doctor.finding import DoctorReport, ok, report, warning
from core.errors import (
    ArtifactExists,
    ArtifactNotFound,
    Cancelled,
    ClusterUnreachable,
    ContentLost,
    InvalidRequest,
    NodeNotFound,
    NotEnoughNodes,
    OutputFailure,
    VersionNotFound,
)
from core.fsck import OnSteps
from core.model import (
    NODE_STATES,
    Artifact,
    ArtifactInfo,
    ChunkFinding,
    ChunkInfo,
    ClusterStatus,
    DiskState,
    Event,
    FsckReport,
    Health,
    NodeArtifact,
    NodeCheck,
    NodeDetail,
    NodeInfo,
    NodeState,
    Progress,
    Repairs,
    ScrubProgress,
    Severity,
    Steps,
    TrashedArtifact,
    Version,
    Wish,
)
from core.scrub import OnScrub
from core.store import ArtifactStore, Content, OnProgress
from core.transfer.source import Source, open_source
from core.units import plural
from tests.hostile import FORBIDDEN_NAMES, HOSTILE_NAMES

START_MS = 1_790_000_000_000


class Clock:
    """Wall time that passes only when a test says so."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, by_ms: int) -> None:
        self.now_ms += by_ms


class Gate:
    """Holds transfers once they have moved so many bytes, until it is opened or they are cancelled."""

    def __init__(self, hold_at_bytes: int = 1) -> None:
        self.hold_at_bytes = hold_at_bytes
        self.reached = threading.Event()
        """Set when a transfer waits here."""
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def hold(self, done_bytes: int, cancel: threading.Event) -> None:
        if done_bytes < self.hold_at_bytes:
            return
        self.reached.set()
        while not self._opened.wait(0.005) and not cancel.is_set():
            pass


@dataclass
class FakeNode:
    """One storage node: its replicas, and why it may be silent."""

    id: str
    name: str
    last_beat_ms: int
    capacity_bytes: int = 10 * GIB
    liveness: Literal["up", "suspect", "down"] = "up"
    wish: Wish = "none"
    disk: DiskState = "ok"
    drain_total: int = 0
    replicas: dict[str, int] = field(default_factory=dict)
    """Size of each chunk held, by id."""

    @property
    def serves(self) -> bool:
        return self.wish != "failed" and self.liveness != "down"

    @property
    def takes_new_chunks(self) -> bool:
        return self.wish == "none" and self.liveness == "up"

    @property
    def used_bytes(self) -> int:
        return sum(self.replicas.values())

    @property
    def state(self) -> NodeState:
        if self.wish == "failed":
            return "failed"
        if self.liveness == "down" or self.wish == "none":
            return self.liveness
        return "draining" if self.replicas else "drained"


@dataclass(frozen=True)
class StoredVersion:
    version: Version
    chunk_ids: tuple[str, ...]


@dataclass(frozen=True)
class Trashed:
    versions: list[StoredVersion]
    time_ms: int

    @property
    def size_bytes(self) -> int:
        return sum(stored.version.size_bytes for stored in self.versions)


class FakeStore(ArtifactStore):
    """Thread-safe and deterministic: ids, placement and times depend on the calls alone."""

    def __init__(
        self, nodes: int = 4, *, now_ms: Callable[[], int] | None = None, config: Config | None = None
    ) -> None:
        self.description = "fake cluster"
        self.config = config or Config()
        self.clock = now_ms or Clock()
        self.calls: Counter[str] = Counter()
        """How often each method was called."""
        self.read_bytes_per_s = 0
        self.checkpoint_age_ms: int | None = 12_000
        self.write_bytes_per_s = 0
        self.read_only = ""
        """As ClusterStatus has it."""
        self.fsck_may_end = threading.Event()
        """Clear it to hold every fsck in its midst."""
        self.fsck_may_end.set()
        self.closed = False
        self._lock = threading.RLock()
        self._released = threading.Event()
        self._released.set()
        self._broken = False
        self._gate: Gate | None = None
        self._contents: dict[str, bytes] = {}
        self._artifacts: dict[str, list[StoredVersion]] = {}
        self._trash: dict[str, list[Trashed]] = {}
        self._keep: dict[str, int] = {}
        """How many versions an artifact keeps; 0 for all."""
        self._events: list[Event] = []
        self._started_ms = self.clock()
        self._next_target = 0
        self._nodes = [self._new_node(number) for number in range(1, nodes + 1)]
        self._tell("info", f"The cluster is up with {plural(nodes, 'storage node')}.")

    def _new_node(self, number: int) -> FakeNode:
        name = f"sn-{number:02}"
        return FakeNode(str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), name, self.clock())

    # --- Verbs for tests ----------------------------------------------------------------------------------------

    def kill(self, node: str) -> None:
        """The node's process is gone, and the NameNode has noticed."""
        self._set_liveness(node, "down")

    def silence(self, node: str) -> None:
        """The node has missed heartbeats, though not enough of them to be down."""
        self._set_liveness(node, "suspect")

    def revive(self, node: str) -> None:
        self._set_liveness(node, "up")

    def heal(self) -> None:
        """Make every missing replica for which there is a source and a place; empty the draining nodes."""
        with self._lock:
            for stored in self._versions():
                for chunk_id in stored.chunk_ids:
                    self._heal_chunk(chunk_id, stored.version.replication)
            for node in self._nodes:
                if node.wish == "draining":
                    node.replicas.clear()

    def hang(self) -> None:
        """From now on no call returns, until `unhang` or `close`."""
        self._released.clear()

    def unhang(self) -> None:
        self._released.set()

    def break_connection(self) -> None:
        """From now on every call raises ClusterUnreachable; calls that hang will, too, once they are released."""
        self._broken = True

    def mend_connection(self) -> None:
        self._broken = False

    def slow_transfers(self, gate: Gate | None) -> None:
        """Make transfers wait at the gate after each chunk; None takes it away from those that begin later."""
        self._gate = gate

    def add_hostile_names(self) -> tuple[str, ...]:
        """Store an artifact under every name that has ever torn a screen, the forbidden ones included."""
        names = HOSTILE_NAMES + FORBIDDEN_NAMES
        with self._lock:
            for name in names:
                self._commit(name, [f"content of {name}".encode("utf-8", "replace")], 3, self.config.chunk_size_bytes)
        return names

    def say(self, severity: Severity, text: str) -> None:
        """Add an event."""
        with self._lock:
            self._tell(severity, text)

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
        with self._call("upload"):
            self._check_name(name)
            self._check_free(name)
            self._check_keep(keep_versions)
        self._keep[name] = keep_versions or 0
        return self._transfer(name, content, replication, chunk_size_bytes, _Transfer(progress, cancel), "upload")

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
        with self._call("update"):
            newest = self._find(name)[-1].version
            self._check_keep(keep_versions)
        if keep_versions is not None:
            self._keep[name] = keep_versions
        if replication is None:
            replication = newest.replication
        return self._transfer(name, content, replication, chunk_size_bytes, _Transfer(progress, cancel), "update")

    def _transfer(
        self,
        name: str,
        content: Content,
        replication: int | None,
        chunk_size_bytes: int | None,
        transfer: _Transfer,
        mode: Literal["upload", "update"],
    ) -> Version:
        copies = self.config.replication if replication is None else replication
        size = self.config.chunk_size_bytes if chunk_size_bytes is None else chunk_size_bytes
        _check_range("chunk size", size, self.config.chunk_size_bytes_max)
        with self._call("begin"):
            self._check_replication(copies)
            self._targets(copies)
        with open_source(content) as source:
            pieces = builtins.list(self._read_source(source, size, transfer))
            source.verify_unchanged(sum(map(len, pieces)))
        transfer.report("committing")
        with self._call("commit"):
            if mode == "upload":
                self._check_free(name)
            else:
                self._find(name)
            version = self._commit(name, pieces, copies, size)
        transfer.report("done")
        return version

    def _read_source(self, source: Source, chunk_size_bytes: int, transfer: _Transfer) -> Iterator[bytes]:
        transfer.total_bytes = source.size_bytes
        transfer.report("starting")
        buffer = bytearray(chunk_size_bytes)
        while count := source.read_into(memoryview(buffer)):
            yield bytes(buffer[:count])
            self._moved(transfer, count)
        transfer.total_bytes = transfer.done_bytes

    def _moved(self, transfer: _Transfer, count: int) -> None:
        transfer.done_bytes += count
        transfer.report("transferring")
        if self._gate is not None:
            self._gate.hold(transfer.done_bytes, transfer.cancel)
        transfer.check()
        self._connected()

    def _commit(self, name: str, pieces: builtins.list[bytes], replication: int, chunk_size_bytes: int) -> Version:
        targets = self._targets(replication)
        for piece in pieces:
            self._place(piece, len(targets))
        stored = self._artifacts.setdefault(name, [])
        version = Version(
            name,
            stored[-1].version.version + 1 if stored else 1,
            sum(map(len, pieces)),
            len(pieces),
            chunk_size_bytes,
            replication,
            blake3(b"".join(pieces)).hexdigest(),
            self.clock(),
        )
        stored.append(StoredVersion(version, tuple(_chunk_id(piece) for piece in pieces)))
        if keep := self._keep.get(name, 0):
            del stored[:-keep]
        self._tell("info", f"Stored {name}, version {version.version}.", artifact=name)
        if len(targets) == replication:
            return version
        warning = (
            f"Stored with {plural(len(targets), 'copy', 'copies')} instead of {replication}, as only so many storage "
            "nodes are up; the others follow by themselves when more nodes are there."
        )
        return replace(version, warnings=(warning,))

    def _place(self, piece: bytes, copies: int) -> None:
        """Round robin over the nodes that take new chunks; a chunk that is stored already gets only what it lacks."""
        chunk_id = _chunk_id(piece)
        self._contents[chunk_id] = piece
        missing = copies - len(self._holders(chunk_id))
        for _ in self._nodes:
            if missing <= 0:
                return
            node = self._nodes[self._next_target % len(self._nodes)]
            self._next_target += 1
            if node.takes_new_chunks and chunk_id not in node.replicas:
                node.replicas[chunk_id] = len(piece)
                missing -= 1

    def _check_keep(self, keep_versions: int | None) -> None:
        if keep_versions is not None and not 0 <= keep_versions <= self.config.keep_versions_max:
            raise InvalidRequest(f"To keep {keep_versions} versions is not possible; choose 1 or more, or 0 for all.")

    def _check_replication(self, replication: int) -> None:
        _check_range("replication", replication, self.config.replication_max)
        if replication > max(self.config.replication, len(self._nodes)):
            raise InvalidRequest(
                f"A replication of {replication} needs as many storage nodes, and there are {len(self._nodes)}; "
                "choose a smaller one, or add nodes."
            )

    def _targets(self, replication: int) -> builtins.list[FakeNode]:
        nodes = [node for node in self._nodes if node.takes_new_chunks]
        if not nodes:
            raise NotEnoughNodes(
                f"Nothing can be stored: none of the {len(self._nodes)} storage nodes takes new chunks. "
                "Recover one, or wait until one is up."
            )
        return nodes[:replication]

    # --- Reading ------------------------------------------------------------------------------------------------

    def get(self, name: str, version: int | None = None) -> bytes:
        with self._call("get"):
            return self._content(self._pick(name, version))

    def open(self, name: str, version: int | None = None) -> BinaryIO:
        with self._call("open"):
            return io.BufferedReader(io.BytesIO(self._content(self._pick(name, version))))

    def download(
        self,
        name: str,
        path: PathLike[str] | str,
        version: int | None = None,
        *,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        target = Path(path)
        partial = target.with_name(f".{target.name}.partial")
        if target.is_dir():
            raise OutputFailure(f"{target} is a directory; name a file in it.", path=str(target))
        try:
            with partial.open("wb") as stream:
                answer = self.copy_to(name, stream, version, progress=progress, cancel=cancel)
            partial.replace(target)
        except OSError as error:
            raise OutputFailure(f"{target} can't be written: {error.strerror}.", path=str(target)) from error
        finally:
            with suppress(OSError):
                partial.unlink()
        return answer

    def copy_to(
        self,
        name: str,
        stream: BinaryIO,
        version: int | None = None,
        *,
        progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Version:
        with self._call("copy_to"):
            stored = self._pick(name, version)
            pieces = [self._chunk(stored, chunk_id) for chunk_id in stored.chunk_ids]
        transfer = _Transfer(progress, cancel, stored.version.size_bytes)
        transfer.report("starting")
        for piece in pieces:
            stream.write(piece)
            self._moved(transfer, len(piece))
        transfer.report("done")
        return stored.version

    def _content(self, stored: StoredVersion) -> bytes:
        return b"".join(self._chunk(stored, chunk_id) for chunk_id in stored.chunk_ids)

    def _chunk(self, stored: StoredVersion, chunk_id: str) -> bytes:
        if not self._holders(chunk_id):
            raise ContentLost(
                f"{stored.version.name!r} can't be read: chunk {chunk_id[:12]} has no copy on a node that is up. "
                "Bring a node that holds it back.",
                name=stored.version.name,
            )
        return self._contents[chunk_id]

    # --- Artifacts ----------------------------------------------------------------------------------------------

    def delete(self, name: str) -> Version:
        with self._call("delete"):
            stored = self._find(name)
            del self._artifacts[name]
            self._trash.setdefault(name, []).append(Trashed(stored, self.clock()))
            self._tell("info", f"Deleted {name}.", artifact=name)
            return stored[-1].version

    def undelete(self, name: str) -> Version:
        with self._call("undelete"):
            self._check_name(name)
            self._check_free(name)
            if not self._trash.get(name):
                raise ArtifactNotFound(f"The trash has no artifact {name!r}; nothing was deleted under this name.")
            self._artifacts[name] = self._trash[name].pop().versions
            self._tell("info", f"Undeleted {name}.", artifact=name)
            return self._artifacts[name][-1].version

    def replicate(self, name: str, replication: int) -> Version:
        with self._call("replicate"):
            versions = self._find(name)
            self._check_replication(replication)
            versions[:] = [
                replace(stored, version=replace(stored.version, replication=replication)) for stored in versions
            ]
            self.heal()
            self._trim()
            return versions[-1].version

    def _trim(self) -> None:
        """Remove the replicas that no version wants."""
        wanted = {chunk_id: 0 for stored in self._versions() for chunk_id in stored.chunk_ids}
        for stored in self._versions():
            for chunk_id in stored.chunk_ids:
                wanted[chunk_id] = max(wanted[chunk_id], stored.version.replication)
        for chunk_id, copies in wanted.items():
            for node in self._holders(chunk_id)[copies:]:
                del node.replicas[chunk_id]

    def purge(self, name: str) -> Version:
        with self._call("purge"):
            if not self._trash.get(name):
                raise ArtifactNotFound(f"The trash has no artifact {name!r}; nothing was deleted under this name.")
            deleted = self._trash[name].pop()
            self._tell("info", f"Purged {name}.", artifact=name)
            return deleted.versions[-1].version

    def trash(self) -> builtins.list[TrashedArtifact]:
        with self._call("trash"):
            rows = [
                TrashedArtifact(
                    name,
                    deleted.versions[-1].version.version,
                    len(deleted.versions),
                    deleted.size_bytes,
                    deleted.time_ms,
                    deleted.time_ms + self.config.trash_retention_ms,
                )
                for name, entries in self._trash.items()
                for deleted in entries
            ]
            return sorted(rows, key=lambda row: -row.deleted_ms)

    def list(self, filter: str = "") -> builtins.list[Artifact]:
        with self._call("list"):
            return [self._row(self._artifacts[name]) for name in sorted(self._artifacts) if _matches(name, filter)]

    def history(self, name: str) -> builtins.list[Version]:
        with self._call("history"):
            return [stored.version for stored in reversed(self._find(name))]

    def info(self, name: str, version: int | None = None) -> ArtifactInfo:
        with self._call("info"):
            stored = self._pick(name, version)
            return ArtifactInfo(
                name,
                stored.version.version,
                stored.version.size_bytes,
                stored.version.replication,
                self._health(stored),
                stored.version.digest,
                stored.version.chunk_size_bytes,
                stored.version.created_ms,
                len(self._artifacts[name]),
                tuple(self._chunk_info(index, chunk_id) for index, chunk_id in enumerate(stored.chunk_ids)),
                self._artifacts[name][-1].version.version,
                self._keep.get(name, 0),
            )

    def _chunk_info(self, index: int, chunk_id: str) -> ChunkInfo:
        holders = tuple(node.id for node in self._holders(chunk_id))
        return ChunkInfo(index, chunk_id, len(self._contents[chunk_id]), holders)

    def _row(self, versions: builtins.list[StoredVersion]) -> Artifact:
        newest = versions[-1].version
        return Artifact(
            newest.name,
            newest.version,
            newest.size_bytes,
            newest.chunks,
            newest.replication,
            self._health(versions[-1]),
            newest.digest,
            newest.created_ms,
        )

    def _find(self, name: str) -> builtins.list[StoredVersion]:
        self._check_name(name)
        if name in self._artifacts:
            return self._artifacts[name]
        raise ArtifactNotFound(f"There is no artifact {name!r}; `list` shows those there are.", name=name)

    def _pick(self, name: str, version: int | None) -> StoredVersion:
        versions = self._find(name)
        if version is None:
            return versions[-1]
        for stored in versions:
            if stored.version.version == version:
                return stored
        raise VersionNotFound(
            f"{name!r} has no version {version}; its newest is {versions[-1].version}.", name=name, version=version
        )

    def _check_free(self, name: str) -> None:
        if name in self._artifacts:
            raise ArtifactExists(f"There is an artifact {name!r} already; `update` stores a new version.", name=name)

    def _check_name(self, name: str) -> None:
        if name in self._artifacts:
            return  # put there by add_hostile_names
        if not name:
            raise InvalidRequest("An artifact's name can't be empty; give one.")
        if len(name) > self.config.name_length_max:
            raise InvalidRequest(
                f"The name has {len(name)} characters; {self.config.name_length_max} is the most. Choose a shorter one."
            )
        if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name):
            raise InvalidRequest(f"The name {name[:80]!r} holds control characters or line breaks; leave them out.")
        if name != name.strip():
            raise InvalidRequest(f"The name {name[:80]!r} begins or ends with white space; leave it out.")

    # --- The cluster --------------------------------------------------------------------------------------------

    def status(self) -> ClusterStatus:
        with self._call("status"):
            states = Counter(node.state for node in self._nodes)
            versions = builtins.list(self._versions())
            wanted = {chunk_id: stored.version.replication for stored in versions for chunk_id in stored.chunk_ids}
            copies = {chunk_id: len(self._holders(chunk_id)) for chunk_id in wanted}
            return ClusterStatus(
                cluster_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, "fake")),
                nodes={state: states[state] for state in NODE_STATES},
                artifacts=len(self._artifacts),
                versions=len(versions),
                chunks=len(wanted),
                logical_bytes=sum(stored.version.size_bytes for stored in versions),
                stored_bytes=sum(node.used_bytes for node in self._nodes if node.serves),
                capacity_bytes=sum(node.capacity_bytes for node in self._nodes if node.serves),
                under_replicated=sum(0 < copies[chunk_id] < wanted[chunk_id] for chunk_id in wanted),
                at_risk=sum(copies[chunk_id] == 1 < wanted[chunk_id] for chunk_id in wanted),
                missing=sum(copies[chunk_id] == 0 for chunk_id in wanted),
                healing=0,
                rebalancing=0,
                healing_waits="",
                healing_bytes=0,
                healing_bytes_per_s=0,
                healing_eta_ms=None,
                corrupt=0,
                garbage_bytes=0,
                trash=sum(map(len, self._trash.values())),
                safe_mode=False,
                epoch=1,
                read_bytes_per_s=self.read_bytes_per_s,
                write_bytes_per_s=self.write_bytes_per_s,
                started_ms=self._started_ms,
                now_ms=self.clock(),
                read_only=self.read_only,
                trash_bytes=sum(deleted.size_bytes for entries in self._trash.values() for deleted in entries),
                checkpoint_age_ms=self.checkpoint_age_ms,
                checkpoint_edits_behind=None if self.checkpoint_age_ms is None else 3,
            )

    def nodes(self) -> builtins.list[NodeInfo]:
        with self._call("nodes"):
            return [self._node_info(node) for node in self._nodes]

    def node(self, id: str) -> NodeDetail:
        with self._call("node"):
            node = self._find_node(id)
            rows = [
                NodeArtifact(name, versions[-1].version.version, count)
                for name, versions in sorted(self._artifacts.items())
                if (count := sum(chunk_id in node.replicas for chunk_id in versions[-1].chunk_ids))
            ]
            return NodeDetail(self._node_info(node), tuple(rows[:1000]), len(rows))

    def events(self, since: int = 0) -> builtins.list[Event]:
        with self._call("events"):
            return [event for event in self._events if event.seq > since]

    def fail(self, node: str) -> NodeInfo:
        return self._set_wish("fail", node, "failed")

    def recover(self, node: str) -> NodeInfo:
        return self._set_wish("recover", node, "none")

    def drain(self, node: str) -> NodeInfo:
        return self._set_wish("drain", node, "draining")

    def undrain(self, node: str) -> NodeInfo:
        return self._set_wish("undrain", node, "none")

    def forget(self, node: str) -> str:
        with self._call("forget"):
            found = self._find_node(node)
            if found.liveness != "down":
                raise InvalidRequest(f"{found.name} is {found.state}; only a node that is down can be forgotten.")
            if any(not self._holders(chunk_id) for chunk_id in found.replicas):
                raise InvalidRequest(f"{found.name} has the last replica of some chunks; bring it back.")
            self._nodes.remove(found)
            self._tell("warning", f"{found.name} was forgotten by an operator", node=found.id)
            return found.name

    def resume(self) -> bool:
        with self._call("resume"):
            was, self.read_only = bool(self.read_only), ""
            return was

    def scrub(self) -> int:
        with self._call("scrub"):
            asked = sum(node.serves for node in self._nodes)
            self._tell("info", f"Asked {plural(asked, 'storage node')} to re-read all replicas.")
            return asked

    def scrub_and_wait(
        self, *, progress: OnScrub | None = None, cancel: threading.Event | None = None
    ) -> ScrubProgress:
        asked = self.scrub()
        with self._call("scrub_and_wait"):
            total = sum(len(node.replicas) for node in self._nodes if node.serves)
        for done in range(total + 1):
            state = ScrubProgress(asked, asked if done == total else 0, (), done, total, 0, 0)
            if progress is not None:
                progress(state)
            if cancel is not None and cancel.is_set():
                break
        return state

    def fsck(
        self,
        *,
        repair: bool = False,
        deep: bool = False,
        progress: OnSteps | None = None,
        cancel: threading.Event | None = None,
    ) -> FsckReport:
        with self._call("fsck"):
            if cancel is not None and cancel.is_set():
                raise Cancelled("fsck was cancelled before its end; what it had begun to repair goes on.")
            before = self._findings()
            if progress is not None:
                progress(Steps("checking chunks", len(self._contents), len(self._contents)))
        self._wait_in_fsck(cancel)
        if repair:
            self.heal()
        with self._call("fsck"):
            findings = self._findings() if repair else before
            missing = sum(finding.problem == "missing" for finding in findings)
            return FsckReport(
                clean=not findings,
                deep=deep,
                bad=0,
                chunks=len({chunk_id for stored in self._versions() for chunk_id in stored.chunk_ids}),
                missing=missing,
                under=len(findings) - missing,
                surplus=0,
                orphaned=0,
                orphaned_bytes=0,
                corrupt=0,
                findings=tuple(findings),
                quarantined=(),
                nodes=tuple(
                    NodeCheck(node.name, node.state, True, "", replicas=len(node.replicas))
                    if node.serves
                    else NodeCheck(node.name, node.state, False, _REASONS[node.state])
                    for node in self._nodes
                ),
                catalog=(),
                repairs=Repairs("", len(before), 0, 0, len(before) - len(findings)) if repair else None,
            )

    def _wait_in_fsck(self, cancel: threading.Event | None) -> None:
        """While a test holds it, until it is cancelled."""
        while not self.fsck_may_end.wait(0.01):
            if cancel is not None and cancel.is_set():
                raise Cancelled("fsck was cancelled before its end; what it had begun to repair goes on.")

    def _findings(self) -> builtins.list[ChunkFinding]:
        found: dict[str, ChunkFinding] = {}
        for stored in self._versions():
            for chunk_id in stored.chunk_ids:
                holders = self._holders(chunk_id)
                if len(holders) < stored.version.replication:
                    found[chunk_id] = ChunkFinding(
                        chunk=chunk_id,
                        size_bytes=len(self._contents[chunk_id]),
                        problem="under" if holders else "missing",
                        wanted=stored.version.replication,
                        replicas=len(holders),
                        nodes=tuple(node.name for node in holders),
                        note="" if holders else "last known on a node that is not up",
                        artifacts=(stored.version.name,),
                        artifacts_total=1,
                    )
        return builtins.list(found.values())

    def examine(self) -> DoctorReport:
        """What the doctor says of this cluster; no method of a store, since the doctor also comes without one."""
        with self._call("examine"):
            down = [node.name for node in self._nodes if not node.serves]
            return report(
                [
                    ok("cluster", "The fake cluster answers."),
                    *(warning("nodes", f"{name} does not serve.", f"`recover {name}`.") for name in down),
                ]
            )

    def reconnect(self) -> None:
        with self._call("reconnect"):
            pass

    def close(self) -> None:
        self.closed = True
        self._released.set()

    def _set_wish(self, verb: str, node: str, wish: Wish) -> NodeInfo:
        with self._call(verb):
            found = self._find_node(node)
            if verb == "drain" and found.wish == "failed":
                raise InvalidRequest(f"{found.name} has been failed and can't be drained; recover it first.")
            if wish != "none" or found.wish == _UNDONE_BY[verb]:
                found.wish, found.drain_total = wish, len(found.replicas)
            self._tell("warning" if wish == "failed" else "info", f"{found.name} is {found.state}.", node=found.id)
            return self._node_info(found)

    def _set_liveness(self, node: str, liveness: Literal["up", "suspect", "down"]) -> None:
        with self._lock:
            found = self._find_node(node)
            found.liveness = liveness
            found.last_beat_ms = self.clock()
            self._tell("info" if liveness == "up" else "warning", f"{found.name} is {found.state}.", node=found.id)

    def _find_node(self, wanted: str) -> FakeNode:
        exact = [node for node in self._nodes if wanted in (node.id, node.name)]
        found = exact or [node for node in self._nodes if wanted and f"{node.id}\n{node.name}".startswith(wanted)]
        found = found or [node for node in self._nodes if wanted and node.name.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(node.name for node in found or self._nodes)
        if found:
            raise NodeNotFound(f"{wanted!r} could be any of {names}; write more of it.", node=wanted)
        raise NodeNotFound(f"There is no storage node {wanted!r}; there are {names}.", node=wanted)

    def _node_info(self, node: FakeNode) -> NodeInfo:
        age_ms = 400 if node.serves and node.liveness == "up" else self.clock() - node.last_beat_ms
        return NodeInfo(
            id=node.id,
            name=node.name,
            state=node.state,
            reason=_REASONS[node.state],
            host="localhost",
            chunks=len(node.replicas),
            used_bytes=node.used_bytes,
            capacity_bytes=node.capacity_bytes,
            free_bytes=node.capacity_bytes - node.used_bytes,
            disk=node.disk,
            heartbeat_age_ms=age_ms,
            pid=4000 + self._nodes.index(node),
            directory=f"/data/{node.name}",
            copying=0,
            corrupt=0,
            read_bytes_per_s=self.read_bytes_per_s // len(self._nodes),
            write_bytes_per_s=self.write_bytes_per_s // len(self._nodes),
            started_ms=self._started_ms,
            drain_left=len(node.replicas) if node.wish == "draining" else None,
            drain_total=max(node.drain_total, len(node.replicas)) if node.wish == "draining" else None,
            drain_eta_ms=0 if node.state == "drained" else None,
        )

    # --- Underneath ---------------------------------------------------------------------------------------------

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        """What every call to the cluster goes through."""
        self.calls[method] += 1
        self._connected()
        with self._lock:
            yield

    def _connected(self) -> None:
        self._released.wait()
        if self._broken or self.closed:
            raise ClusterUnreachable("The cluster does not answer; it may be starting again. Try again in a moment.")

    def _tell(self, severity: Severity, text: str, node: str = "", artifact: str = "") -> None:
        self._events.append(Event(len(self._events) + 1, self.clock(), severity, text, node, artifact))

    def _versions(self) -> Iterator[StoredVersion]:
        for versions in self._artifacts.values():
            yield from versions

    def _holders(self, chunk_id: str) -> builtins.list[FakeNode]:
        return [node for node in self._nodes if node.serves and chunk_id in node.replicas]

    def _health(self, stored: StoredVersion) -> Health:
        wanted = stored.version.replication
        fewest = min((len(self._holders(chunk_id)) for chunk_id in stored.chunk_ids), default=wanted)
        if fewest >= wanted:
            return "ok"
        return "lost" if fewest == 0 else "at_risk" if fewest == 1 else "under"

    def _heal_chunk(self, chunk_id: str, replication: int) -> None:
        if not self._holders(chunk_id):
            return
        staying = sum(node.wish != "draining" for node in self._holders(chunk_id))
        for node in self._nodes:
            if staying < replication and node.takes_new_chunks and chunk_id not in node.replicas:
                node.replicas[chunk_id] = len(self._contents[chunk_id])
                staying += 1


class _Transfer:
    """Counts one transfer's bytes and tells its owner."""

    def __init__(
        self, progress: OnProgress | None, cancel: threading.Event | None, total_bytes: int | None = None
    ) -> None:
        self.cancel = cancel or threading.Event()
        self.done_bytes = 0
        self.total_bytes = total_bytes
        self._progress = progress
        self._last: Progress | None = None

    def report(self, stage: Literal["starting", "transferring", "committing", "done"]) -> None:
        self.check()
        now = Progress(self.done_bytes, self.total_bytes, self.done_bytes, stage)
        if self._progress is not None and now != self._last:
            self._last = now
            self._progress(now)

    def check(self) -> None:
        if self.cancel.is_set():
            raise Cancelled("The transfer was cancelled; nothing was stored.")


_UNDONE_BY: dict[str, Wish] = {"recover": "failed", "undrain": "draining"}

_REASONS: dict[NodeState, str] = {
    "up": "heartbeats arrive",
    "suspect": "no heartbeat for 4 s",
    "down": "no heartbeat for 12 s",
    "failed": "failed by an operator; recover it to bring it back",
    "draining": "draining: its chunks are still to be copied elsewhere",
    "drained": "drained: every chunk on it has its replicas elsewhere, it can be stopped",
}


def _chunk_id(piece: bytes) -> str:
    return blake3(piece).hexdigest()


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.casefold(), pattern.casefold()
    return fnmatchcase(name, pattern) if any(char in pattern for char in "*?[") else pattern in name


def _check_range(what: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise InvalidRequest(f"A {what} of {value} is outside of 1 to {most:,}; choose one within.")
