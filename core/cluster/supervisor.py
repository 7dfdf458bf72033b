"""Keeps one StorageNode actor for each storage slot in the Ray cluster.

A Ray node says how many slots it has by the resource `storage_slot`. An actor is bound to its Ray node, where its
disk is; Ray restarts its process there. When the Ray node is gone the actor is gone with it, and a new Ray node on
the same directories gets new actors.
"""

from __future__ import annotations

import logging
import math

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.cluster import STORAGE_SLOT
from core.cluster.logs import ids
from core.cluster.remote import NAMESPACE
from core.config import Config

log = logging.getLogger("dame.supervisor")


class Supervisor:
    """Driven by `step`, from time to time."""

    def __init__(self, config: Config, storage_root: str | None) -> None:
        self._config = config
        self._storage_root = storage_root

    def step(self) -> None:
        """Start what is missing. Raises RayError when the cluster can't be asked."""
        for node in ray.nodes():
            slots = math.floor(node["Resources"].get(STORAGE_SLOT, 0)) if node["Alive"] else 0
            for slot in range(slots):
                self._ensure(node["NodeID"], slot, slots)

    def _ensure(self, ray_node_id: str, slot: int, slots: int) -> None:
        endpoint = f"storage-{ray_node_id}-{slot}"
        try:
            ray.get_actor(endpoint, namespace=NAMESPACE)
        except ValueError:
            self._start(endpoint, ray_node_id, slots)

    def _start(self, endpoint: str, ray_node_id: str, slots: int) -> None:
        log.info("starting a storage node's process", extra=ids(endpoint=endpoint, ray_node=ray_node_id))
        from core.cluster.actors import STORAGENODE  # that module needs this one to define its NameNode shell

        STORAGENODE.options(
            name=endpoint,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            resources={STORAGE_SLOT: 1},
            scheduling_strategy=NodeAffinitySchedulingStrategy(ray_node_id, soft=False),
        ).remote(endpoint, self._storage_root, slots, self._config)
