"""The ways to the actors: look-up by name, deadlines, retries, and Ray's errors translated into ours."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from core.checkpoint.manifest import Manifest
from core.cluster.payload import Payload
from core.cluster.threads import within
from core.config import MIB, Config
from core.errors import ClusterUnreachable, DameError, Defect, NodeNotServing, NotReady, StorageNodeError
from core.gateway import Call, NameNodeCalls
from core.host import host_name
from core.model import NodeRef
from core.storagenode.chunkstore import read_replica

if TYPE_CHECKING:
    from core.cluster.launch import Session

NAMESPACE = "dame"
NAMENODE_NAME = "namenode"

INLINE_BYTES = 64 * 1024
"""Content up to this size travels inside the call; Ray itself draws the line at 100 KB."""

HEARTBEAT_TIMEOUT_MS = 5_000

LOOKUP_TIMEOUT_S = 5.0
"""Ray itself waits a minute for a head that is gone, with no way to ask for less."""

LOST = (RayError, ConnectionError, TimeoutError, FutureTimeout)
"""What Ray raises when the other side, or the way to it, is gone."""

QUICK = frozenset({"status", "nodes", "nodes_of", "node", "artifacts", "events", "abandon"})
"""Questions of a screen that asks again each second, where no answer soon is better than an old one late; and what need
not be said at all."""
QUICK_RETRY_MS = 5_000
LONG = frozenset({"commit", "fsck", "set_replication"})
"""What may take the NameNode many seconds, on a large version or a large catalog."""

HANDLES_MAX = 1_000
"""The names of storage nodes' actors are new with each Ray node that joins: the oldest handles go."""

_handles: dict[str, Any] = {}
"""Actors by name. A handle stays good when Ray restarts the actor; one that is dead for good is dropped."""
_handles_lock = threading.Lock()


def actor(name: str) -> Any:
    """The handle of a named actor. Raises ValueError if there is none, or one of LOST."""
    with _handles_lock:
        known = _handles.get(name)
    if known is not None:
        return known
    handle = within(LOOKUP_TIMEOUT_S, lambda: ray.get_actor(name, namespace=NAMESPACE))
    with _handles_lock:
        _handles[name] = handle
        if len(_handles) > HANDLES_MAX:
            del _handles[next(iter(_handles))]
    return handle


def forget(name: str) -> None:
    with _handles_lock:
        _handles.pop(name, None)


def forget_all() -> None:
    with _handles_lock:
        _handles.clear()


def ours(error: BaseException) -> DameError | None:
    """The error of ours that an actor raised, if that is what Ray wraps."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return cause if isinstance(cause, DameError) else None


def ask_namenode(method: str, *arguments: Any, timeout_ms: int = HEARTBEAT_TIMEOUT_MS) -> Any:
    """One call, tried once. Raises what the NameNode raises, or ClusterUnreachable."""
    try:
        return ray.get(actor(NAMENODE_NAME).ask.remote(method, *arguments), timeout=timeout_ms / 1000)
    except (ValueError, *LOST) as error:
        if (told := ours(error)) is not None:
            raise told from None
        if isinstance(error, RayTaskError):
            raise Defect(f"The NameNode failed inside at `{method}`: {_last_line(error)}. Please report it.") from error
        if not isinstance(error, GetTimeoutError):
            forget(NAMENODE_NAME)
        raise ClusterUnreachable(f"The NameNode does not answer ({_first_line(error)}).") from error


def ask_storage_node(endpoint: str, timeout_ms: int, method: str, *arguments: Any) -> Any:
    """One call to a storage node, tried once. Raises StorageNodeError and its kinds."""
    call = start(endpoint, method, *arguments)
    try:
        return call.result(timeout_ms)
    except TimeoutError as error:
        raise NodeNotServing(f"no answer within {timeout_ms} ms") from error


def start(endpoint: str, method: str, *arguments: Any) -> RayCall:
    """Begin a call to a storage node. That it can't be begun shows in its result."""
    try:
        return RayCall(endpoint, ref=getattr(actor(endpoint), method).remote(*arguments))
    except (ValueError, *LOST) as error:
        forget(endpoint)
        return RayCall(endpoint, error=NodeNotServing(f"its process can't be reached ({_first_line(error)})"))


class RayCall:
    """A call to a storage node under way."""

    def __init__(self, endpoint: str, *, ref: Any = None, answer: Any = None, error: DameError | None = None) -> None:
        self.ref = ref
        """None if the answer, or the error, is there already."""
        self._endpoint = endpoint
        self._answer = answer
        self._error = error

    def result(self, timeout_ms: int | None = None) -> Any:
        """The answer. Raises what the storage node raised; NodeNotServing if it is gone; TimeoutError."""
        if self._error is not None:
            raise self._error
        if self.ref is None:
            return self._answer
        try:
            answer = ray.get(self.ref, timeout=None if timeout_ms is None else timeout_ms / 1000)
        except (ValueError, *LOST) as error:
            if (told := ours(error)) is not None:
                raise told from None
            if isinstance(error, RayTaskError):
                raise StorageNodeError(f"it failed inside: {_last_line(error)}") from error
            if isinstance(error, TimeoutError):
                raise
            if isinstance(error, (RayActorError, ValueError)):
                forget(self._endpoint)
            raise NodeNotServing(f"its process does not answer ({_first_line(error)})") from error
        return answer.view if isinstance(answer, Payload) else answer


def read_here(node: NodeRef, host: str, chunk_id: str) -> bytes | None:
    """A replica straight from the directory of a node that is on this host; None if that can't be done. The hash is
    still to be checked."""
    return read_replica(Path(node.directory), chunk_id) if node.host == host else None


class ReadsPast:
    """What was read past the processes of storage nodes, told to them in lots: they reckon what their disks do."""

    LOT_BYTES = 8 * MIB

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._untold: dict[str, int] = {}
        """Bytes by endpoint."""

    def add(self, endpoint: str, size_bytes: int) -> None:
        with self._lock:
            total = self._untold.pop(endpoint, 0) + size_bytes
            if total < self.LOT_BYTES:
                self._untold[endpoint] = total
                return
        start(endpoint, "note_read", total)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _last_line(error: BaseException) -> str:
    """Where a traceback says what happened."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


@contextmanager
def translated() -> Iterator[None]:
    """For Ray's own calls. Raises ClusterUnreachable for what Ray raises.

    Its client for `ray://` raises a bare Exception when the server it is connected to has been replaced by another.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, LOST) and type(error) is not Exception:
            raise
        raise ClusterUnreachable(f"The Ray cluster does not answer ({_first_line(error)}).") from error


class RayGateway:
    """How a client reaches the cluster: `core.gateway.Gateway` over Ray."""

    def __init__(self, session: Session, config: Config) -> None:
        self._session = session
        self._config = config
        self._host = host_name()
        self.namenode: NameNodeCalls = cast(NameNodeCalls, NameNodeProxy(config))

    def put(self, data: memoryview) -> Any:
        if data.nbytes <= INLINE_BYTES:
            return Payload(bytes(data))
        with translated():
            return ray.put(Payload(data))

    def store(self, node: NodeRef, chunk_id: str, payload: Any) -> Call:
        return start(node.endpoint, "store", node.id, chunk_id, payload)

    def read(self, node: NodeRef, chunk_id: str) -> Call:
        """From the node's own directory where that is on this machine, which saves the way through shared memory."""
        if self._config.short_circuit_reads:
            data = read_here(node, self._host, chunk_id)
            if data is not None:
                start(node.endpoint, "note_read", len(data))
                return RayCall(node.endpoint, answer=data)
        return start(node.endpoint, "read", node.id, chunk_id)

    def verify(self, node: NodeRef, chunk_id: str) -> Call:
        return start(node.endpoint, "verify", node.id, chunk_id)

    def keep_checkpoint(self, node: NodeRef, manifest: Manifest) -> Call:
        return start(node.endpoint, "keep_checkpoint", node.id, manifest)

    def walk(self, node: NodeRef) -> Call:
        return start(node.endpoint, "walk", node.id)

    def bring_back(self, node: NodeRef, chunk_ids: Sequence[str]) -> Call:
        return start(node.endpoint, "bring_back", node.id, tuple(chunk_ids))

    def fail(self, node: NodeRef) -> Call:
        return start(node.endpoint, "fail", node.id)

    def recover(self, node: NodeRef) -> Call:
        return start(node.endpoint, "recover", node.id)

    def wait(self, calls: Iterable[Call], timeout_ms: int) -> list[Call]:
        pending = [cast(RayCall, call) for call in calls]
        done: list[Call] = [call for call in pending if call.ref is None]
        by_ref = {call.ref: call for call in pending if call.ref is not None}
        if not by_ref:
            return done
        with translated():
            ready, _ = ray.wait(list(by_ref), num_returns=1, timeout=0 if done else timeout_ms / 1000)
            if ready:
                ready, _ = ray.wait(list(by_ref), num_returns=len(by_ref), timeout=0)
        return done + [by_ref[ref] for ref in ready]

    def pause(self, duration_ms: int) -> None:
        time.sleep(duration_ms / 1000)

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def unique_id(self) -> str:
        return str(uuid.uuid4())

    def reconnect(self) -> None:
        forget_all()
        if not self._session.alive():
            self._session.close()
            self._session.open()

    def close(self) -> None:
        forget_all()
        self._session.close()


class NameNodeProxy:
    """The NameNode's methods for clients, each kept trying while the NameNode is away or not ready."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda *arguments: self._ask(method, arguments)

    def _ask(self, method: str, arguments: tuple[Any, ...]) -> Any:
        budget_ms = QUICK_RETRY_MS if method in QUICK else self._config.retry_ms
        attempts = Retrying(
            retry=retry_if_exception_type((ClusterUnreachable, NotReady)),
            stop=stop_after_delay(budget_ms / 1000),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )
        return attempts(ask_namenode, method, *arguments, timeout_ms=self._timeout_ms(method))

    def _timeout_ms(self, method: str) -> int:
        if method in QUICK:
            return min(QUICK_RETRY_MS, self._config.call_timeout_ms)
        return self._config.call_timeout_ms * (6 if method in LONG else 1)
