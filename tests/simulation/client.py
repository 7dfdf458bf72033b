"""The client library that ships, over the simulated network."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from core.checkpoint.manifest import Manifest
from core.errors import ClusterUnreachable, NotReady
from core.gateway import Call, NameNodeCalls
from core.model import NodeRef
from core.storagenode.storagenode import StorageNode
from tests.simulation import network
from tests.simulation.oracle import Intent

if TYPE_CHECKING:
    from tests.simulation.world import World

QUICK = frozenset({"status", "nodes", "nodes_of", "node", "artifacts", "events", "abandon"})
QUICK_RETRY_MS = 5_000
"""These two, and the rest of `NameNodeProxy`, are those of core.cluster.remote, which can't be imported without Ray."""


class SimulatedGateway:
    """`core.gateway.Gateway` of one client process."""

    def __init__(self, world: World, address: str) -> None:
        self.address = address
        self.operation = ""
        """The id made last: that of the mutation under way."""
        self.intent = Intent("", "")
        """What that mutation is for."""
        self.namenode: NameNodeCalls = cast(NameNodeCalls, NameNodeProxy(world, address))
        self._world = world

    def put(self, data: memoryview) -> bytes:
        return bytes(data)

    def store(self, node: NodeRef, chunk_id: str, payload: bytes) -> Call:
        return self._call(node, f"store {chunk_id[:6]}", lambda meant: meant.store(chunk_id, payload))

    def read(self, node: NodeRef, chunk_id: str) -> Call:
        return self._call(node, f"read {chunk_id[:6]}", lambda meant: bytes(meant.read(chunk_id)))

    def verify(self, node: NodeRef, chunk_id: str) -> Call:
        return self._call(node, f"verify {chunk_id[:6]}", lambda meant: meant.verify(chunk_id))

    def keep_checkpoint(self, node: NodeRef, manifest: Manifest) -> Call:
        return self._call(node, "keep_checkpoint", lambda meant: meant.keep_checkpoint(manifest))

    def walk(self, node: NodeRef) -> Call:
        return self._call(node, "walk", lambda meant: meant.walk())

    def bring_back(self, node: NodeRef, chunk_ids: Sequence[str]) -> Call:
        return self._call(node, "bring_back", lambda meant: meant.bring_back(chunk_ids))

    def fail(self, node: NodeRef) -> Call:
        return self._call(node, "fail", lambda meant: meant.fail())

    def recover(self, node: NodeRef) -> Call:
        return self._call(node, "recover", lambda meant: meant.recover())

    def _call(self, node: NodeRef, what: str, run: Callable[[StorageNode], Any]) -> Call:
        return self._world.network.call(self.address, node.endpoint, what, lambda process: run(process.meant(node.id)))

    def wait(self, calls: Iterable[Call], timeout_ms: int) -> list[Call]:
        return cast("list[Call]", self._world.network.wait(cast("Iterable[network.Call]", calls), timeout_ms))

    def pause(self, duration_ms: int) -> None:
        assert self._world.scheduler.current is not None
        self._world.scheduler.current.wait(duration_ms)

    def monotonic_ms(self) -> int:
        return self._world.now_ms

    def wall_ms(self) -> int:
        return self._world.now_ms

    def unique_id(self) -> str:
        self.operation = self._world.new_id()
        self._world.oracle.intends(self.operation, self.intent)
        return self.operation

    def reconnect(self) -> None:
        """There is no connection to lose."""

    def close(self) -> None:
        """The cluster is not the client's."""


class NameNodeProxy:
    """The NameNode's methods, each kept trying while the NameNode is away or not ready."""

    def __init__(self, world: World, address: str) -> None:
        self._world = world
        self._address = address
        self._rng = random.Random(f"{world.plan.seed}/{address}/retries")

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda *arguments: self._ask(method, arguments)

    def _ask(self, method: str, arguments: tuple[Any, ...]) -> Any:
        world, config = self._world, self._world.plan.config
        end_ms = world.now_ms + (QUICK_RETRY_MS if method in QUICK else config.retry_ms)
        attempt = 0
        while True:
            attempt += 1
            try:
                return world.ask_namenode(self._address, method, arguments, self._timeout_ms(method))
            except (ClusterUnreachable, NotReady):
                if world.now_ms >= end_ms:
                    raise
            assert world.scheduler.current is not None
            world.scheduler.current.wait(self._rng.randint(0, min(1_000, 50 * 2 ** min(attempt, 10))))

    def _timeout_ms(self, method: str) -> int:
        config = self._world.plan.config
        if method in QUICK:
            return min(QUICK_RETRY_MS, config.call_timeout_ms)
        return config.call_timeout_ms * (6 if method == "commit" else 1)
