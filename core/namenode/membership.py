"""Storage nodes: who is alive, what the operator wants of each, and what follows from both.

Hard state, mirrored from the catalog: id, name, last host, wish. Soft state: all the rest, learned from registrations
and heartbeats.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from core.config import Config
from core.model import (
    ChunkKey,
    Command,
    DiskState,
    DiskUsage,
    Heartbeat,
    NodeRef,
    NodeState,
    QuarantineUsage,
    Registration,
    ScrubState,
    SendFullReport,
    Wish,
)
from core.namenode.catalog import KnownNode
from core.namenode.diskstate import DISK_AFTER, Fill, disk_signal, fullness, room_for_clients
from core.namenode.nodestates import LIVENESS_AFTER, ROLE_OF, STATE_OF, Liveness, Role, Signal
from core.namenode.placement import Candidate, DiskRoom
from core.namenode.progress import DrainProgress
from core.namenode.traffic import Counters, Rates
from core.namenode.words import counted, listed, seconds

RATE_WINDOW_MS = 5_000
NO_USAGE = DiskUsage(0, 0, "")
"""Of a node not heard of yet."""
SUPERSEDED_MAX = 16
"""Former incarnations of a node that are remembered, to tell them to give up."""


@dataclass
class Session:
    """What one incarnation of a storage node and this NameNode have told each other. A registration starts a new
    one."""

    sequence: int = -1
    """Of the last heartbeat whose changes were applied."""
    outbox: list[Command] = field(default_factory=list)
    sent: list[Command] = field(default_factory=list)
    """Went with the reply to `sequence`; sent again if that heartbeat is repeated."""
    answered: int = -1
    """Number of the heartbeat whose reply `sent` went with."""
    stale_deletes: bool = False
    """Deletes were under way when its replicas ceased to count for a while: it must begin anew before it is told
    anything else, so that they are off."""
    reported: bool = False
    """Its whole inventory has arrived once."""
    verified: bool = False
    """It has, and the digest of its last heartbeat agreed with it: only then may a delete rely on it."""
    asked_ms: int | None = None
    """When the full report that is still to come was asked for, or a page of it came. None: no report is on its way."""
    report: int = -1
    """Number of the last complete report."""
    pages: dict[int, tuple[ChunkKey, ...]] = field(default_factory=dict)
    pages_report: int = -1
    """Number of the report that `pages` belong to."""
    changes: dict[str, ChunkKey | None] = field(default_factory=dict)
    """What heartbeats said while a report was on its way: the report may be older than they are. None: removed."""
    noted_since: int = -1
    """Number of the heartbeat after which `changes` begin: a report from before it says less than is known."""
    lives_from: int = -1
    """Number of the first heartbeat that shows that its process lives still, after its replicas ceased to count for a
    while: it follows an answer that was given since."""
    incomplete: bool = False
    """Clients stored on it what it did not tell of in time: it may hold more than is known, until it reports."""

    @property
    def met(self) -> bool:
        """Its heartbeat has shown that it obeys this NameNode; a registration alone may be a late copy."""
        return self.sequence >= 0

    def forget_changes(self) -> None:
        self.changes, self.noted_since = {}, self.sequence

    def doubt(self, now_ms: int) -> None:
        """The clients' word for what it took counts no more: only a report tells."""
        self.verified, self.incomplete = False, True
        if self.asked_ms is None:
            self.ask_for_report(now_ms)

    def ask_for_report(self, now_ms: int) -> None:
        self.asked_ms = now_ms
        self.outbox.append(SendFullReport())


@dataclass
class Member:
    """One storage node."""

    id: str
    name: str
    host: str
    wish: Wish
    heard_ms: int
    """Last sign of life; the NameNode's start until there is one."""
    liveness: Liveness = "suspect"
    down_ms: int = 0
    """When it went down, while it is."""
    drained: bool = False
    drain: DrainProgress = field(default_factory=DrainProgress)
    """While it is draining."""
    incarnation: str = ""
    """Empty until it registers with this NameNode."""
    asked_ms: int | None = None
    """When its process, silent since the node was failed, asked last whether it may return."""
    superseded: list[str] = field(default_factory=list)
    endpoint: str = ""
    pid: int = 0
    directory: str = ""
    registered_ms: int = 0
    usage: DiskUsage = NO_USAGE
    disk_state: DiskState = "ok"
    session: Session = field(default_factory=Session)
    copying: int = 0
    corrupt: int = 0
    promised_bytes: int = 0
    """Sent its way since its last heartbeat, and before that one: `promised_before_bytes`. Its own figures may lack
    them."""
    promised_before_bytes: int = 0
    counters: deque[Counters] = field(default_factory=deque)
    """Of the heartbeats of the last seconds."""
    quarantine: QuarantineUsage = field(default_factory=QuarantineUsage)
    scrub: ScrubState = field(default_factory=ScrubState)
    scrub_order: int = 0
    """The newest order to scrub that it should know of."""

    @property
    def state(self) -> NodeState:
        state = STATE_OF[self.liveness, self.wish]
        return "drained" if state == "draining" and self.drained else state

    @property
    def role(self) -> Role:
        return ROLE_OF[self.state]

    @property
    def ref(self) -> NodeRef:
        return NodeRef(self.id, self.name, self.host, self.endpoint, self.directory)

    @property
    def disk(self) -> str:
        return self.usage.disk or self.id

    @property
    def promised_ahead_bytes(self) -> int:
        """Sent its way, and perhaps not in its figures yet."""
        return self.promised_bytes + self.promised_before_bytes

    @property
    def unheard(self) -> bool:
        """Not heard of since the NameNode started, and not yet given up."""
        return not self.incarnation and self.liveness == "suspect"

    def ask(self, wish: Wish) -> None:
        """An operator wants something of it from now on."""
        if wish != self.wish:
            self.drain = DrainProgress()
        self.wish, self.drained = wish, False

    def asks(self, now_ms: int, within_ms: int) -> bool:
        """Whether its process has lately asked to return."""
        return self.asked_ms is not None and now_ms - self.asked_ms < within_ms

    def signal(self, signal: Signal, now_ms: int) -> bool:
        """Move along the table; answer whether the liveness changed."""
        before = self.liveness
        self.liveness = LIVENESS_AFTER[before, signal]
        if self.liveness == "down" and before != "down":
            self.down_ms = now_ms
        return self.liveness != before

    def silence(self, now_ms: int) -> str:
        if not self.incarnation:
            return "not heard of since the NameNode started"
        return f"no heartbeat for {seconds(now_ms - self.heard_ms)}"

    def reason(self, now_ms: int) -> str:
        """Why it is in its state."""
        state = self.state
        if state == "failed":
            return "failed by an operator; recover it to bring it back"
        if state in ("suspect", "down"):
            return self.silence(now_ms)
        if state == "up":
            return "heartbeats arrive"
        if state == "drained":
            enough = "as many replicas as there are nodes" if self.drain.warning else "its replicas"
            reason = f"drained: every chunk on it has {enough} elsewhere, it can be stopped"
        else:
            reason = f"draining: {counted(self.drain.left, 'chunk')} still to be copied elsewhere"
        return reason if self.liveness == "up" else f"{reason}; {self.silence(now_ms)}"

    def disk_reason(self) -> str:
        """How full its disk is, and what follows from it."""
        if self.disk_state == "read_only":
            return "its disk is full up to the reserve"
        return f"its disk is {int(100 * fullness(self.usage))}% full"

    def open_session(self, now_ms: int, registration: Registration) -> None:
        """Another process has taken the node's directory over, or it is heard of for the first time."""
        if self.incarnation:
            self.superseded = [*self.superseded, self.incarnation][-SUPERSEDED_MAX:]
        self.incarnation = registration.incarnation
        self.registered_ms = now_ms
        self.session = Session()
        self.counters.clear()
        self.copying = 0

    def beat(self, now_ms: int, heartbeat: Heartbeat) -> None:
        """Take over the figures of a heartbeat, but for those of its disk."""
        self.copying = heartbeat.copying
        self.quarantine, self.scrub = heartbeat.quarantine, heartbeat.scrub
        self.promised_before_bytes, self.promised_bytes = self.promised_bytes, 0
        self.counters.append(Counters(now_ms, heartbeat.read_bytes, heartbeat.written_bytes, heartbeat.copied_bytes))
        while self.counters[0].time_ms < now_ms - RATE_WINDOW_MS:
            self.counters.popleft()

    def fill(self, usage: DiskUsage, config: Config) -> bool:
        """Take over what a node says of its disk; answer whether that is another state of it."""
        before = self.disk_state
        self.usage = usage
        self.disk_state = DISK_AFTER[before, disk_signal(usage, config)]
        return self.disk_state != before

    def rates(self) -> Rates:
        """What it moved per second, lately."""
        if self.liveness == "down" or len(self.counters) < 2:
            return Rates(0, 0, 0)
        first, last = self.counters[0], self.counters[-1]
        span_ms = max(1, last.time_ms - first.time_ms)
        return Rates(
            *(max(0, after - before) * 1000 // span_ms for before, after in zip(first[1:], last[1:], strict=True))
        )


class Membership:
    """All storage nodes that joined and were not forgotten, in the order in which they joined."""

    def __init__(self, known: list[KnownNode], config: Config, now_ms: int) -> None:
        self._config = config
        self._mourned_ms = -1
        """Nodes that went down until then make healing wait no more."""
        self._members = {node.id: Member(node.id, node.name, node.host, node.wish, now_ms) for node in known}

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def get(self, node_id: str) -> Member | None:
        return self._members.get(node_id)

    def __getitem__(self, node_id: str) -> Member:
        return self._members[node_id]

    def add(self, node: KnownNode, now_ms: int) -> Member:
        assert node.id not in self._members
        self._members[node.id] = Member(node.id, node.name, node.host, node.wish, now_ms)
        return self._members[node.id]

    def remove(self, node_id: str) -> None:
        del self._members[node_id]

    def age(self, now_ms: int) -> list[Member]:
        """Let silence take its effect; answer with those whose liveness changed."""
        changed = []
        for member in self:
            silent_ms = now_ms - member.heard_ms
            if silent_ms < self._config.suspect_after_ms:
                continue
            signal: Signal = "silent" if silent_ms >= self._config.down_after_ms else "late"
            if member.signal(signal, now_ms):
                changed.append(member)
        return changed

    def excuse_silence(self, now_ms: int) -> None:
        """Nobody called for long: the NameNode was busy or its machine asleep, and heartbeats may be waiting in line.

        No node is thought worse of than suspect until it has had the time to be heard.
        """
        for member in self:
            if member.liveness != "down":
                member.heard_ms = max(member.heard_ms, now_ms - self._config.suspect_after_ms)

    def find(self, word: str) -> list[Member]:
        """The nodes a person may mean: the one with this name or id, else all on the host of this name, else all whose
        name or id begins so."""
        folded = word.casefold()
        exact = [member for member in self if folded in (member.name.casefold(), member.id.casefold())]
        exact = exact or [member for member in self if folded == member.host.casefold()]
        if exact or not folded:
            return exact
        return [
            member
            for member in self
            if member.name.casefold().startswith(folded) or member.id.casefold().startswith(folded)
        ]

    def usable(self) -> list[Member]:
        """Those the operator wants to take part, alive or not."""
        return [member for member in self if member.wish == "none"]

    def up(self) -> list[Member]:
        return [member for member in self if member.state == "up"]

    def up_and_met(self) -> list[Member]:
        """Those that can be given something to do."""
        return [member for member in self.up() if member.session.met]

    # --- Room -------------------------------------------------------------------------------------------------

    def candidates(self, for_clients: bool = False, disk: str = "") -> list[Candidate]:
        """The nodes that may take chunks, with the room they have left: all of it, or what clients may use of it.

        disk: only those on this one.
        """
        considered = [member for member in self if member.disk == disk] if disk else list(self)
        promised: dict[str, int] = {}
        for member in considered:
            promised[member.disk] = promised.get(member.disk, 0) + member.promised_ahead_bytes
        return [
            Candidate(
                member.id,
                member.host,
                member.usage.used_bytes + member.promised_ahead_bytes,
                max(0, self.room_of(member, for_clients) - self._promised(member, promised[member.disk])),
            )
            for member in considered
            if member.state == "up"
        ]

    def _promised(self, member: Member, on_disk_bytes: int) -> int:
        """What was promised of a node's room: to itself alone if that is its own, else also to those on its disk."""
        return member.promised_ahead_bytes if self._at_own_limit(member) else on_disk_bytes

    def room_of(self, member: Member, for_clients: bool) -> int:
        """All the room a node has left, or what clients may use of it."""
        return self.room_for_clients(member) if for_clients else member.usage.free_bytes

    def room_for_clients(self, member: Member) -> int:
        return room_for_clients(member.usage, member.disk_state, self._config)

    def room(self, members: list[Member], for_clients: bool) -> list[DiskRoom]:
        """What may be stored on each of the disks of these nodes: all they take, or what clients may use of it."""
        return [
            DiskRoom(
                self._free_on_disk(sharing, lambda member: self.room_of(member, for_clients)),
                tuple(self.room_of(member, for_clients) for member in sharing),
            )
            for sharing in _by_disk(members)
        ]

    def free_bytes(self, members: list[Member]) -> int:
        """What these nodes can still take together: the free part of a shared disk is counted once."""
        return sum(self._free_on_disk(sharing, lambda member: member.usage.free_bytes) for sharing in _by_disk(members))

    def _free_on_disk(self, sharing: list[Member], room: Callable[[Member], int]) -> int:
        """What nodes that share a disk can take together.

        A node at its own limit says nothing about the disk: its free part is its own.
        """
        bound_by_disk = [room(member) for member in sharing if not self._at_own_limit(member)]
        return max(bound_by_disk) if bound_by_disk else sum(map(room, sharing))

    def fills(self, ahead: Mapping[str, int] | None = None) -> dict[str, Fill]:
        """How full each node is. Nodes that fill one disk together are as full as that disk.

        ahead: by node, bytes that will be added to it, or taken off.
        """
        coming = ahead or {}
        fills = {}
        for sharing in _by_disk(list(self)):
            bound_by_disk = [member for member in sharing if not self._at_own_limit(member)]
            groups = [bound_by_disk, *([member] for member in sharing if self._at_own_limit(member))]
            for group in groups:
                used_bytes = sum(member.usage.used_bytes for member in group)
                capacity_bytes = used_bytes + max((member.usage.free_bytes for member in group), default=0)
                more_bytes = sum(coming.get(member.id, 0) for member in group)
                fills.update({member.id: Fill(used_bytes + more_bytes, capacity_bytes) for member in group})
        return fills

    def _at_own_limit(self, member: Member) -> bool:
        limit_bytes = self._config.storage_capacity_bytes
        return bool(limit_bytes) and member.usage.used_bytes + member.usage.free_bytes >= limit_bytes

    # --- Many at once -----------------------------------------------------------------------------------------

    def end_wait(self, now_ms: int) -> None:
        """An operator knows better: the nodes that are down by now are not waited for any more."""
        self._mourned_ms = now_ms

    def healing_waits(self, now_ms: int) -> str:
        """Why healing should wait: too many nodes vanished together. Empty when it need not.

        Only nodes that are still down matter, so the wait ends by itself when enough of them are back.
        """
        window_ms, hold_ms = self._config.mass_failure_window_ms, self._config.mass_failure_hold_ms
        lost = sorted(
            (member for member in self.usable() if member.liveness == "down"),
            key=lambda member: member.down_ms,
        )
        for last in reversed(lost):
            left_ms = last.down_ms + hold_ms - now_ms
            if left_ms <= 0 or last.down_ms <= self._mourned_ms:
                break
            together = [member for member in lost if last.down_ms - window_ms <= member.down_ms <= last.down_ms]
            long_gone = sum(1 for member in lost if member.down_ms < last.down_ms - window_ms)
            population = len(self.usable()) - long_gone
            if len(together) > 1 and len(together) > self._config.mass_failure_share * population:
                names = listed([member.name for member in together])
                return (
                    f"{len(together)} of {population} storage nodes vanished together ({names}), more likely a broken"
                    f" network than as many broken disks; copying starts in {seconds(left_ms)} unless they come back."
                )
        return ""


def _by_disk(members: list[Member]) -> list[list[Member]]:
    """Those that share a disk, together."""
    disks: dict[str, list[Member]] = {}
    for member in members:
        disks.setdefault(member.disk, []).append(member)
    return list(disks.values())
