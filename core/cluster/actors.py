"""Thin actor shells around NameNode and StorageNode: threads, clocks, the heartbeat loop. Nothing is decided here.

Crash-only: a broken invariant (AssertionError) ends the process, and the NameNode's ends of any error that is no
refusal. Ray would hand it to the caller as an ordinary error and keep a half-changed object alive; a new process starts
from what is on disk.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import ray
from platformdirs import user_data_path
from ray.exceptions import RayError

from core.checkpoint.manifest import Manifest
from core.cluster import remote
from core.cluster.checkpointer import keep_checkpoints
from core.cluster.logs import LastingFailure, ids, log_event, log_failure, start_logging
from core.cluster.metrics import PUBLISH_MS, NameNodeMetrics, StorageNodeMetrics
from core.cluster.payload import Payload
from core.cluster.supervisor import Supervisor
from core.cluster.threads import Gate
from core.config import Config
from core.doctor.facts import ProcessFacts
from core.doctor.gather import process_facts
from core.errors import DameError, DirectoryInUse, NodeNotServing, StorageNodeError
from core.host import host_name
from core.model import Command, CopyChunk, GiveUp, NodeRef, WalkReport
from core.namenode.events import epoch_of
from core.namenode.request_note import RequestNote
from core.namenode.service import NameNodeService
from core.storagenode.conversation import Conversation, pull
from core.storagenode.storagenode import StorageNode

DATA_THREADS = 4
"""Chunks one storage node stores or reads at the same time."""

COPY_THREADS = 16
"""Replica copies one storage node makes at the same time at most: small ones spend their time waiting for the disk to
sync, which it does for many at once."""
LARGE_COPIES = 4
"""Of chunks of the default size and larger it makes fewer at a time; that leaves the disk and the memory to clients."""

OPEN_RETRY_MS = 30_000
"""How long a new process waits for the one before it to let go of the directory."""

SCRUB_RETRY_MS = 10_000
"""How long scrubbing waits when the disk can't be told anything of."""

log = logging.getLogger("dame")

Method = TypeVar("Method", bound=Callable[..., Any])


def group(name: str) -> Callable[[Method], Method]:
    """Let a method run in one of the actor's groups of threads."""
    return cast("Callable[[Method], Method]", ray.method(concurrency_group=name))


P = ParamSpec("P")
R = TypeVar("R")


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def crash_on_broken_invariant(method: Callable[P, R]) -> Callable[P, R]:
    """End the process when an assertion of ours fails inside the method."""
    return _crash_over(AssertionError, method)


def crash_unless_refused(method: Callable[P, R]) -> Callable[P, R]:
    """The same for whatever is no refusal of ours: nobody knows what it left half done."""
    return _crash_over(Exception, method, but=(DameError,))


def crash_when_it_ends(run: Callable[P, R]) -> Callable[P, R]:
    """For threads that nobody awaits: one that dies of anything leaves an actor that only looks alive."""
    return _crash_over(BaseException, run)


def _crash_over(
    errors: type[BaseException], run: Callable[P, R], but: tuple[type[BaseException], ...] = ()
) -> Callable[P, R]:
    @wraps(run)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return run(*args, **kwargs)
        except but:
            raise
        except errors:
            log.critical("%s failed inside; this process ends", run.__qualname__, exc_info=True)
            logging.shutdown()
            os._exit(70)

    return guarded


class NameNodeActor:
    """The NameNode in a process of its own. Ray runs one call at a time."""

    def __init__(self, directory: str | None, storage_root: str | None, config: Config) -> None:
        self._log_lines = start_logging("namenode")
        self._metrics = NameNodeMetrics()
        self._directory = _own_directory(directory, "DAME_NAMENODE_DIR", "namenode")
        self._config = config
        self._service = NameNodeService(
            self._directory, config, _new_id, _new_rng, request_note=RequestNote(self._directory)
        )
        self._open(OPEN_RETRY_MS)
        if self._service.namenode is None:
            log_failure(log, "opening the catalog", self._service.refusal, directory=self._directory)
        self._tell_events()
        self._supervisor = Supervisor(config, storage_root)
        threading.Thread(target=self._supervise, name="supervisor", daemon=True).start()
        threading.Thread(target=self._checkpoint, name="checkpoints", daemon=True).start()
        threading.Thread(target=self._publish, name="metrics", daemon=True).start()

    @crash_unless_refused
    def _open(self, patience_ms: int) -> None:
        """The process before this one may still hold the directory for a moment. Any other refusal is an answer to
        every call; each of them tries again."""
        deadline = time.monotonic() + patience_ms / 1000
        self._service.open(wall_ms())
        while self._service.namenode is None and isinstance(self._service.refusal, DirectoryInUse):
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)
            self._service.open(wall_ms())

    @crash_unless_refused
    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a public method of the NameNode, with the time put first."""
        try:
            with self._metrics.call(method, arguments):
                return self._service.ask(wall_ms(), method, *arguments)
        finally:
            self._tell_events()  # also those before a broken invariant

    def pid(self) -> int:
        return os.getpid()

    def examine(self) -> ProcessFacts:
        """For the doctor."""
        return process_facts(ray.__version__, self._directory, ray.get_runtime_context().get_node_id())

    def _tell_events(self) -> None:
        """Let the log of this process have what was recorded since the last call."""
        try:
            for event in self._service.fresh_events():
                self._log_lines.part = f"namenode/{epoch_of(event)}"
                log_event(log, event)
                self._metrics.event(event)
        except Exception:  # whatever it is, what it would tell of is done
            log.exception("telling events failed inside")

    @crash_when_it_ends
    def _publish(self) -> None:
        """Keep Prometheus told of the cluster, by calls like any other's: the NameNode takes one at a time."""
        failure = LastingFailure(log, "asking the NameNode for its metrics")
        while True:
            try:
                self._metrics.state(remote.ask_namenode("status"), remote.ask_namenode("nodes"))
                failure.over()
            except DameError as error:
                self._metrics.refuses()
                failure.failed(error)
            except Exception:  # whatever it is, it is no reason to end the NameNode's process
                log.exception("telling metrics failed inside")
            time.sleep(PUBLISH_MS / 1000)

    @crash_when_it_ends
    def _checkpoint(self) -> None:
        keep_checkpoints(self._directory, self._config)

    @crash_when_it_ends
    def _supervise(self) -> None:
        while True:
            try:
                self._supervisor.step()
            except RayError:
                log.warning("the supervisor could not look after the storage nodes; it tries again", exc_info=True)
            except Exception:  # whatever it is, it is no reason to end the NameNode's process, each time anew
                log.exception("the supervisor failed inside; it tries again")
            time.sleep(self._config.heartbeat_interval_ms / 1000)


class StorageNodeActor:
    """A storage node in a process of its own: data calls from callers, a heartbeat thread, copies and the scrubber
    beside them."""

    def __init__(self, endpoint: str, storage_root: str | None, slots: int, config: Config) -> None:
        self._log_lines = start_logging(endpoint)
        self._metrics = StorageNodeMetrics()
        self._endpoint = endpoint
        self._config = config
        self._root = _own_directory(storage_root, "DAME_STORAGE_DIR", "storage")
        self._slots = slots
        self._node: StorageNode | None = None
        self._refusal: DameError = NodeNotServing("the storage node is opening its directory")
        self._host = host_name()
        self._reads_past = remote.ReadsPast()
        self._gate = Gate(LARGE_COPIES * config.chunk_size_bytes, config.chunk_size_bytes)
        self._pool = ThreadPoolExecutor(COPY_THREADS, thread_name_prefix="copy")
        self._wake = threading.Event()
        threading.Thread(target=self._live, name="heartbeat", daemon=True).start()

    # --- Called by clients and by other storage nodes -----------------------------------------------------------

    @group("data")
    @crash_on_broken_invariant
    def store(self, node_id: str, chunk_id: str, payload: Payload) -> None:
        with self._measured("store", chunk_id):
            self._meant(node_id).store(chunk_id, payload.view)

    @group("data")
    @crash_on_broken_invariant
    def read(self, node_id: str, chunk_id: str) -> Payload:
        with self._measured("read", chunk_id):
            return Payload(self._meant(node_id).read(chunk_id))

    @group("data")
    @crash_on_broken_invariant
    def keep_checkpoint(self, node_id: str, manifest: Manifest) -> None:
        self._meant(node_id).keep_checkpoint(manifest)

    @group("control")
    def note_read(self, size_bytes: int) -> None:
        """Nobody waits for an answer; a process that only begins counts nothing yet."""
        if self._node is not None:
            self._node.note_read(size_bytes)

    @group("control")
    @crash_on_broken_invariant
    def verify(self, node_id: str, chunk_id: str) -> bool:
        return self._meant(node_id).verify(chunk_id)

    @group("walk")
    @crash_on_broken_invariant
    def walk(self, node_id: str) -> WalkReport:
        report = self._meant(node_id).walk()
        self._wake.set()  # the NameNode should hear of it before it is asked
        return report

    @group("walk")
    @crash_on_broken_invariant
    def bring_back(self, node_id: str, chunk_ids: Sequence[str]) -> int:
        good = self._meant(node_id).bring_back(chunk_ids)
        self._wake.set()
        return good

    @group("control")
    def fail(self, node_id: str) -> None:
        self._meant(node_id).fail()

    @group("control")
    def recover(self, node_id: str) -> None:
        self._meant(node_id).recover()
        self._wake.set()

    @group("control")
    def pid(self) -> int:
        return os.getpid()

    @group("control")
    def examine(self) -> ProcessFacts:
        """For the doctor."""
        directory = self._node.directory if self._node is not None else self._root
        return process_facts(ray.__version__, directory, ray.get_runtime_context().get_node_id())

    def _meant(self, node_id: str) -> StorageNode:
        """The node, if it is the one that the caller means: after a restart another may have this address."""
        node = self._serving()
        node.check_meant(node_id)
        return node

    @contextmanager
    def _measured(self, operation: str, chunk_id: str) -> Iterator[None]:
        """Around a chunk's way to or from the disk."""
        node = "" if self._node is None else self._node.name
        with self._metrics.call(node, operation):
            try:
                yield
            except NodeNotServing:
                raise  # an operator's wish, or a caller that is late
            except DameError as error:
                log_failure(log, f"{operation} of a chunk", error, chunk=chunk_id)
                raise

    def _serving(self) -> StorageNode:
        if self._node is None:
            raise self._refusal
        return self._node

    # --- The heartbeat thread -----------------------------------------------------------------------------------

    @crash_when_it_ends
    def _live(self) -> None:
        self._node = self._open()
        log.info("opened %s", self._node.directory, extra=ids(node=self._node.id, incarnation=self._node.incarnation))
        failure = LastingFailure(log, "the heartbeat")
        threading.Thread(target=self._look_after, name="scrub", daemon=True).start()
        conversation = Conversation(self._node, self._ask_namenode, self._endpoint, os.getpid(), monotonic_ms)
        while True:
            started = time.monotonic()
            try:
                conversation.step(self._carry_out)
                failure.over()
            except DameError as error:
                failure.failed(error, node=self._node.id)
            self._log_lines.part = self._node.name
            self._wake.wait(max(0.0, self._config.heartbeat_interval_ms / 1000 - (time.monotonic() - started)))
            self._wake.clear()

    def _ask_namenode(self, method: str, *arguments: Any) -> Any:
        if method == "heartbeat":
            self._metrics.heartbeat(self._serving().name, *arguments)
        return remote.ask_namenode(method, *arguments)

    def _open(self) -> StorageNode:
        """Become the storage node of the first free directory among this Ray node's slots. Tries for ever, saying
        why not."""
        refusals: set[str] = set()
        while True:
            for slot in range(self._slots):
                try:
                    return StorageNode.open(self._root / f"slot-{slot}", self._config, host=self._host, new_id=_new_id)
                except DameError as error:
                    self._refusal = NodeNotServing(str(error))
                    if error.message not in refusals:
                        refusals.add(error.message)
                        # In use: by the process of another slot here, as a rule.
                        level = logging.INFO if isinstance(error, DirectoryInUse) else logging.WARNING
                        log_failure(log, "opening a storage directory", error, level, slot=slot)
            time.sleep(0.2)

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, CopyChunk):
            self._pool.submit(self._copy, command)
        elif isinstance(command, GiveUp):
            log.error("another process is this storage node now; this one ends")
            os._exit(0)
        else:
            raise AssertionError(f"unknown command {command!r}")

    # --- Beside it ----------------------------------------------------------------------------------------------

    @crash_when_it_ends
    def _copy(self, command: CopyChunk) -> None:
        node = self._serving()
        with self._gate.hold(command.chunk.size_bytes), self._metrics.call(node.name, "copy") as call:
            if not pull(node, command, self._read_from):
                call.outcome = "failed"  # the reasons, one for each source, are in the log
        if node.asks_for_more():
            self._wake.set()

    def _read_from(self, source: NodeRef, chunk_id: str) -> Any:
        """A replica of another node, past its process where that is on this machine; `store` checks what comes."""
        data = remote.read_here(source, self._host, chunk_id) if self._config.short_circuit_reads else None
        if data is None:
            return remote.ask_storage_node(source.endpoint, self._config.store_timeout_ms, "read", source.id, chunk_id)
        self._reads_past.add(source.endpoint, len(data))
        return data

    @crash_when_it_ends
    def _look_after(self) -> None:
        """Re-read replicas for ever, at the pace that the node asks for."""
        node = self._serving()
        while True:
            started = time.monotonic()
            try:
                pause_ms = node.look_after(wall_ms())
            except StorageNodeError as error:
                log.warning("scrubbing waits: %s", error)
                pause_ms = SCRUB_RETRY_MS
            time.sleep(max(0.0, pause_ms / 1000 - (time.monotonic() - started)))


def _own_directory(configured: str | None, variable: str, default: str) -> Path:
    """As whoever started the cluster says, else as this machine's environment says, else under the user data
    directory."""
    return Path(configured or os.environ.get(variable) or user_data_path("dame") / default)


def _new_id() -> str:
    return str(uuid.uuid4())


def _new_rng() -> random.Random:
    return random.Random(uuid.uuid4().int)


NAMENODE = ray.remote(num_cpus=0, max_restarts=-1)(NameNodeActor)
STORAGENODE = ray.remote(
    num_cpus=0, max_restarts=-1, concurrency_groups={"data": DATA_THREADS, "control": 2, "walk": 1}
)(StorageNodeActor)
