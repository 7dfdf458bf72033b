"""Reading: locate, list, history, info, and the pictures of nodes and of the cluster."""

from __future__ import annotations

from collections import Counter

from core.errors import ContentLost, DameError, NotReady
from core.model import (
    NODE_STATES,
    Artifact,
    ArtifactInfo,
    ChunkInfo,
    ChunkKey,
    ClusterStatus,
    Health,
    Located,
    LocatedChunk,
    NodeArtifact,
    NodeDetail,
    NodeInfo,
    NodeRef,
    Version,
)
from core.namenode.catalog import Totals
from core.namenode.lookup import live_artifact, node_meant, version_of
from core.namenode.membership import Member
from core.namenode.names import matcher
from core.namenode.nodestates import READ_ORDER
from core.namenode.state import State
from core.namenode.words import counted, listed, quoted

WORST_FIRST: tuple[Health, ...] = ("lost", "at_risk", "under")

HEALTH_AGE_MS = 1_000
SHORT_CHUNKS_PER_MS = 100
"""Health of artifacts is looked up again after a second, and a millisecond more for so many unhealthy chunks."""

NODE_ARTIFACTS_MAX = 1_000


class Reads:
    def __init__(self, state: State) -> None:
        self._state = state
        self._read_revision = -1
        self._listing: list[Version] = []
        self._totals = Totals(0, 0, 0, 0, 0)
        self._health: dict[str, Health] = {}
        """Of the artifacts that are not ok."""
        self._health_key = (-1, -1)
        self._health_ms = 0
        self._node_artifacts: dict[str, tuple[tuple[int, int], int, tuple[NodeArtifact, ...]]] = {}
        """By node: what it was computed from, how many there are, and the first of them."""

    # --- One artifact -------------------------------------------------------------------------------------------

    def locate(self, name: str, version: int | None, first: int, count: int, artifact: int | None = None) -> Located:
        """artifact: the number that an earlier window came with; it is found under it while it is in the trash, too."""
        state = self._state
        artifact, found = self._version_read(name, version, artifact)
        state.readings.asked(artifact, found.version, first + count < found.chunks, state.now_ms)
        keys = state.catalog.chunk_list(artifact, found.version, first, count)
        replicas = [self._replicas(key.id) for key in keys]
        if not all(replicas):
            raise self._lost(artifact, found)
        chunks = (
            LocatedChunk(first + offset, key, refs)
            for offset, (key, refs) in enumerate(zip(keys, replicas, strict=True))
        )
        return Located(found, tuple(chunks), artifact)

    def _version_read(self, name: str, version: int | None, artifact: int | None) -> tuple[int, Version]:
        if artifact is not None and version is not None:
            found = self._state.catalog.version(artifact, version)
            if found is not None:
                return artifact, found
        return version_of(self._state, name, version)

    def _replicas(self, chunk_id: str) -> tuple[NodeRef, ...]:
        """Where to read a chunk: the healthiest nodes first, equal ones in random order to spread the load."""
        holders = self._holders(chunk_id)
        self._state.rng.shuffle(holders)
        holders.sort(key=lambda member: (READ_ORDER[member.state], member.liveness != "up"))
        return tuple(member.ref for member in holders)

    def _holders(self, chunk_id: str) -> list[Member]:
        chunk = self._state.redundancy.chunks[chunk_id]
        return [self._state.members[node_id] for node_id in self._state.redundancy.holders(chunk)]

    def _lost(self, artifact: int, version: Version) -> DameError:
        state = self._state
        ids = dict.fromkeys(key.id for key in state.catalog.chunk_list(artifact, version.version))
        lost = [chunk_id for chunk_id in ids if state.redundancy.unhealthy.get(chunk_id) == "lost"]
        what = f"{len(lost)} of {counted(len(ids), 'chunk')} of {quoted(version.name)}"
        if state.safe_mode:
            return NotReady(
                f"The NameNode has just started and does not yet know where {what} are; try again in a few seconds."
            )
        last = dict.fromkeys(node_id for chunk_id in lost for node_id in state.redundancy.chunks[chunk_id].replicas)
        names = [f"{state.members[node_id].name} ({state.members[node_id].state})" for node_id in last]
        where = (
            f"last known on {listed(names)}; bring one of these back" if names else "and no known node had a replica"
        )
        return ContentLost(
            f"{what} {'has' if len(lost) == 1 else 'have'} no replica on any storage node that is up: {where}.",
            name=version.name,
            version=version.version,
            lost=len(lost),
            nodes=list(last),
        )

    def history(self, name: str) -> list[Version]:
        return self._state.catalog.history(live_artifact(self._state, name))

    def info(self, name: str, version: int | None) -> ArtifactInfo:
        state = self._state
        artifact, found = version_of(state, name, version)
        keys = state.catalog.chunk_list(artifact, found.version)
        kept = state.catalog.kept(artifact)
        return ArtifactInfo(
            name=found.name,
            version=found.version,
            size_bytes=found.size_bytes,
            replication=found.replication,
            health=self._worst(keys),
            digest=found.digest,
            chunk_size_bytes=found.chunk_size_bytes,
            created_ms=found.created_ms,
            versions=kept.count,
            chunks=tuple(
                ChunkInfo(index, key.id, key.size_bytes, tuple(member.id for member in self._holders(key.id)))
                for index, key in enumerate(keys)
            ),
            newest=kept.newest,
            keep_versions=kept.keep_versions,
        )

    def _worst(self, keys: list[ChunkKey]) -> Health:
        found = {self._state.redundancy.unhealthy.get(key.id, "ok") for key in keys}
        return next((health for health in WORST_FIRST if health in found), "ok")

    # --- All artifacts ------------------------------------------------------------------------------------------

    def artifacts(self, pattern: str) -> list[Artifact]:
        self._refresh()
        self._refresh_health()
        matches = matcher(pattern)
        return [
            Artifact(
                name=version.name,
                version=version.version,
                size_bytes=version.size_bytes,
                chunks=version.chunks,
                replication=version.replication,
                health=self._health.get(version.name, "ok"),
                digest=version.digest,
                modified_ms=version.created_ms,
            )
            for version in self._listing
            if not pattern or matches(version.name)
        ]

    def _refresh(self) -> None:
        """Read from the catalog what many calls need, when it has changed."""
        catalog = self._state.catalog
        if self._read_revision != catalog.revision:
            self._listing = catalog.listing()
            self._totals = catalog.totals()
            self._read_revision = catalog.revision

    def _refresh_health(self) -> None:
        state = self._state
        key = (state.catalog.revision, state.redundancy.generation)
        due_ms = self._health_ms + HEALTH_AGE_MS + len(state.redundancy.unhealthy) // SHORT_CHUNKS_PER_MS
        if key == self._health_key or (key[0] == self._health_key[0] and state.now_ms < due_ms):
            return
        self._health_key, self._health_ms = key, state.now_ms
        by_health: dict[Health, list[str]] = {health: [] for health in WORST_FIRST}
        for chunk_id, health in state.redundancy.unhealthy.items():
            by_health[health].append(chunk_id)
        self._health = {}
        for health in WORST_FIRST:
            for name, _ in state.catalog.users_of(by_health[health]):
                self._health.setdefault(name, health)

    # --- Nodes --------------------------------------------------------------------------------------------------

    def nodes(self, host: str | None = None) -> list[NodeInfo]:
        """All, or those of one machine; by name, `sn-99` before `sn-100`."""
        members = [member for member in self._state.members if host in (None, member.host)]
        return [self.node_info(member) for member in sorted(members, key=lambda it: (len(it.name), it.name))]

    def node_info(self, member: Member) -> NodeInfo:
        inventory = self._state.redundancy.inventories.get(member.id)
        rates = member.rates()
        draining = member.wish == "draining"
        return NodeInfo(
            id=member.id,
            name=member.name,
            state=member.state,
            reason=member.reason(self._state.now_ms),
            host=member.host,
            chunks=inventory.reported if inventory else 0,
            used_bytes=member.usage.used_bytes,
            capacity_bytes=member.usage.used_bytes + member.usage.free_bytes,
            free_bytes=member.usage.free_bytes,
            disk=member.disk_state,
            heartbeat_age_ms=self._state.now_ms - member.heard_ms,
            pid=member.pid,
            directory=member.directory,
            copying=member.copying,
            corrupt=member.corrupt,
            read_bytes_per_s=rates.read,
            write_bytes_per_s=rates.written,
            started_ms=member.registered_ms,
            drain_left=member.drain.left if draining else None,
            drain_total=member.drain.total if draining else None,
            drain_eta_ms=member.drain.countdown.eta_ms() if draining else None,
            drain_warning=member.drain.warning if draining else "",
            quarantined=member.quarantine.replicas,
            quarantined_bytes=member.quarantine.bytes,
            scrub_done=member.scrub.done,
            scrub_total=member.scrub.total,
            scrub_bytes_per_s=member.scrub.bytes_per_s,
            last_scrub_ms=member.scrub.finished_ms,
        )

    def node(self, word: str) -> NodeDetail:
        member = node_meant(self._state, word)
        total, artifacts = self._artifacts_on(member)
        return NodeDetail(self.node_info(member), artifacts, total)

    def node_ref(self, word: str) -> NodeRef:
        return node_meant(self._state, word).ref

    def _artifacts_on(self, member: Member) -> tuple[int, tuple[NodeArtifact, ...]]:
        state = self._state
        key = (state.catalog.revision, state.redundancy.generation)
        cached = self._node_artifacts.get(member.id)
        if cached is None or cached[0] != key:
            inventory = state.redundancy.inventories.get(member.id)
            users = state.catalog.users_of(inventory.chunks if inventory else ())
            rows = tuple(NodeArtifact(name, version, chunks) for (name, version), chunks in sorted(users.items()))
            cached = (key, len(rows), rows[:NODE_ARTIFACTS_MAX])
            self._node_artifacts[member.id] = cached
        return cached[1], cached[2]

    # --- The cluster --------------------------------------------------------------------------------------------

    def status(self) -> ClusterStatus:
        self._refresh()
        state, totals = self._state, self._totals
        members, redundancy = state.members, state.redundancy
        states = Counter(member.state for member in members)
        alive = [member for member in members if member.role != "absent"]
        rates = [member.rates() for member in alive]
        waits = self.healing_waits()
        left_bytes = redundancy.short_bytes + state.healer.healing_bytes
        copied_bytes_per_s = sum(rate.copied for rate in rates)
        stored_bytes = sum(member.usage.used_bytes for member in alive)
        return ClusterStatus(
            cluster_id=state.cluster_id,
            nodes={word: states[word] for word in NODE_STATES},
            artifacts=totals.artifacts,
            versions=totals.versions,
            chunks=redundancy.counted,
            logical_bytes=totals.logical_bytes,
            stored_bytes=stored_bytes,
            capacity_bytes=stored_bytes + members.free_bytes(alive),
            under_replicated=sum(redundancy.counts[health] for health in WORST_FIRST),
            at_risk=redundancy.counts["at_risk"],
            missing=redundancy.counts["lost"],
            healing=state.healer.healing,
            rebalancing=state.healer.moving,
            healing_waits=waits,
            healing_bytes=left_bytes,
            healing_bytes_per_s=copied_bytes_per_s,
            healing_eta_ms=left_bytes * 1000 // copied_bytes_per_s if copied_bytes_per_s and not waits else None,
            corrupt=sum(member.corrupt for member in members),
            garbage_bytes=sum(redundancy.garbage_bytes.values()),
            trash=totals.trash,
            safe_mode=state.safe_mode,
            epoch=state.epoch,
            read_bytes_per_s=sum(rate.read for rate in rates),
            write_bytes_per_s=sum(rate.written for rate in rates),
            started_ms=state.started_ms,
            now_ms=state.now_ms,
            quarantined=sum(member.quarantine.replicas for member in alive),
            quarantined_bytes=sum(member.quarantine.bytes for member in alive),
            scrub_done=sum(member.scrub.done for member in alive),
            scrub_total=sum(member.scrub.total for member in alive),
            scrub_bytes_per_s=sum(member.scrub.bytes_per_s for member in alive),
            last_scrub_ms=min((member.scrub.finished_ms for member in alive), default=0),
            garbage_due_ms=redundancy.garbage.due_ms() if redundancy.garbage_chunks else None,
            garbage_chunks=redundancy.garbage_chunks,
            unknown_bytes=redundancy.garbage_bytes["unknown"],
            trash_bytes=totals.trash_bytes,
            read_only=state.catalog.writer.read_only,
            leases=len(state.leases),
        )

    def healing_waits(self) -> str:
        """Why nothing is being copied, if there is something to copy or nodes are missing."""
        if self._state.safe_mode:
            return "The NameNode has just started; copying starts when all storage nodes have reported."
        return self._state.members.healing_waits(self._state.now_ms)
