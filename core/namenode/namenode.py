"""The NameNode: knows every artifact, every chunk and every storage node, and calls none of them.

A plain synchronous object: what it returns is all it does to the world. Time is passed in with each call, and each
call first lets time take its effect, so there is no timer. The calls of one NameNode come one after the other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from core.checkpoint.manifest import Manifest
from core.config import Config
from core.model import (
    Allocations,
    Artifact,
    ArtifactInfo,
    BeginRequest,
    ChunkKey,
    ClusterStatus,
    CommitRequest,
    Event,
    FsckPage,
    FsckStarted,
    FullReport,
    Heartbeat,
    HeartbeatReply,
    Lease,
    Located,
    NodeDetail,
    NodeInfo,
    NodeRef,
    Registration,
    RegistrationReply,
    ScrubOrder,
    ScrubProgress,
    TrashedArtifact,
    Version,
    Wish,
)
from core.namenode import edits
from core.namenode.catalog import Catalog
from core.namenode.checkpoints import Checkpoints
from core.namenode.checks import check_state
from core.namenode.deleting import Deleter
from core.namenode.events import EventLog
from core.namenode.forgetting import forget
from core.namenode.fsck import Fsck
from core.namenode.garbage import GarbageBook
from core.namenode.healing import Healer
from core.namenode.leases import Leases
from core.namenode.lookup import node_meant
from core.namenode.membership import Membership
from core.namenode.readings import Readings
from core.namenode.reads import Reads
from core.namenode.rebalancing import Rebalancer
from core.namenode.redundancy import Redundancy
from core.namenode.replicating import set_replication
from core.namenode.reports import Reports
from core.namenode.scrubs import Scrubs
from core.namenode.state import State
from core.namenode.trash import Trash
from core.namenode.upkeep import Upkeep
from core.namenode.uploads import Uploads
from core.namenode.wishes import set_wish


class NameNode:
    """`now_ms` is the first argument of every method: wall-clock time. The clock may step back; time here does not."""

    def __init__(self, catalog: Catalog, config: Config, rng: random.Random, now_ms: int, read_only: str = "") -> None:
        """Take a catalog over: from the end on, storage nodes obey this NameNode and none before it. Raises ReadOnly.

        A catalog that can't be read through gets no epoch: tried again and again, a copy would outgrow the right one.

        read_only: why nothing is to be changed, copied or deleted, as a sentence; empty for as usual.
        """
        epoch = catalog.epoch + 1
        members = Membership(catalog.nodes(), config, now_ms)
        redundancy = Redundancy(now_ms, GarbageBook(config))
        healer = Healer(members, redundancy, config, rng)
        rebalancer = Rebalancer(members, redundancy, healer, config)
        self._state = State(
            catalog=catalog,
            config=config,
            rng=rng,
            cluster_id=catalog.cluster_id,
            epoch=epoch,
            started_ms=now_ms,
            now_ms=now_ms,
            safe_mode=len(members) > 0,
            members=members,
            redundancy=redundancy,
            healer=healer,
            rebalancer=rebalancer,
            deleter=Deleter(members, redundancy, config, rebalancer.leaving),
            leases=Leases(config.lease_ms, catalog.leases_until_ms, now_ms, patience_ms=config.garbage_grace_ms),
            events=EventLog(epoch, config.events_max),
            readings=Readings(),
        )
        self._ahead_ms = 0
        """How far the clock has stepped back since the start: silence must be noticed all the same."""
        self._uploads = Uploads(self._state)
        self._trash = Trash(self._state)
        self._checkpoints = Checkpoints(self._state)
        self._reads = Reads(self._state)
        self._reports = Reports(self._state)
        self._upkeep = Upkeep(self._state, self._uploads)
        self._fsck = Fsck(self._state)
        self._scrubs = Scrubs(self._state)
        self._load()
        catalog.apply(edits.StartEpoch(epoch))
        catalog.writer.stopped = read_only
        if read_only:
            self._state.events.record(now_ms, "error", read_only)

    def _load(self) -> None:
        state = self._state
        for need in state.catalog.needs():
            state.redundancy.need(need.chunk, need.wanted)
        state.redundancy.garbage.load(state.catalog.garbage(), state.now_ms, state.redundancy.chunks)
        for member in state.members:
            state.sync_role(member)
        state.events.record(state.now_ms, "info", f"NameNode started, epoch {state.epoch}")

    def tick(self, now_ms: int) -> None:
        """Let time take its effect."""
        state = self._state
        self._ahead_ms = max(self._ahead_ms, state.now_ms - now_ms)
        before_ms, state.now_ms = state.now_ms, now_ms + self._ahead_ms
        state.redundancy.now_ms = state.now_ms
        if state.now_ms - before_ms >= state.config.suspect_after_ms:
            state.members.excuse_silence(state.now_ms)
        self._upkeep.tick()

    def check_invariants(self) -> None:
        """Assert that everything derived agrees with what it is derived from. Slow; for tests."""
        check_state(self._state)

    # --- For storage nodes --------------------------------------------------------------------------------------

    def register(self, now_ms: int, registration: Registration) -> RegistrationReply:
        """A storage node presents itself. Raises DirectoryFailure if its directory can't take part."""
        self.tick(now_ms)
        return self._reports.register(registration)

    def heartbeat(self, now_ms: int, heartbeat: Heartbeat) -> HeartbeatReply:
        self.tick(now_ms)
        refusal = self._reports.heartbeat(heartbeat)
        if refusal is not None:
            return refusal
        # What follows from the heartbeat rides back on its own reply.
        self._upkeep.heal_and_delete()
        return HeartbeatReply(self._state.epoch, True, self._reports.commands(heartbeat))

    def full_report(self, now_ms: int, report: FullReport) -> None:
        self.tick(now_ms)
        self._reports.full_report(report)

    # --- Writing ------------------------------------------------------------------------------------------------

    def begin(self, now_ms: int, request: BeginRequest) -> Lease:
        self.tick(now_ms)
        self._state.check_writable()
        return self._uploads.begin(request)

    def allocate(self, now_ms: int, lease: Lease, chunks: Sequence[ChunkKey], excluded: Sequence[str]) -> Allocations:
        self.tick(now_ms)
        self._state.check_writable()
        return self._uploads.allocate(lease, chunks, excluded)

    def commit(self, now_ms: int, request: CommitRequest) -> Version:
        self.tick(now_ms)
        return self._uploads.commit(request)

    def abandon(self, now_ms: int, lease: Lease) -> None:
        self.tick(now_ms)
        self._uploads.release(lease.id)

    def set_replication(self, now_ms: int, operation: str, name: str, replication: int) -> Version:
        self.tick(now_ms)
        return set_replication(self._state, operation, name, replication)

    # --- The trash ----------------------------------------------------------------------------------------------

    def delete(self, now_ms: int, operation: str, name: str) -> Version:
        self.tick(now_ms)
        return self._trash.delete(operation, name)

    def undelete(self, now_ms: int, operation: str, name: str) -> Version:
        self.tick(now_ms)
        return self._trash.undelete(operation, name)

    def purge(self, now_ms: int, operation: str, name: str) -> Version:
        self.tick(now_ms)
        purged = self._trash.purge(operation, name)
        self._upkeep.housekeeping.hurry()
        return purged

    def trash(self, now_ms: int) -> list[TrashedArtifact]:
        self.tick(now_ms)
        return self._trash.list()

    # --- Reading ------------------------------------------------------------------------------------------------

    def locate(
        self, now_ms: int, name: str, version: int | None, first: int, count: int, artifact: int | None = None
    ) -> Located:
        self.tick(now_ms)
        return self._reads.locate(name, version, first, count, artifact)

    def artifacts(self, now_ms: int, pattern: str) -> list[Artifact]:
        self.tick(now_ms)
        return self._reads.artifacts(pattern)

    def history(self, now_ms: int, name: str) -> list[Version]:
        self.tick(now_ms)
        return self._reads.history(name)

    def info(self, now_ms: int, name: str, version: int | None) -> ArtifactInfo:
        self.tick(now_ms)
        return self._reads.info(name, version)

    def status(self, now_ms: int) -> ClusterStatus:
        self.tick(now_ms)
        return replace(
            self._reads.status(),
            checkpoint_age_ms=self._checkpoints.age_ms(),
            checkpoint_edits_behind=self._checkpoints.edits_behind(),
        )

    def nodes(self, now_ms: int) -> list[NodeInfo]:
        self.tick(now_ms)
        return self._reads.nodes()

    def nodes_of(self, now_ms: int, host: str) -> list[NodeInfo]:
        """Those that one machine runs, as far as they have registered with this NameNode."""
        self.tick(now_ms)
        return self._reads.nodes(host)

    def node(self, now_ms: int, node: str) -> NodeDetail:
        self.tick(now_ms)
        return self._reads.node(node)

    def node_ref(self, now_ms: int, node: str) -> NodeRef:
        """Where to reach a node; `endpoint` is empty if it has not registered with this NameNode."""
        self.tick(now_ms)
        return self._reads.node_ref(node)

    def events(self, now_ms: int, since: int) -> list[Event]:
        self.tick(now_ms)
        return self._state.events.since(since)

    def recorded(self, since: int) -> list[Event]:
        """The same, of what was recorded by now: for the log of its own process, which looks after each call."""
        return self._state.events.since(since)

    # --- For whoever makes checkpoints of the catalog -----------------------------------------------------------

    def checkpoint_stored(self, now_ms: int, manifest: Manifest, version: int, nodes: int) -> None:
        """Storage nodes hold a checkpoint: this version of the hidden artifact, with its manifest. Raises ReadOnly."""
        self.tick(now_ms)
        self._checkpoints.stored(manifest, version, nodes)
        self._upkeep.housekeeping.hurry()

    def checkpoint_failed(self, now_ms: int, reason: str) -> None:
        self.tick(now_ms)
        self._checkpoints.failed(reason)

    # --- For operators ------------------------------------------------------------------------------------------

    def set_wish(self, now_ms: int, operation: str, node: str, wish: Wish, instead_of: Wish | None = None) -> NodeInfo:
        """Note what an operator wants of a node.

        instead_of: change nothing unless this is what is wanted of it now; None for whatever it is.
        """
        self.tick(now_ms)
        node_id = set_wish(self._state, operation, node, wish, instead_of)
        self._upkeep.drains.check()
        return self._reads.node_info(node_meant(self._state, node_id))

    def wish(self, now_ms: int, node_id: str) -> Wish:
        """What an operator wants of a node: asked by one that has been failed and is therefore silent."""
        self.tick(now_ms)
        member = self._state.members.get(node_id)
        if member is None:
            return "none"  # forgotten meanwhile: it may come back, as a new node
        member.asked_ms = self._state.now_ms
        return member.wish

    def forget(self, now_ms: int, operation: str, node: str) -> str:
        """Strike a node that is gone for good off the cluster; answer its name."""
        self.tick(now_ms)
        return forget(self._state, operation, node)

    def fsck(self, now_ms: int, cursor: str, count: int) -> FsckPage:
        """A page of the check of all chunks and of the catalog; begin with an empty cursor. Raises NotReady."""
        self.tick(now_ms)
        return self._fsck.page(cursor, count)

    def fsck_repair(self, now_ms: int) -> FsckStarted:
        """Heal without waiting, trim surplus, delete the garbage that is due. Raises NotReady, ReadOnly."""
        self.tick(now_ms)
        started = self._fsck.start_repair()
        self._upkeep.heal_and_delete()
        return started

    def scrub(self, now_ms: int) -> ScrubOrder:
        """Tell every node that is up to re-read all its replicas, as fast as it may."""
        self.tick(now_ms)
        return self._scrubs.order()

    def scrub_progress(self, now_ms: int, order: ScrubOrder) -> ScrubProgress:
        """How far the nodes are with an order, also one of an earlier NameNode."""
        self.tick(now_ms)
        return self._scrubs.progress(order)
