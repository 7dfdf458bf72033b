"""What the parts of a NameNode share."""

from __future__ import annotations

import random
from dataclasses import dataclass

from core.config import Config
from core.errors import ReadOnly
from core.namenode.catalog import Catalog
from core.namenode.deleting import Deleter
from core.namenode.events import EventLog
from core.namenode.healing import Healer
from core.namenode.leases import Leases
from core.namenode.membership import Member, Membership
from core.namenode.readings import Readings
from core.namenode.rebalancing import Rebalancer
from core.namenode.redundancy import Redundancy


@dataclass
class State:
    """The catalog is hard state, all the rest soft."""

    catalog: Catalog
    config: Config
    rng: random.Random
    cluster_id: str
    epoch: int
    started_ms: int
    now_ms: int
    """Of the call being served; never goes back."""
    safe_mode: bool
    """Nodes known to the catalog have not all reported since the start: what looks missing may only be late."""
    members: Membership
    redundancy: Redundancy
    healer: Healer
    rebalancer: Rebalancer
    deleter: Deleter
    leases: Leases
    events: EventLog
    readings: Readings

    def check_writable(self) -> None:
        """Raises ReadOnly before an upload moves its first byte, if its version could not be published."""
        if self.catalog.writer.read_only:
            raise ReadOnly(self.catalog.writer.read_only)

    def order_deletes(self) -> None:
        """Order what may be deleted now: nothing before the reports are in or while nothing is to be changed, and no
        garbage while an upload may hold chunks that are not known to be held, or a version that is in doubt."""
        writer = self.catalog.writer
        if not self.safe_mode and not writer.stopped:
            held = self.leases.holds_unseen_chunks(self.now_ms) or writer.in_doubt
            self.deleter.order(self.now_ms, garbage_too=not held)

    def sync_role(self, member: Member) -> None:
        """A node's liveness or wish may have changed: let its replicas count accordingly."""
        before, session = self.redundancy.role_of(member.id), member.session
        if before == member.role:
            return
        if "absent" in (before, member.role):
            session.verified = False
            session.lives_from = session.sequence + 2  # the next one may have been long on its way
        untold = member.role == "absent" and self._may_have_untold(member)
        self.redundancy.set_role(member.id, member.role)
        if member.role == "absent":
            self.healer.node_lost(member.id)
            session.outbox.clear()
            session.sent.clear()
            session.stale_deletes |= bool(self.redundancy.inventories[member.id].deleting)
        if untold:
            session.doubt(self.now_ms)
        self.healer.members_changed()

    def _may_have_untold(self, member: Member) -> bool:
        """Whether clients or copies may have stored on it what it has not told of."""
        return (
            len(self.leases) > 0
            or self.leases.holds_unseen_chunks(self.now_ms)
            or self.healer.pulls(member.id)
            or self.redundancy.has_claims(member.id)
        )
