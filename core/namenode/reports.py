"""What storage nodes say, and what they are told in reply: registrations, heartbeats, full reports.

Calls can be lost, doubled or late. Changes are applied once, by incarnation and sequence number; whatever still went
wrong shows in the inventory's digest, and a full report puts it right.
"""

from __future__ import annotations

from contextlib import suppress

from core.errors import DirectoryFailure, ProtocolMismatch, ReadOnly, Superseded
from core.model import (
    BeginAnew,
    ChunkKey,
    Command,
    CopyChunk,
    DeleteChunk,
    DiskState,
    DiskUsage,
    FullReport,
    GiveUp,
    Heartbeat,
    HeartbeatReply,
    Registration,
    RegistrationReply,
    ScrubAll,
    StopServing,
)
from core.namenode import edits
from core.namenode.catalog import KnownNode
from core.namenode.membership import Member
from core.namenode.state import State
from core.namenode.words import quoted
from core.protocol import check_understood

REPORT_WAIT_MS = 10_000
"""A full report that was asked for and has not come is asked for again after this long."""
CHANGES_MAX = 1_000_000
"""Changes told by one node's heartbeats while its full report is on its way."""
REFUSED_MAX = 1_000
"""Refused directories that are remembered, so that each is told of once."""


_DISK_TOLD: dict[DiskState, str] = {
    "ok": "has room again",
    "filling": "is filling up; free space or add storage nodes",
    "no_new_chunks": "takes no new chunks but those that healing brings",
    "read_only": "can't take any more chunks",
}


class Reports:
    def __init__(self, state: State) -> None:
        self._state = state
        self._refused: dict[tuple[str, str], None] = {}

    # --- Registration -------------------------------------------------------------------------------------------

    def register(self, registration: Registration) -> RegistrationReply:
        state = self._state
        self._check_protocol(registration)
        self._check_cluster(registration)
        member = state.members.get(registration.node_id)
        if member is not None:
            self._check_single(member, registration)
        self._look_for_newer(registration)
        if member is None:
            member = self._join(registration)
        else:
            if member.incarnation and _place(registration) != _place(member):
                state.redundancy.disbelieve(member.id)
            self._move(member, registration)
        if registration.incarnation != member.incarnation:
            state.redundancy.distrust(member.id)
            member.open_session(state.now_ms, registration)
            state.healer.node_lost(member.id)
        member.endpoint, member.pid = registration.endpoint, registration.pid
        member.directory = registration.directory
        self._heard(member)
        self._fill(member, registration.usage)
        state.sync_role(member)
        return RegistrationReply(state.cluster_id, member.name, state.epoch, member.wish)

    def _check_protocol(self, registration: Registration) -> None:
        who = f"The storage node in {registration.directory} on {registration.host}"
        try:
            check_understood(who, registration.protocol, registration.release)
        except ProtocolMismatch as error:
            self._tell_of_refused(registration, error.message)
            raise

    def _check_cluster(self, registration: Registration) -> None:
        ours, theirs = self._state.cluster_id, registration.cluster_id
        if theirs and theirs != ours:
            raise self._refuse(
                registration,
                f"The storage directory {registration.directory} on {registration.host} belongs to cluster"
                f" {theirs[:8]}, and this is cluster {ours[:8]}; start it with its own cluster (`restore-catalog`"
                " brings back a catalog that was lost), or give this node an empty directory.",
            )

    def _look_for_newer(self, registration: Registration) -> None:
        """Who has met a later NameNode of this cluster shows that this catalog is an older copy. Storage nodes obey
        nothing of it; what it acknowledged would be gone when the right catalog is put back, so it changes nothing."""
        state, writer = self._state, self._state.catalog.writer
        if registration.epoch <= state.epoch or writer.stopped:
            return
        writer.stopped = (
            f"The catalog in {state.catalog.directory} is an older copy: its NameNode is number {state.epoch}, and the"
            f" storage node in {registration.directory} on {registration.host} has met number {registration.epoch}. So"
            " it only reads: nothing is stored, deleted or copied. Stop the cluster and put the right catalog back, or"
            " move this one away and run `restore-catalog`."
        )
        state.events.record(state.now_ms, "error", writer.stopped, node=registration.node_id)

    def _check_single(self, member: Member, registration: Registration) -> None:
        """A directory is locked while it is open, so the same id from another place is a copy of the directory."""
        if registration.incarnation in member.superseded:
            raise self._refuse(
                registration,
                f"Storage node {member.name} is served by a newer process now;"
                f" this one on {registration.host} must end.",
                Superseded,
            )
        if member.incarnation and member.liveness == "up" and _place(registration) != _place(member):
            raise self._refuse(
                registration,
                f"The storage directory {registration.directory} on {registration.host} is a copy of that of"
                f" {member.name} ({member.directory} on {member.host}), which is up; empty the copy to make a new node"
                " of it, or stop the other one first.",
            )

    def _refuse(
        self, registration: Registration, sentence: str, kind: type[DirectoryFailure] = DirectoryFailure
    ) -> DirectoryFailure:
        self._tell_of_refused(registration, sentence)
        return kind(sentence, directory=registration.directory, host=registration.host)

    def _tell_of_refused(self, registration: Registration, sentence: str) -> None:
        place = (registration.host, registration.directory)
        if place not in self._refused and len(self._refused) < REFUSED_MAX:
            self._refused[place] = None
            self._state.events.record(self._state.now_ms, "error", sentence, node=registration.node_id)

    def _join(self, registration: Registration) -> Member:
        state = self._state
        node = KnownNode(registration.node_id, f"sn-{state.catalog.nodes_joined + 1:02d}", registration.host, "none")
        state.catalog.apply(edits.JoinNode(node.id, node.name, node.host, state.now_ms))
        member = state.members.add(node, state.now_ms)
        state.events.record(state.now_ms, "info", f"{node.name} joined from {node.host}", node=node.id)
        return member

    def _move(self, member: Member, registration: Registration) -> None:
        if registration.host == member.host:
            return
        with suppress(ReadOnly):  # its chunks can be read all the same; it is noted when it registers the next time
            self._state.catalog.apply(edits.MoveNode(member.id, registration.host))
        member.host = registration.host

    def _heard(self, member: Member) -> None:
        state = self._state
        was_down = member.liveness == "down"
        member.heard_ms = state.now_ms
        member.signal("heard", state.now_ms)
        if was_down and member.wish != "failed":
            state.events.record(state.now_ms, "info", f"{member.name} is back up", node=member.id)

    def _fill(self, member: Member, usage: DiskUsage) -> None:
        """Take over the figures of a node's disk, and tell of a mark that it has passed."""
        state = self._state
        if member.fill(usage, state.config):
            better = member.disk_state == "ok"
            text = f"{member.name} {_DISK_TOLD[member.disk_state]}: {member.disk_reason()}"
            state.events.record(state.now_ms, "info" if better else "warning", text, node=member.id)

    # --- Heartbeats ---------------------------------------------------------------------------------------------

    def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatReply | None:
        """Take in what a node says. A reply only if it is refused; `commands` has what to tell it otherwise."""
        state = self._state
        member = state.members.get(heartbeat.node_id)
        if member is None or heartbeat.incarnation != member.incarnation:
            if member is not None and heartbeat.incarnation in member.superseded:
                return HeartbeatReply(state.epoch, True, (GiveUp(),))
            return HeartbeatReply(state.epoch, False)
        if heartbeat.epoch is not None and heartbeat.epoch < state.epoch:
            # Its registration was a late copy: it obeys another NameNode, and knows nothing of this one.
            return HeartbeatReply(state.epoch, False)
        self._heard(member)
        state.sync_role(member)
        if heartbeat.sequence > member.session.sequence:
            member.session.sequence = heartbeat.sequence
            member.beat(state.now_ms, heartbeat)
            self._fill(member, heartbeat.usage)
            self._apply_changes(member, heartbeat)
            self._check_inventory(member, heartbeat)
        return None

    def commands(self, heartbeat: Heartbeat) -> tuple[Command, ...]:
        """What to tell a node now. A heartbeat that comes again is told the same again and nothing new: that its
        answer arrived shows only in the next one. An older one comes from the network, and nobody waits for its answer.
        """
        state, node_id = self._state, heartbeat.node_id
        member = state.members[node_id]
        if member.wish == "failed":
            return (StopServing(),)
        session = member.session
        if heartbeat.sequence < session.sequence:
            return ()
        if session.stale_deletes:  # what it was to delete may be all that is left by now
            return (BeginAnew(),)
        if session.answered < session.sequence:
            session.answered, session.sent, session.outbox = session.sequence, session.outbox, []
        if state.catalog.writer.stopped:  # perhaps since a copy or a deletion was ordered
            return (*(order for order in session.sent if not isinstance(order, CopyChunk)), *self._scrub(member))
        deletes: list[Command] = []
        if session.reported:
            chunk_ids = state.redundancy.deletes_to_send(node_id, state.config.deletes_per_heartbeat_max)
            deletes = [DeleteChunk(chunk_id) for chunk_id in chunk_ids]
        return (*session.sent, *deletes, *self._scrub(member))

    def _scrub(self, member: Member) -> tuple[Command, ...]:
        """The order to scrub, until the node says that it heard of it."""
        return (ScrubAll(member.scrub_order),) if member.scrub.order < member.scrub_order else ()

    def _apply_changes(self, member: Member, heartbeat: Heartbeat) -> None:
        state = self._state
        for key in heartbeat.received:
            self._received(member, key)
        for chunk_id in heartbeat.removed:
            self._removed(member, chunk_id)
        for chunk_id in heartbeat.corrupt:
            self._removed(member, chunk_id)
            self._tell_of_corruption(member, chunk_id)
        for chunk_id in heartbeat.failed_copies:
            state.healer.failed(chunk_id, member.id, state.now_ms)

    def _received(self, member: Member, key: ChunkKey) -> None:
        self._state.redundancy.report(member.id, key)
        self._state.healer.received(key.id, member.id)
        self._note_change(member, key.id, key)

    def _removed(self, member: Member, chunk_id: str) -> None:
        self._state.redundancy.remove(member.id, chunk_id)
        self._note_change(member, chunk_id, None)

    def _note_change(self, member: Member, chunk_id: str, key: ChunkKey | None) -> None:
        """Keep what a heartbeat told, for the report that is on its way; give up a report that takes too long."""
        session = member.session
        if session.verified:
            return
        session.changes[chunk_id] = key
        if len(session.changes) > CHANGES_MAX:
            # The next report may be older than what is dropped: then its digest differs, and another is asked for.
            session.report, session.pages = session.pages_report, {}
            session.forget_changes()

    def _tell_of_corruption(self, member: Member, chunk_id: str) -> None:
        state = self._state
        member.corrupt += 1
        users = [name for name, _ in state.catalog.users_of([chunk_id])]
        of = f" of {quoted(users[0])}" if users else ""
        state.events.record(
            state.now_ms,
            "warning",
            f"{member.name} found its replica of chunk {chunk_id[:12]}{of} corrupt and put it into quarantine",
            node=member.id,
            artifact=users[0] if users else "",
        )

    def _check_inventory(self, member: Member, heartbeat: Heartbeat) -> None:
        """Compare what the node holds with what is known of it; ask for a full report if the two differ."""
        session, now_ms = member.session, self._state.now_ms
        if session.asked_ms is not None:
            if now_ms - session.asked_ms >= REPORT_WAIT_MS:
                member.session.ask_for_report(self._state.now_ms)
            return
        inventory = self._state.redundancy.inventories[member.id]
        agrees = (inventory.digest, inventory.reported) == (heartbeat.inventory_digest, heartbeat.chunks)
        complete = session.reported and agrees and not session.incomplete
        session.verified = complete and heartbeat.sequence >= session.lives_from
        session.forget_changes()
        if not complete:
            member.session.ask_for_report(self._state.now_ms)

    # --- Full reports -------------------------------------------------------------------------------------------

    def full_report(self, report: FullReport) -> None:
        member = self._state.members.get(report.node_id)
        if member is None or member.incarnation != report.incarnation or not member.session.met:
            return
        session = member.session
        if report.epoch is not None and report.epoch < self._state.epoch:
            return  # what it told an earlier NameNode
        if report.sequence is not None and report.sequence < session.noted_since:
            return  # overtaken by heartbeats whose changes are not kept
        self._heard(member)
        self._state.sync_role(member)
        if report.report <= session.report or report.report < session.pages_report:
            return
        if report.report > session.pages_report:
            session.pages_report, session.pages = report.report, {}
        if not 0 <= report.page < report.pages:
            return
        session.pages[report.page] = report.chunks
        session.asked_ms = self._state.now_ms
        if len(session.pages) == report.pages:
            self._take_over(member, report.sequence)

    def _take_over(self, member: Member, sequence: int | None) -> None:
        """A report is complete: it replaces what was believed, but for what heartbeats told while it was coming.

        sequence: of the heartbeat that it follows.
        """
        state, session = self._state, member.session
        held = {key.id: key for page in sorted(session.pages) for key in session.pages[page]}
        for chunk_id, key in session.changes.items():
            if key is None:
                held.pop(chunk_id, None)
            else:
                held[chunk_id] = key
        started_ms = None if session.reported else member.registered_ms
        state.redundancy.replace_inventory(member.id, held.values(), started_ms)
        for chunk_id in held:
            state.healer.received(chunk_id, member.id)
        session.report, session.pages = session.pages_report, {}
        session.forget_changes()
        session.reported = True
        if sequence is None or sequence >= session.lives_from - 1:  # made since it was silent
            session.incomplete = False
        session.verified = False  # until a heartbeat has agreed
        session.asked_ms = None
        state.healer.members_changed()


def _place(of: Member | Registration) -> tuple[str, str]:
    """Where a node's directory is."""
    return of.host, of.directory
