"""What happens with time: liveness, safe mode, expiry, healing, deleting, and the events that tell of them."""

from __future__ import annotations

from core.model import Severity
from core.namenode.draining import Drains
from core.namenode.housekeeping import Housekeeping
from core.namenode.membership import Member
from core.namenode.state import State
from core.namenode.uploads import Uploads
from core.namenode.words import counted, listed, quoted, seconds


class Upkeep:
    def __init__(self, state: State, uploads: Uploads) -> None:
        self._state = state
        self.drains = Drains(state)
        self._uploads = uploads
        self.housekeeping = Housekeeping(state)
        self._healing_told = False
        self._wait_told = ""
        self._lost_told = 0

    def tick(self) -> None:
        state, now_ms = self._state, self._state.now_ms
        for member in state.members.age(now_ms):
            self._tell_of_silence(member)
            state.sync_role(member)
        if state.safe_mode:
            self._leave_safe_mode()
        for lease_id in state.leases.expired(now_ms):
            self._uploads.release(lease_id)
        self._doubt(state.redundancy.drop_old_claims())
        state.healer.expire(now_ms)
        self.drains.check_when_due()
        self.heal_and_delete()
        self._tell_of_lost_chunks()
        self.housekeeping.step()

    # --- Nodes --------------------------------------------------------------------------------------------------

    def _doubt(self, node_ids: list[str]) -> None:
        """What clients said of these nodes was never confirmed. Perhaps it is this NameNode that stood still and has
        not heard them since: what they hold is known only when they have told it anew."""
        for node_id in node_ids:
            self._state.members[node_id].session.doubt(self._state.now_ms)

    def _tell_of_silence(self, member: Member) -> None:
        if member.state == "down":
            self._tell("warning", f"{member.name} is down: {member.silence(self._state.now_ms)}", member)

    def _tell(self, severity: Severity, text: str, member: Member | None = None) -> None:
        self._state.events.record(self._state.now_ms, severity, text, node=member.id if member else "")

    def _leave_safe_mode(self) -> None:
        state = self._state
        late = [member.name for member in state.members if member.wish != "failed" and not member.session.reported]
        if not late:
            self._tell("info", "safe mode left: all storage nodes have reported")
        elif state.now_ms - state.started_ms >= state.config.safe_mode_ms:
            waited = seconds(state.config.safe_mode_ms)
            self._tell("warning", f"safe mode left after {waited}: {listed(late)} did not report")
        else:
            return
        state.safe_mode = False
        state.healer.members_changed()

    # --- Healing and deleting -----------------------------------------------------------------------------------

    def heal_and_delete(self) -> None:
        """Also called after a heartbeat's changes, so that what follows from them rides back on its reply."""
        state, now_ms = self._state, self._state.now_ms
        if state.safe_mode or state.catalog.writer.stopped:
            return
        waits = state.members.healing_waits(now_ms)
        if not waits:
            state.healer.schedule(now_ms)
            self._rebalance()
        self._tell_of_healing(waits)
        state.order_deletes()

    def _rebalance(self) -> None:
        """Even out how full the nodes are, when nothing that is short can be helped."""
        state = self._state
        if state.healer.healing or state.redundancy.short.waiting:
            return
        before = state.rebalancer.active
        state.rebalancer.schedule(state.now_ms)
        if state.rebalancer.active != before:
            fills = state.members.fills()
            shares = sorted(int(100 * fills[member.id].share) for member in state.members.up())
            span = f": storage nodes are {shares[0]}% to {shares[-1]}% full" if shares else ""
            self._tell("info", f"rebalancing {'finished' if before else 'started'}{span}")

    def _tell_of_healing(self, waits: str) -> None:
        state = self._state
        if bool(waits) != bool(self._wait_told):
            self._tell("warning" if waits else "info", waits or "healing goes on")
            self._wait_told = waits
        under_way = bool(state.healer.healing or state.redundancy.short.waiting) and not waits
        if state.healer.healing and not self._healing_told:
            self._healing_told = True
            short = sum(state.redundancy.counts.values())
            self._tell("info", f"healing started: {counted(short, 'chunk')} with too few replicas")
        elif self._healing_told and not under_way:
            self._healing_told = False
            left = len(state.redundancy.short)
            outcome = f"stopped: no storage node can take {counted(left, 'more chunk')}" if left else "finished"
            self._tell("info", f"healing {outcome}")

    def _tell_of_lost_chunks(self) -> None:
        state = self._state
        lost = 0 if state.safe_mode else state.redundancy.counts["lost"]
        if lost > self._lost_told:
            users = [name for name, _ in state.catalog.users_of(self._lost_sample())]
            of = f", of {listed([quoted(name) for name in users], 3)}" if users else ""
            self._tell("error", f"{counted(lost, 'chunk')} without a replica on any storage node that is up{of}")
        elif self._lost_told and not lost:
            self._tell("info", "every chunk has a replica on a storage node that is up again")
        self._lost_told = lost

    def _lost_sample(self) -> list[str]:
        """Some lost chunks, enough to name artifacts."""
        unhealthy = self._state.redundancy.unhealthy
        return [chunk_id for chunk_id, health in unhealthy.items() if health == "lost"][:100]
