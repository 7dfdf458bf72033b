"""Making checkpoints: when one is due, and the steps of one, as a client of the store.

The order of the steps leaves a whole checkpoint to be found after a crash at any moment:

1. The catalog is copied, and the copy stored as the next version of a hidden artifact: its chunks count from then on.
2. Every storage node that is up keeps the manifest. Until enough have, the one before is the newest that is found.
3. The NameNode is told. Only now do versions go that are older than the one before, and their chunks become garbage.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from core.checkpoint.manifest import Manifest
from core.config import MIB, Config, write_quorum
from core.errors import Cancelled, DameError, NotEnoughNodes
from core.gateway import Call, Gateway
from core.model import CHECKPOINT_NAME, BeginRequest, ClusterStatus, NodeRef
from core.namenode.backup import CatalogCopy, copy_catalog
from core.transfer.source import open_source
from core.transfer.upload import Upload

log = logging.getLogger("dame")

CHUNK_SIZE_BYTES = 1 * MIB
"""Keeps the memory small. What did not change is not stored twice, but of a large catalog nearly every MiB changes with
a hundred edits: its keys are hashes, which lie anywhere."""
WINDOW_CHUNKS = 2
"""In flight at once: all the memory that a checkpoint takes, twice."""

COPY_NAME = "checkpoint.copy"
"""Of the copy, beside the catalog, while it is being stored."""
LAST_COPY_NAME = "checkpoint.last"
"""Of the copy that another process makes when it ends the cluster."""

Pause = Callable[[], None]


class Checkpointer:
    """Driven by `step`, from time to time, for one NameNode whose catalog is in `directory`.

    pause: called after each MiB that was copied or stored, to leave the machine to others. copy_name: of a file that
    nobody else writes. cancel: when it is set, a checkpoint that is being made ends with Cancelled.
    """

    def __init__(
        self,
        gateway: Gateway,
        config: Config,
        directory: Path,
        pause: Pause,
        copy_name: str = COPY_NAME,
        cancel: threading.Event | None = None,
    ) -> None:
        self._gateway = gateway
        self._config = config
        self._directory = directory
        self._copy_path = directory / copy_name
        self._pause = pause
        self._cancel = cancel or threading.Event()
        self._gap_ms = config.checkpoint_first_ms
        self._tried_ms = gateway.monotonic_ms() - config.checkpoint_interval_ms
        self._manifest: Manifest | None = None
        """Of the newest checkpoint that this one made."""
        self._holders: set[str] = set()
        """Storage nodes that keep it."""

    def step(self) -> None:
        """Make a checkpoint if one is due; what fails is told to the NameNode and tried again later.

        Raises ClusterUnreachable, NotReady when there is nobody to tell.
        """
        if not self._is_due(self._gateway.namenode.status()):
            self._spread()
            return
        self._tried_ms = self._gateway.monotonic_ms()
        try:
            self.save()
        except DameError as error:
            log.warning("the catalog could not be checkpointed: %s", error)
            self._gateway.namenode.checkpoint_failed(error.message.replace(repr(CHECKPOINT_NAME), "the catalog"))
            return  # with the gap as it was: there is not one checkpoint more
        self._gap_ms = min(2 * self._gap_ms, self._config.checkpoint_interval_ms)

    def _is_due(self, status: ClusterStatus) -> bool:
        """Soon after the start and then ever more seldom, since the life of a cluster on a laptop may be short."""
        if not status.nodes["up"] or status.safe_mode:
            return False
        behind = status.checkpoint_edits_behind
        waited_ms = self._gateway.monotonic_ms() - self._tried_ms
        many = behind is not None and behind >= self._config.checkpoint_edits
        return behind != 0 and waited_ms >= (self._config.checkpoint_first_ms if many else self._gap_ms)

    # --- One checkpoint -----------------------------------------------------------------------------------------

    def save(self) -> Manifest:
        """Raises what stands in its way, as a DameError; the checkpoints there are stay as they are then."""
        time_ms = self._gateway.wall_ms()
        try:
            copy = copy_catalog(self._directory, self._copy_path, self._config.disk_reserve_bytes, self._go_on)
            manifest, version = self._store(copy, time_ms)
        finally:
            with suppress(OSError):  # replaced by the next one
                self._copy_path.unlink(missing_ok=True)
        self._go_on()
        self._manifest, self._holders = manifest, set()
        self._spread()
        self._check_holders()
        self._go_on()
        self._gateway.namenode.checkpoint_stored(manifest, version, len(self._holders))
        return manifest

    def _go_on(self) -> None:
        """Between any two steps."""
        self._pause()
        if self._cancel.is_set():
            raise Cancelled("The checkpoint of the catalog was cancelled; the one before stays the newest.")

    def _store(self, copy: CatalogCopy, time_ms: int) -> tuple[Manifest, int]:
        config = replace(self._config, chunk_size_bytes=CHUNK_SIZE_BYTES, transfer_window_chunks=WINDOW_CHUNKS)
        with open_source(copy.path) as source:
            request = BeginRequest(
                self._gateway.unique_id(),
                CHECKPOINT_NAME,
                "checkpoint",
                source.size_bytes,
                self._config.replication,  # not that of the last one, which may be of another day's configuration
                CHUNK_SIZE_BYTES,
                keep_versions=0,  # older ones go at the last step, not by themselves
                cluster_id=copy.cluster_id,  # this process may be connected to another one by now
            )
            upload = Upload(self._gateway, config, source, lambda _: self._go_on(), self._cancel)
            version = upload.run(request)
        manifest = Manifest(
            copy.cluster_id, copy.epoch, copy.edits, time_ms, version.size_bytes, version.digest, upload.chunks
        )
        return manifest, version.version

    # --- Its manifest -------------------------------------------------------------------------------------------

    def _spread(self) -> None:
        """Give the newest manifest to the storage nodes that are up and lack it."""
        if self._manifest is None:
            return
        namenode = self._gateway.namenode
        up = [node.id for node in namenode.nodes() if node.state in ("up", "draining", "drained")]
        self._hand_out(self._manifest, [namenode.node_ref(node_id) for node_id in up if node_id not in self._holders])

    def _hand_out(self, manifest: Manifest, nodes: list[NodeRef]) -> None:
        waiting: dict[Call, NodeRef] = {self._gateway.keep_checkpoint(node, manifest): node for node in nodes}
        end_ms = self._gateway.monotonic_ms() + self._config.store_timeout_ms
        while waiting and (left_ms := end_ms - self._gateway.monotonic_ms()) > 0:
            for call in self._gateway.wait(waiting, left_ms):
                node = waiting.pop(call)
                try:
                    call.result()
                    self._holders.add(node.id)
                except DameError as error:
                    log.warning("%s does not keep the checkpoint: %s", node.name, error)

    def _check_holders(self) -> None:
        """As many as make a write safe, or all there are."""
        members = sum(node.state not in ("failed", "down") for node in self._gateway.namenode.nodes())
        needed = max(1, min(write_quorum(self._config.replication), members))
        if len(self._holders) < needed:
            raise NotEnoughNodes(
                f"Only {len(self._holders)} of the {needed} storage nodes needed keep the manifest of the catalog's"
                " checkpoint, so the one before stays the newest. Look at `nodes`."
            )
