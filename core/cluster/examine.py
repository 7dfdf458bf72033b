"""What the doctor can only learn from Ray: whether it lets us in, and what the processes of the cluster say of
themselves. Nothing is started here."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path

import ray

import core
from core.cluster import launch, remote
from core.cluster.threads import within
from core.cluster.token import head_address
from core.doctor.facts import ClusterFacts, Heard
from core.doctor.gather import wall_ms
from core.errors import ClusterUnreachable, DameError, ProtocolMismatch, StorageNodeError
from core.model import NodeInfo
from core.protocol import PROTOCOL_VERSION, RELEASE

RAY_VERSION: str = ray.__version__
NAMENODE = "the NameNode"

ENTER_TIMEOUT_S = 60.0
"""Ray tries for minutes where something listens and does not answer."""
ANSWER_TIMEOUT_MS = 5_000
ASKED_AT_ONCE = 8

BEATING = frozenset({"up", "draining", "drained"})

__all__ = ["RAY_VERSION", "entered", "head_address", "inside", "look"]


def inside() -> bool:
    """Whether this process is connected to a cluster already, as the dashboard is."""
    return bool(ray.is_initialized())


@contextmanager
def entered(address: str, embedded: bool) -> Iterator[None]:
    """In the cluster, by the connection that this process has or by one for the time of the visit.

    Raises ClusterUnreachable.
    """
    if inside():
        yield
        return
    if embedded:
        launch.stay_on_loopback()
    code = {} if embedded else {"runtime_env": {"py_modules": [str(Path(core.__file__).parent)]}}
    try:
        within(ENTER_TIMEOUT_S, lambda: launch.enter_ray(address=address, **code))
    except FutureTimeout:
        raise ClusterUnreachable(
            f"Ray at {address} listens, but did not let this process in within {ENTER_TIMEOUT_S:.0f} s."
        ) from None
    try:
        yield
    finally:
        launch.leave_ray()


def look() -> ClusterFacts:
    """Ask whoever answers. Precondition: in the cluster."""
    if not _namenode_runs():
        return ClusterFacts(refusal="No NameNode runs in this Ray cluster.")
    try:
        remote.ask_namenode("meet", PROTOCOL_VERSION, RELEASE)
        namenode = _heard(NAMENODE, remote.NAMENODE_NAME)
        status = remote.ask_namenode("status")
        nodes: tuple[NodeInfo, ...] = tuple(remote.ask_namenode("nodes"))
    except DameError as error:
        return ClusterFacts(str(error), other_release=isinstance(error, ProtocolMismatch))
    beating = [node for node in nodes if node.state in BEATING]
    with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="doctor") as pool:
        answers = list(pool.map(_storage_node, beating))
    heard = [answer for answer in (namenode, *answers) if answer is not None]
    silent = tuple(node.name for node, answer in zip(beating, answers, strict=True) if answer is None)
    return ClusterFacts(status=status, nodes=nodes, heard=tuple(heard), silent=silent, object_stores=_object_stores())


def _namenode_runs() -> bool:
    """False only if Ray says so for certain."""
    try:
        remote.actor(remote.NAMENODE_NAME)
    except ValueError:
        return False
    except remote.LOST:
        pass  # the next question finds out, and says why
    return True


def _storage_node(node: NodeInfo) -> Heard | None:
    try:
        endpoint = remote.ask_namenode("node_ref", node.id).endpoint
    except DameError:
        return None
    return _heard(node.name, endpoint)


def _heard(name: str, endpoint: str) -> Heard | None:
    """What an actor says of its process; None if it does not answer."""
    asked_ms = wall_ms()
    try:
        facts = remote.start(endpoint, "examine").result(ANSWER_TIMEOUT_MS)
    except (StorageNodeError, TimeoutError, AttributeError):  # the last one of an actor that is of an older release
        return None
    return Heard(name, facts, asked_ms, wall_ms())


def _object_stores() -> tuple[tuple[str, int], ...]:
    try:
        nodes = within(remote.LOOKUP_TIMEOUT_S, ray.nodes)
    except remote.LOST:
        return ()
    return tuple(
        (node["NodeID"], int(node["Resources"].get("object_store_memory", 0))) for node in nodes if node["Alive"]
    )
