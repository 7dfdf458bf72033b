"""Writing: begin, allocate, commit, abandon.

This is where a version is acknowledged, so this is where it is checked that enough storage nodes have every chunk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.config import write_quorum
from core.errors import (
    ArtifactExists,
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
    Mode,
    Version,
)
from core.namenode import edits
from core.namenode.leases import Upload
from core.namenode.lookup import not_found
from core.namenode.names import check_name
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
        state = self._state
        upload = state.leases.get(request.id)
        if upload is not None:
            return upload.lease
        check_name(request.name, state.config.name_length_max)
        artifact = self._check_mode(request.name, request.mode)
        chunk_size_bytes = self._chunk_size(request)
        replication = self._replication(request, artifact)
        self._check_someone_is_up()
        self._check_enough_nodes(replication)
        self._check_size(request, chunk_size_bytes, replication)
        lease = Lease(request.id, request.name, request.mode, replication, chunk_size_bytes, state.now_ms)
        return state.leases.open(lease).lease

    def _check_mode(self, name: str, mode: Mode) -> int | None:
        """The artifact to update; None for an upload. Raises ArtifactExists, ArtifactNotFound."""
        catalog = self._state.catalog
        artifact = catalog.live(name)
        if mode == "upload" and artifact is not None:
            raise ArtifactExists(
                f"An artifact named {quoted(name)} exists already; update it, or upload under another name.", name=name
            )
        if mode == "update" and artifact is None:
            raise not_found(self._state, name)
        return artifact

    def _chunk_size(self, request: BeginRequest) -> int:
        config = self._state.config
        chunk_size_bytes = config.chunk_size_bytes if request.chunk_size_bytes is None else request.chunk_size_bytes
        if not 1 <= chunk_size_bytes <= config.chunk_size_bytes_max:
            raise InvalidRequest(
                f"A chunk size of {chunk_size_bytes} bytes is not possible;"
                f" choose one from 1 to {config.chunk_size_bytes_max} bytes.",
                chunk_size_bytes=chunk_size_bytes,
            )
        return chunk_size_bytes

    def _replication(self, request: BeginRequest, artifact: int | None) -> int:
        config = self._state.config
        if request.replication is None:
            return config.replication if artifact is None else self._state.catalog.newest(artifact).replication
        if not 1 <= request.replication <= config.replication_max:
            raise InvalidRequest(
                f"A replication of {request.replication} is not possible; choose one from 1 to"
                f" {config.replication_max}.",
                replication=request.replication,
            )
        return request.replication

    def _check_enough_nodes(self, replication: int) -> None:
        usable = len(self._state.members.usable())
        if replication > self._state.config.replication and replication > usable:
            raise InvalidRequest(
                f"Replication {replication} needs as many storage nodes, and the cluster has {usable};"
                f" choose at most {max(usable, self._state.config.replication)} or add storage nodes.",
                replication=replication,
                nodes=usable,
            )

    def _check_someone_is_up(self) -> None:
        state = self._state
        if state.members.up():
            return
        if state.safe_mode:
            raise NotReady(
                "The NameNode has just started and no storage node has registered yet; try again in a few seconds."
            )
        if not len(state.members):
            raise NotEnoughNodes("No storage node has joined this cluster yet; start one and try again.")
        whole = (
            "the only storage node is not"
            if len(state.members) == 1
            else f"none of the {len(state.members)} storage nodes is"
        )
        raise NotEnoughNodes(
            f"Nothing can be stored: {whole} up ({listed(self._refusals(0, ()))}). Recover or restart one and try"
            " again."
        )

    def _check_size(self, request: BeginRequest, chunk_size_bytes: int, replication: int) -> None:
        """Refuse at once what can't end well."""
        size_bytes, config = request.size_bytes, self._state.config
        if size_bytes is None:
            return
        if size_bytes < 0:
            raise InvalidRequest(f"A content of {size_bytes} bytes is not possible.")
        if -(-size_bytes // chunk_size_bytes) > config.chunks_per_version_max:
            fitting = -(-size_bytes // config.chunks_per_version_max)
            advice = f"use a chunk size of at least {fitting} bytes"
            if fitting > config.chunk_size_bytes_max:
                advice = "store it as several artifacts"
            raise InvalidRequest(
                f"{sized(size_bytes)} in chunks of {chunk_size_bytes} bytes are more than"
                f" {config.chunks_per_version_max} chunks; {advice}.",
                chunk_size_bytes=fitting,
            )
        members = self._state.members
        up = [member for member in members if member.state in ("up", "suspect")]
        copies = min(replication, len(up))
        free_bytes = members.free_bytes(up)
        if size_bytes * copies > free_bytes:
            raise NotEnoughSpace(
                f"{counted(copies, 'copy', 'copies')} of {quoted(request.name)} need {sized(size_bytes * copies)}"
                f" and the storage nodes that are up have {sized(free_bytes)} free; free space, add storage nodes"
                " or ask for fewer copies.",
                needed_bytes=size_bytes * copies,
                free_bytes=free_bytes,
            )

    # --- Leases -------------------------------------------------------------------------------------------------

    def _hold(self, lease: Lease) -> Upload:
        """The upload of a lease, renewed; taken up again if an earlier NameNode gave the lease."""
        state = self._state
        upload = state.leases.get(lease.id)
        if upload is None:
            if state.leases.is_over(lease, state.now_ms) or state.catalog.result_of(lease.id) is not None:
                raise LeaseExpired(
                    f"The {lease.mode} of {quoted(lease.name)} was idle for more than"
                    f" {seconds(state.config.lease_ms)} or has ended; start it again.",
                    name=lease.name,
                )
            upload = state.leases.open(lease, adopted=True)
        state.leases.renew(lease.id, state.now_ms)
        return upload

    def release(self, lease_id: str) -> None:
        """End a lease, committed, abandoned or expired; what it pinned is let go."""
        upload = self._state.leases.close(lease_id)
        for chunk_id in upload.pins if upload else ():
            self._state.redundancy.unpin(chunk_id)

    def _pin(self, upload: Upload, key: ChunkKey) -> Chunk:
        redundancy = self._state.redundancy
        self._check_key(key)
        if key.id not in upload.pins:
            upload.pins[key.id] = None
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
        upload = self._hold(lease)
        allocations = tuple(self._allocate(upload, key, excluded) for key in chunks)
        if len(upload.pins) > self._state.config.chunks_per_version_max:
            raise InvalidRequest(
                f"{quoted(lease.name)} has more than {self._state.config.chunks_per_version_max} chunks; use larger"
                " chunks."
            )
        return Allocations(upload.lease, allocations, tuple(self._small_cluster_warnings(lease.replication)))

    def _allocate(self, upload: Upload, key: ChunkKey, excluded: Sequence[str]) -> Allocation:
        state, replication = self._state, upload.lease.replication
        chunk = self._pin(upload, key)
        holders = state.redundancy.holders(chunk, ("counts",))
        quorum = self._quorum(replication)
        if len(holders) >= quorum:
            return Allocation(key, True, (), 0)
        candidates = {
            candidate.id: candidate
            for candidate in state.members.candidates()
            if candidate.id not in excluded and chunk.replicas.get(candidate.id) != "deleting"
        }
        # Storing again where it is already costs nothing, and any other choice would end in a surplus replica.
        again = [node_id for node_id in holders if node_id in candidates][:replication]
        others = [candidate for candidate in candidates.values() if candidate.id not in holders]
        hosts = [state.members[node_id].host for node_id in holders]
        chosen = again + choose_targets(others, replication - len(again), key.size_bytes, hosts, state.rng)
        if len(chosen) < quorum:
            raise self._refused(chunk, quorum, excluded)
        for node_id in chosen:
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

    def _refused(self, chunk: Chunk, quorum: int, excluded: Sequence[str]) -> DameError:
        state = self._state
        if state.safe_mode:
            return NotReady(
                "The NameNode has just started and too few storage nodes have registered; try again in a few seconds."
            )
        if "deleting" in chunk.replicas.values():
            return NotReady(
                "The same content is being removed from storage nodes just now; try again in a few seconds."
            )
        refusals = listed(self._refusals(chunk.size_bytes, excluded))
        up = [member for member in state.members.up() if member.id not in excluded]
        candidates = {candidate.id: candidate for candidate in state.members.candidates()}
        full = sum(1 for member in up if candidates[member.id].free_bytes < chunk.size_bytes)
        if len(up) >= quorum and full:
            return NotEnoughSpace(
                f"Only {len(up) - full} of the {quorum} storage nodes needed have room for a chunk of"
                f" {sized(chunk.size_bytes)}: {refusals}. Free space or add storage nodes.",
                needed_bytes=chunk.size_bytes * quorum,
                free_bytes=state.members.free_bytes(up),
            )
        return NotEnoughNodes(
            f"A chunk must be on {counted(quorum, 'storage node')} to be safe, and {len(up) - full} can take it:"
            f" {refusals}. Recover or add storage nodes and try again.",
            needed=quorum,
        )

    def _refusals(self, size_bytes: int, excluded: Sequence[str]) -> list[str]:
        """For each node that takes no chunk of this size, why."""
        state = self._state
        free = {candidate.id: candidate.free_bytes for candidate in state.members.candidates()}
        refusals = []
        for member in state.members:
            if member.state != "up":
                refusals.append(f"{member.name} is {member.state} ({member.reason(state.now_ms)})")
            elif member.id in excluded:
                refusals.append(f"{member.name} refused it")
            elif free[member.id] < size_bytes:
                refusals.append(f"{member.name} is full ({sized(free[member.id])} free)")
        return refusals

    # --- Commit -------------------------------------------------------------------------------------------------

    def commit(self, request: CommitRequest) -> Version:
        state, lease = self._state, request.lease
        result = state.catalog.result_of(lease.id)
        if result is not None:
            self.release(lease.id)
            assert isinstance(result, Version), "a lease's id was used for another operation"
            return result
        upload = self._hold(lease)
        artifact = self._check_mode(lease.name, lease.mode)
        self._check_list(request)
        stored = self._check_stored(upload, request)
        version = self._version(request, artifact)
        edit = edits.PublishVersion(
            operation=lease.id,
            artifact=state.catalog.free_number() if artifact is None else artifact,
            version=version,
            chunks=tuple(stored.chunk for stored in request.chunks),
            result=replace(version, warnings=tuple(self._commit_warnings(lease.replication, stored.fewest))),
        )
        state.catalog.apply(edit)
        self._publish(request, edit.result, stored)
        return edit.result

    def _version(self, request: CommitRequest, artifact: int | None) -> Version:
        lease = request.lease
        return Version(
            name=lease.name,
            version=1 if artifact is None else self._state.catalog.newest(artifact).version + 1,
            size_bytes=request.size_bytes,
            chunks=len(request.chunks),
            chunk_size_bytes=lease.chunk_size_bytes,
            replication=lease.replication,
            digest=request.digest,
            created_ms=self._state.now_ms,
        )

    def _publish(self, request: CommitRequest, version: Version, stored: Stored) -> None:
        """The version is durable: let the soft state follow."""
        state = self._state
        for chunk_id, node_ids in stored.claims.items():
            for node_id in node_ids:
                state.redundancy.claim(node_id, chunk_id)
            chunk = state.redundancy.chunks[chunk_id]
            state.redundancy.need(chunk.key, max(chunk.wanted, version.replication))
        self.release(request.lease.id)
        done = "uploaded" if request.lease.mode == "upload" else f"updated to version {version.version}"
        state.events.record(
            state.now_ms, "info", f"{quoted(version.name)} {done} ({sized(version.size_bytes)})", artifact=version.name
        )

    def _check_list(self, request: CommitRequest) -> None:
        """Assert-like: a client of this library never sends a list that does not add up."""
        lease, chunks = request.lease, [stored.chunk for stored in request.chunks]
        name = quoted(lease.name)
        check_name(lease.name, self._state.config.name_length_max)
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

    def _check_stored(self, upload: Upload, request: CommitRequest) -> Stored:
        """The promise "acknowledged means durable" is kept here."""
        told: dict[ChunkKey, dict[str, None]] = {}
        for stored in request.chunks:
            told.setdefault(stored.chunk, {}).update(dict.fromkeys(stored.nodes))
        quorum = self._quorum(upload.lease.replication)
        fewest, lacking, claims = upload.lease.replication, 0, {}
        for key, nodes in told.items():
            watched = key.id in upload.pins
            chunk = self._pin(upload, key)
            claims[key.id] = self._credible(chunk, nodes, watched)
            holders = {*self._state.redundancy.holders(chunk, ("counts",)), *claims[key.id]}
            fewest = min(fewest, len(holders))
            lacking += len(holders) < quorum
        if lacking:
            raise self._not_durable(request, lacking, quorum, upload.adopted)
        return Stored(fewest, claims)

    def _credible(self, chunk: Chunk, node_ids: Iterable[str], watched: bool) -> list[str]:
        """Of the nodes that confirmed a chunk to the client, those that count and have not lost it since.

        A chunk that this NameNode did not allocate was not watched: it was stored before this NameNode started, so a
        node's report knows better than the client whether it is still there.
        """
        state = self._state
        return [
            node_id
            for node_id in node_ids
            if (member := state.members.get(node_id)) is not None
            and member.role == "counts"
            and chunk.replicas.get(node_id) != "deleting"
            and state.redundancy.believes(node_id, chunk.id)
            and (watched or not member.session.reported)
        ]

    def _not_durable(self, request: CommitRequest, lacking: int, quorum: int, adopted: bool) -> DameError:
        state = self._state
        chunks = f"{lacking} of {counted(len(request.chunks), 'chunk')} of {quoted(request.lease.name)}"
        if state.safe_mode or adopted:
            return NotReady(
                f"The NameNode was restarted and does not yet know of enough replicas of {chunks}; try again in"
                " a few seconds."
            )
        refusals = self._refusals(0, ())
        why = f" ({listed(refusals)})" if refusals else ""
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
