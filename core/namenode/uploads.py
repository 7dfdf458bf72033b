"""Writing: begin, allocate, commit, abandon.

This is where a version is acknowledged, so this is where it is checked that enough storage nodes have every chunk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.config import write_quorum
from core.errors import (
    DameError,
    InvalidRequest,
    LeaseExpired,
    NotEnoughNodes,
    NotEnoughSpace,
    NotReady,
)
from core.model import (
    Allocation,
    Allocations,
    BeginRequest,
    ChunkKey,
    CommitRequest,
    Lease,
    Version,
)
from core.namenode import edits
from core.namenode.admission import admit, check_cluster, check_lease, check_mode, keeps_to_mark, refusals, too_few_up
from core.namenode.leases import Upload
from core.namenode.membership import Member
from core.namenode.operations import once
from core.namenode.placement import choose_targets
from core.namenode.redundancy import Chunk
from core.namenode.state import State
from core.namenode.words import counted, listed, quoted, seconds, sized

_CHUNK_ID = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Stored:
    """What is known of the replicas of a version that is about to be published."""

    fewest: int
    """Replicas of the chunk that has the fewest."""
    claims: dict[str, list[str]]
    """By chunk, the nodes whose confirmation to the client is believed."""


class Uploads:
    def __init__(self, state: State) -> None:
        self._state = state

    # --- Begin --------------------------------------------------------------------------------------------------

    def begin(self, request: BeginRequest) -> Lease:
        upload = self._state.leases.get(request.id)
        if upload is None:
            lease = admit(self._state, request)
            self._check_count()
            self._promise()
            upload = self._state.leases.open(lease)
        return upload.lease

    # --- Leases -------------------------------------------------------------------------------------------------

    def _hold(self, lease: Lease) -> Upload:
        """The upload of a lease, renewed; taken up again if an earlier NameNode gave the lease.

        From here on the upload's own lease counts, never the one that the client shows.
        """
        state = self._state
        upload = state.leases.get(lease.id)
        if upload is None:
            if state.leases.is_over(lease, state.now_ms) or state.catalog.done(lease.id) is not None:
                raise LeaseExpired(
                    f"The {lease.mode} of {quoted(lease.name)} was idle for more than"
                    f" {seconds(state.config.lease_ms)} or has ended; start it again.",
                    name=lease.name,
                )
            self._check_count()
            check_lease(state, lease)
            self._promise()
            upload = state.leases.open(lease)
            self._adopt(upload, lease)  # let go meanwhile, if it was this NameNode's
        elif lease.epoch != upload.lease.epoch:
            # Known by a `begin` that came again, late: what was stored before was not watched by this NameNode.
            check_lease(state, lease)
            self._adopt(upload, lease)
        elif lease != replace(upload.lease, renewed_ms=lease.renewed_ms):
            raise InvalidRequest(
                f"The lease shown for the {lease.mode} of {quoted(lease.name)} is not the one that was given; start it"
                " again.",
                name=lease.name,
            )
        self._promise()
        state.leases.renew(lease.id, state.now_ms)
        return upload

    def _adopt(self, upload: Upload, lease: Lease) -> None:
        state = self._state
        upload.lease, upload.adopted = lease, True
        # It may have been late for a NameNode in between as well.
        upload.late = state.now_ms - lease.renewed_ms > state.config.garbage_grace_ms or lease.epoch + 1 < state.epoch

    def _check_count(self) -> None:
        state = self._state
        if len(state.leases) >= state.config.leases_max:
            raise NotReady(
                f"{len(state.leases)} uploads are under way, which is the most; try again when one has ended."
            )

    def _promise(self) -> None:
        """Before a lease is given or renewed: a NameNode that starts after this one must know of it."""
        leases, now_ms = self._state.leases, self._state.now_ms
        leases.used_ms = now_ms
        until_ms = leases.promise_needed(now_ms)
        if until_ms is not None:
            self._state.catalog.apply(edits.PromiseLeases(until_ms))
            leases.promised_until_ms = until_ms

    def release(self, lease_id: str) -> None:
        """End a lease, committed, abandoned or expired; what it pinned is let go."""
        upload = self._state.leases.close(lease_id)
        for chunk_id in upload.pins if upload else ():
            self._state.redundancy.unpin(chunk_id)

    def _pin(self, upload: Upload, key: ChunkKey, watched: bool) -> Chunk:
        redundancy = self._state.redundancy
        self._check_key(key)
        if key.id not in upload.pins:
            upload.pins[key.id] = watched
            redundancy.pin(key)
        return redundancy.chunks[key.id]

    def _check_key(self, key: ChunkKey) -> None:
        if not _CHUNK_ID.fullmatch(key.id):
            raise InvalidRequest(f"{quoted(key.id)} is not a chunk id; one is a BLAKE3 hash, 64 hexadecimal digits.")
        known = self._state.redundancy.chunks.get(key.id)
        if known is not None and known.size_bytes != key.size_bytes:
            raise InvalidRequest(
                f"Chunk {key.id[:12]} has {known.size_bytes} bytes, not {key.size_bytes}; its id or its size is wrong."
            )

    # --- Allocate -----------------------------------------------------------------------------------------------

    def allocate(self, lease: Lease, chunks: Sequence[ChunkKey], excluded: Sequence[str]) -> Allocations:
        check_cluster(self._state, lease.cluster_id)
        upload = self._hold(lease)
        self._check_asked(upload, chunks)
        allocations = tuple(self._allocate(upload, key, excluded) for key in chunks)
        return Allocations(upload.lease, allocations, tuple(self._small_cluster_warnings(upload.lease.replication)))

    def _check_asked(self, upload: Upload, chunks: Sequence[ChunkKey]) -> None:
        """Before the first chunk is pinned: what is refused must hold nothing."""
        lease, chunks_max = upload.lease, self._state.config.chunks_per_version_max
        if len(upload.pins.keys() | {key.id for key in chunks}) > chunks_max:
            raise InvalidRequest(f"{quoted(lease.name)} has more than {chunks_max} chunks; use larger chunks.")
        for key in chunks:
            self._check_key(key)
            if not 1 <= key.size_bytes <= lease.chunk_size_bytes:
                raise InvalidRequest(
                    f"A chunk of {quoted(lease.name)} has {key.size_bytes} bytes; it must have from 1 to"
                    f" {lease.chunk_size_bytes}."
                )

    def _allocate(self, upload: Upload, key: ChunkKey, excluded: Sequence[str]) -> Allocation:
        state, replication = self._state, upload.lease.replication
        chunk = self._pin(upload, key, watched=not upload.adopted)
        holders = state.redundancy.holders(chunk, ("counts",))
        quorum = self._quorum(replication)
        if len(holders) >= quorum and not chunk.doubtful:
            return Allocation(key, True, (), 0)
        possible = {
            member.id
            for member in state.members.up_and_met()
            if member.id not in excluded and chunk.replicas.get(member.id) != "deleting"
        }
        # Storing again where it is already needs no room, and any other choice would end in a surplus replica.
        again = [node_id for node_id in holders if node_id in possible][:replication]
        others = [
            candidate
            for candidate in state.members.candidates(for_clients=keeps_to_mark(upload.lease.mode))
            if candidate.id in possible and candidate.id not in holders
        ]
        hosts = [state.members[node_id].host for node_id in holders]
        chosen = again + choose_targets(others, replication - len(again), key.size_bytes, hosts, state.rng)
        if len(chosen) < quorum:
            raise self._refused(upload.lease, chunk, quorum, excluded)
        for node_id in chosen:
            if node_id not in holders:
                state.members[node_id].promised_bytes += key.size_bytes
        return Allocation(key, False, tuple(state.members[node_id].ref for node_id in chosen), quorum)

    def _quorum(self, replication: int) -> int:
        """Replicas that must be on disk before a version is acknowledged; fewer when the cluster is too small."""
        members = self._state.members
        if len(members.usable()) >= replication:
            return write_quorum(replication)
        # A node not heard of since the start is most likely up: leaving it out would acknowledge too early.
        up = [member for member in members.usable() if member.state == "up" or member.unheard]
        return max(1, min(write_quorum(replication), len(up)))

    def _small_cluster_warnings(self, replication: int) -> list[str]:
        usable = len(self._state.members.usable())
        if usable >= replication:
            return []
        nodes = counted(usable, "storage node")
        return [f"only {usable} of {replication} copies: the cluster has {nodes}; more are made when nodes join"]

    def _refused(self, lease: Lease, chunk: Chunk, quorum: int, excluded: Sequence[str]) -> DameError:
        state = self._state
        for_clients = keeps_to_mark(lease.mode)
        reasons = listed(refusals(state, chunk.size_bytes, excluded, for_clients))
        up = [member for member in state.members.up_and_met() if member.id not in excluded]
        candidates = {candidate.id: candidate for candidate in state.members.candidates(for_clients)}
        able = sum(1 for member in up if candidates[member.id].free_bytes >= chunk.size_bytes)
        if "deleting" in chunk.replicas.values() and not state.safe_mode:
            return NotReady(
                "The same content is being removed from storage nodes just now; try again in a few seconds."
            )
        if able < len(up) and len(up) >= quorum and not state.safe_mode:
            return NotEnoughSpace(
                f"Only {able} of the {quorum} storage nodes needed have room for a chunk of"
                f" {sized(chunk.size_bytes)}: {reasons}. Free space or add storage nodes.",
                needed_bytes=chunk.size_bytes * quorum,
                free_bytes=sum(disk.free_bytes for disk in state.members.room(up, for_clients)),
            )
        otherwise = (
            f"A chunk must be on {counted(quorum, 'storage node')} to be safe, and {able} can take it: {reasons}."
            " Recover or add storage nodes and try again."
        )
        return too_few_up(state, quorum, able, reasons, otherwise, excluded)

    # --- Commit -------------------------------------------------------------------------------------------------

    def commit(self, request: CommitRequest) -> Version:
        lease = request.lease
        check_cluster(self._state, lease.cluster_id)
        version = once(self._state, lease.id, edits.PublishVersion, lambda: self._commit(request))
        self.release(lease.id)
        return version

    def _commit(self, request: CommitRequest) -> Version:
        state = self._state
        upload = self._hold(request.lease)
        lease = upload.lease
        request = replace(request, lease=lease)
        artifact = check_mode(state, lease.name, lease.mode)
        self._check_list(request)
        self._check_held(upload, request)
        stored = self._check_stored(upload, request)
        version = self._version(request, artifact, upload.replication or lease.replication)
        edit = edits.PublishVersion(
            operation=lease.id,
            artifact=state.catalog.free_number() if artifact is None else artifact,
            version=version,
            chunks=tuple(stored.chunk for stored in request.chunks),
            result=replace(version, warnings=tuple(self._commit_warnings(version.replication, stored.fewest))),
            keep_versions=lease.keep_versions,
        )
        state.catalog.apply(edit)
        self._publish(request, version, stored)
        return edit.result

    def _version(self, request: CommitRequest, artifact: int | None, replication: int) -> Version:
        lease = request.lease
        return Version(
            name=lease.name,
            version=1 if artifact is None else self._state.catalog.newest(artifact).version + 1,
            size_bytes=request.size_bytes,
            chunks=len(request.chunks),
            chunk_size_bytes=lease.chunk_size_bytes,
            replication=replication,
            digest=request.digest,
            created_ms=self._state.now_ms,
        )

    def _publish(self, request: CommitRequest, version: Version, stored: Stored) -> None:
        """The version is durable: let the soft state follow."""
        state = self._state
        for chunk_id, node_ids in stored.claims.items():
            state.redundancy.acknowledge(chunk_id, version.replication, node_ids)
        if request.lease.mode == "checkpoint":
            return  # told once storage nodes hold what it takes to find it
        what = "uploaded" if request.lease.mode == "upload" else f"updated to version {version.version}"
        state.events.record(
            state.now_ms, "info", f"{quoted(version.name)} {what} ({sized(version.size_bytes)})", artifact=version.name
        )

    def _check_list(self, request: CommitRequest) -> None:
        """Assert-like: a client of this library never sends a list that does not add up."""
        lease, chunks = request.lease, [stored.chunk for stored in request.chunks]
        name = quoted(lease.name)
        if len(chunks) > self._state.config.chunks_per_version_max:
            raise InvalidRequest(f"{name} has {len(chunks)} chunks, too many; use larger chunks.")
        if any(chunk.size_bytes != lease.chunk_size_bytes for chunk in chunks[:-1]) or (
            chunks and not 1 <= chunks[-1].size_bytes <= lease.chunk_size_bytes
        ):
            raise InvalidRequest(
                f"The chunks of {name} are not of {lease.chunk_size_bytes} bytes each; upload it again."
            )
        if sum(chunk.size_bytes for chunk in chunks) != request.size_bytes:
            raise InvalidRequest(f"The chunks of {name} do not add up to {request.size_bytes} bytes; upload it again.")

    def _check_held(self, upload: Upload, request: CommitRequest) -> None:
        """What is left of the chunks of a late upload may be bad replicas that nobody looked at, if others of the same
        chunk were deleted."""
        if not upload.late:
            return
        unheld = (stored.chunk.id for stored in request.chunks if stored.chunk.id not in upload.pins)
        if any(map(self._may_be_half_deleted, unheld)):
            lease = upload.lease
            raise LeaseExpired(
                f"The {lease.mode} of {quoted(lease.name)} came back so late after the NameNode was restarted that its"
                " chunks were no longer held; start it again.",
                name=lease.name,
            )

    def _may_be_half_deleted(self, chunk_id: str) -> bool:
        garbage, chunk = self._state.redundancy.garbage, self._state.redundancy.chunks.get(chunk_id)
        if garbage.is_due(chunk_id, self._state.now_ms):
            return True
        entry = garbage.get(chunk_id)
        # What this upload itself stored before the restart is in doubt as well: unknown, and nobody deleted any of it.
        return chunk is not None and chunk.doubtful and (entry is None or entry.kind == "counted_down")

    def _check_stored(self, upload: Upload, request: CommitRequest) -> Stored:
        """The promise "acknowledged means durable" is kept here."""
        told: dict[ChunkKey, dict[str, None]] = {}
        for stored in request.chunks:
            told.setdefault(stored.chunk, {}).update(dict.fromkeys(stored.nodes))
        quorum = self._quorum(upload.lease.replication)
        counting = {member.id: member for member in self._state.members if member.role == "counts"}
        fewest, lacking, claims = upload.lease.replication, 0, {}
        for key, nodes in told.items():
            chunk = self._pin(upload, key, watched=False)
            watched = upload.pins[key.id]
            claims[key.id] = [
                node_id
                for node_id in nodes
                if watched and node_id in counting and self._is_credible(chunk, counting[node_id])
            ]
            holders = {*self._state.redundancy.holders(chunk, ("counts",)), *claims[key.id]}
            fewest = min(fewest, len(holders))
            lacking += len(holders) < quorum
        if lacking:
            raise self._not_durable(request, lacking, quorum, upload.adopted)
        return Stored(fewest, claims)

    def _is_credible(self, chunk: Chunk, member: Member) -> bool:
        """Whether a node that confirmed a chunk to the client has not lost it since, as far as is known.

        Precondition: the chunk was watched over since before it was stored. Any other may have been deleted since, also
        by an earlier NameNode: then only the node's own reports tell whether it is still there.
        """
        return chunk.replicas.get(member.id) != "deleting" and self._state.redundancy.believes(member.id, chunk.id)

    def _not_durable(self, request: CommitRequest, lacking: int, quorum: int, adopted: bool) -> DameError:
        state = self._state
        chunks = f"{lacking} of {counted(len(request.chunks), 'chunk')} of {quoted(request.lease.name)}"
        if state.safe_mode or adopted:
            return NotReady(
                f"The NameNode was restarted and does not yet know of enough replicas of {chunks}; try again in"
                " a few seconds."
            )
        if not all(member.session.reported for member in state.members.up()):
            return NotReady(
                f"A storage node was restarted and has not told yet whether it holds {chunks}; try again in a few"
                " seconds."
            )
        reasons = refusals(state, 0, ())
        why = f" ({listed(reasons)})" if reasons else ""
        return NotEnoughNodes(
            f"{chunks} {'is' if lacking == 1 else 'are'} on fewer than {quorum} storage nodes that are up{why}, so"
            " nothing was published. Recover or add storage nodes and try again.",
            lacking=lacking,
            needed=quorum,
        )

    def _commit_warnings(self, replication: int, fewest: int) -> list[str]:
        if fewest >= replication:
            return []
        return self._small_cluster_warnings(replication) or [
            f"only {fewest} of {replication} copies of some chunks are on disk so far; the missing ones are being made"
        ]
