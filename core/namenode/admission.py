"""Whether a write may begin: refuse at once, with the cause, what can't end well."""

from __future__ import annotations

from collections.abc import Sequence

from core.config import write_quorum
from core.errors import ArtifactExists, DameError, InvalidRequest, NotEnoughNodes, NotEnoughSpace, NotReady
from core.model import CHECKPOINT_NAME, BeginRequest, Lease, Mode
from core.namenode.lookup import not_found
from core.namenode.membership import Member
from core.namenode.names import check_name
from core.namenode.placement import content_fits
from core.namenode.state import State
from core.namenode.words import counted, listed, quoted, sized


def admit(state: State, request: BeginRequest) -> Lease:
    """The lease for a request that may go on. Raises what stands in its way."""
    if request.cluster_id is not None:
        check_cluster(state, request.cluster_id)
    check_name_for(state, request.name, request.mode)
    artifact = check_mode(state, request.name, request.mode)
    lease = Lease(
        request.id,
        request.name,
        request.mode,
        _replication(state, request, artifact),
        _chunk_size(state, request),
        state.now_ms,
        _keep_versions(state, request, artifact),
        state.epoch,
        state.cluster_id,
    )
    check_lease(state, lease)
    _check_someone_is_up(state)
    check_enough_nodes(state, lease.replication)
    if request.size_bytes is not None:
        _check_chunks(state, request.size_bytes, lease.chunk_size_bytes)
        _check_room(state, request, request.size_bytes, lease.chunk_size_bytes, lease.replication)
    return lease


def check_cluster(state: State, cluster_id: str) -> None:
    """Raise InvalidRequest for what is another cluster's business: its client may be connected to this one by now."""
    if cluster_id != state.cluster_id:
        raise InvalidRequest(
            f"This is cluster {state.cluster_id}, and the request is meant for {cluster_id}; connect to that one."
        )


def check_lease(state: State, lease: Lease) -> None:
    """Raise InvalidRequest for values that no lease has. One of an earlier NameNode is known from its client only."""
    config = state.config
    check_name_for(state, lease.name, lease.mode)
    if not 1 <= lease.chunk_size_bytes <= config.chunk_size_bytes_max:
        raise InvalidRequest(
            f"A chunk size of {lease.chunk_size_bytes} bytes is not possible;"
            f" choose one from 1 to {config.chunk_size_bytes_max} bytes.",
            chunk_size_bytes=lease.chunk_size_bytes,
        )
    check_replication(state, lease.replication)
    if not 0 <= lease.keep_versions <= config.keep_versions_max:
        raise InvalidRequest(
            f"To keep {lease.keep_versions} versions is not possible;"
            f" choose 1 to {config.keep_versions_max}, or 0 for all of them.",
            keep_versions=lease.keep_versions,
        )


def check_replication(state: State, replication: int) -> None:
    """Raise InvalidRequest for a number of copies that no artifact can have."""
    if not 1 <= replication <= state.config.replication_max:
        raise InvalidRequest(
            f"A replication of {replication} is not possible; choose one from 1 to {state.config.replication_max}.",
            replication=replication,
        )


def check_name_for(state: State, name: str, mode: Mode) -> None:
    """Raise InvalidRequest unless this name may be written in this mode."""
    if mode != "checkpoint":
        check_name(name, state.config.name_length_max)
    elif name != CHECKPOINT_NAME:
        raise InvalidRequest(f"{quoted(name)} is no name for a checkpoint of the catalog; upload it as an artifact.")


def check_mode(state: State, name: str, mode: Mode) -> int | None:
    """The artifact that gets a version; None if it is its first. Raises ArtifactExists, ArtifactNotFound."""
    artifact = state.catalog.live(name)
    if mode == "checkpoint":
        return artifact
    if mode == "upload" and artifact is not None:
        raise ArtifactExists(
            f"An artifact named {quoted(name)} exists already; update it, or upload under another name.", name=name
        )
    if mode == "update" and artifact is None:
        raise not_found(state, name)
    return artifact


def keeps_to_mark(mode: Mode) -> bool:
    """Whether a write gets only the room that clients may use. A checkpoint gets all, as healing does: while disks are
    nearly full much is deleted, and the catalog's disk may be lost then as on any other day."""
    return mode != "checkpoint"


def refusals(state: State, size_bytes: int, excluded: Sequence[str], for_clients: bool = True) -> list[str]:
    """For each node that takes no chunk of this size, why."""
    free = {candidate.id: candidate.free_bytes for candidate in state.members.candidates(for_clients)}
    closed = ("no_new_chunks", "read_only") if for_clients else ("read_only",)
    sentences = []
    for member in state.members:
        if member.state != "up":
            sentences.append(f"{member.name} is {member.state} ({member.reason(state.now_ms)})")
        elif not member.session.met:
            sentences.append(f"{member.name} has registered just now")
        elif member.id in excluded:
            sentences.append(f"{member.name} refused it")
        elif member.disk_state in closed:
            sentences.append(f"{member.name} takes no new chunks ({member.disk_reason()})")
        elif free[member.id] < size_bytes:
            sentences.append(f"{member.name} is full ({sized(free[member.id])} left for new chunks)")
    return sentences


def too_few_up(
    state: State, needed: int, able: int, why: str, otherwise: str, excluded: Sequence[str] = ()
) -> DameError:
    """The refusal when fewer storage nodes than needed are up and able: NotReady while others may be so any moment.

    why: what is wrong with each of the others. otherwise: what to say if they are not. excluded: nodes that would not
    help.
    """
    if state.safe_mode:
        return NotReady(
            "The NameNode has just started and too few storage nodes have registered; try again in a few seconds."
        )
    # All are suspect, too, when the NameNode itself stood still, until the next heartbeats are in.
    awaited = sum(_is_awaited(member) and member.id not in excluded for member in state.members)
    if able + awaited >= needed:
        return NotReady(
            f"Too few storage nodes are up just now ({why}); the others may be heard of at any moment, so try again in"
            " a few seconds."
        )
    return NotEnoughNodes(otherwise, needed=needed)


def _is_awaited(member: Member) -> bool:
    return member.state == "suspect" or (member.state == "up" and not member.session.met)


def _chunk_size(state: State, request: BeginRequest) -> int:
    return state.config.chunk_size_bytes if request.chunk_size_bytes is None else request.chunk_size_bytes


def _replication(state: State, request: BeginRequest, artifact: int | None) -> int:
    if request.replication is not None:
        return request.replication
    return state.config.replication if artifact is None else state.catalog.newest(artifact).replication


def _keep_versions(state: State, request: BeginRequest, artifact: int | None) -> int:
    if request.keep_versions is not None:
        return request.keep_versions
    return state.config.keep_versions if artifact is None else state.catalog.kept(artifact).keep_versions


def _check_someone_is_up(state: State) -> None:
    count = len(state.members)
    if state.members.up():
        return
    why = listed(refusals(state, 0, ()))
    if count == 0:
        raise too_few_up(state, 1, 0, why, "No storage node has joined this cluster yet; start one and try again.")
    whole = "the only storage node is not" if count == 1 else f"none of the {count} storage nodes is"
    raise too_few_up(
        state, 1, 0, why, f"Nothing can be stored: {whole} up ({why}). Recover or restart one and try again."
    )


def check_enough_nodes(state: State, replication: int) -> None:
    """The configured replication is accepted in a smaller cluster: the missing copies are made when nodes join."""
    usable = len(state.members.usable())
    if replication > max(usable, state.config.replication):
        raise InvalidRequest(
            f"Replication {replication} needs as many storage nodes, and the cluster has {usable};"
            f" choose at most {max(usable, state.config.replication)} or add storage nodes.",
            replication=replication,
            nodes=usable,
        )


def _check_chunks(state: State, size_bytes: int, chunk_size_bytes: int) -> None:
    if size_bytes < 0:
        raise InvalidRequest(f"A content of {size_bytes} bytes is not possible.")
    chunks_max = state.config.chunks_per_version_max
    if -(-size_bytes // chunk_size_bytes) <= chunks_max:
        return
    fitting = -(-size_bytes // chunks_max)
    possible = fitting <= state.config.chunk_size_bytes_max
    advice = f"use a chunk size of at least {fitting} bytes" if possible else "store it as several artifacts"
    raise InvalidRequest(
        f"{sized(size_bytes)} in chunks of {chunk_size_bytes} bytes are more than {chunks_max} chunks; {advice}.",
        chunk_size_bytes=fitting,
    )


def _check_room(state: State, request: BeginRequest, size_bytes: int, chunk_size_bytes: int, replication: int) -> None:
    """Refuse what can't fit beside all that is there, each copy of a chunk on another node."""
    up = [member for member in state.members if member.state in ("up", "suspect")]
    copies = min(replication, len(up))
    quorum = min(write_quorum(replication), copies)
    for_clients = keeps_to_mark(request.mode)
    disks = state.members.room(up, for_clients)
    if content_fits(disks, size_bytes, chunk_size_bytes, copies, quorum):
        return
    if any(member.unheard for member in up):
        raise NotReady(
            "The NameNode has just started and does not know yet whether there is room; try again in a few seconds."
        )
    free_bytes = sum(disk.free_bytes for disk in disks)
    rooms = [f"{member.name} {sized(state.members.room_of(member, for_clients))}{_because(member)}" for member in up]
    raise NotEnoughSpace(
        f"{counted(copies, 'copy', 'copies')} of {quoted(request.name)} need {sized(size_bytes * copies)}, each on"
        f" another storage node, and the nodes that are up have {sized(free_bytes)} free for new chunks"
        f" ({listed(rooms)}); free space, add storage nodes or ask for fewer copies.",
        needed_bytes=size_bytes * copies,
        free_bytes=free_bytes,
    )


def _because(member: Member) -> str:
    return f" ({member.disk_reason()})" if member.disk_state in ("no_new_chunks", "read_only") else ""
