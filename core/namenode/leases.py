"""Leases: uploads under way, and the chunks each of them holds. Soft state that a client can bring back by showing
its lease."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from core.model import Lease


@dataclass
class Upload:
    """A lease and the chunks pinned under it."""

    lease: Lease
    adopted: bool = False
    """Begun with an earlier NameNode, or let go for a while: it may hold chunks that were not watched over all the
    time."""
    late: bool = False
    """Taken up again only after the time for which a NameNode that starts waits: chunks that it holds may have been
    deleted as garbage."""
    pins: dict[str, bool] = field(default_factory=dict)
    """By chunk, whether it was watched over since before it was stored: allocated in this upload, while not adopted."""
    replication: int | None = None
    """What was asked for the artifact since the lease was given: the version takes it over. An upload that an earlier
    NameNode began has what its lease says."""


class Leases:
    def __init__(self, lease_ms: int, promised_until_ms: int, now_ms: int, patience_ms: int) -> None:
        """promised_until_ms: as an earlier NameNode promised. patience_ms: how long its uploads are waited for at most:
        one that is heard of only later may find that its chunks are gone, and is refused then.
        """
        self._lease_ms = lease_ms
        self._former_until_ms = min(promised_until_ms, now_ms + patience_ms)
        self.promised_until_ms = promised_until_ms
        """As the catalog has it: no lease that was given is shown again after this."""
        self.used_ms = 0
        """When a lease was given or renewed last."""
        self._uploads: dict[str, Upload] = {}
        """Least recently renewed first."""

    def __iter__(self) -> Iterator[Upload]:
        return iter(self._uploads.values())

    def get(self, lease_id: str) -> Upload | None:
        return self._uploads.get(lease_id)

    def open(self, lease: Lease) -> Upload:
        assert lease.id not in self._uploads
        self._uploads[lease.id] = Upload(lease)
        return self._uploads[lease.id]

    def set_replication(self, name: str, replication: int) -> None:
        """It was asked for the artifact of this name: uploads under way must not take it back."""
        for upload in self:
            if upload.lease.name == name:
                upload.replication = replication

    def renew(self, lease_id: str, now_ms: int) -> None:
        upload = self._uploads.pop(lease_id)
        upload.lease = replace(upload.lease, renewed_ms=now_ms)
        self._uploads[lease_id] = upload

    def close(self, lease_id: str) -> Upload | None:
        return self._uploads.pop(lease_id, None)

    def over_ms(self, lease: Lease) -> int:
        """When the lease ends unless it is renewed."""
        return lease.renewed_ms + self._lease_ms

    def is_over(self, lease: Lease, now_ms: int) -> bool:
        return now_ms > self.over_ms(lease)

    def expired(self, now_ms: int) -> list[str]:
        over = []
        for upload in self:
            if not self.is_over(upload.lease, now_ms):
                break
            over.append(upload.lease.id)
        return over

    def holds_unseen_chunks(self, now_ms: int) -> bool:
        """Whether an upload that began with an earlier NameNode holds chunks, or may yet show that it does."""
        return now_ms <= self._former_until_ms or any(upload.adopted for upload in self)

    def __len__(self) -> int:
        return len(self._uploads)

    def promise_needed(self, now_ms: int) -> int | None:
        """What to promise before a lease is given or renewed now, if the last promise does not reach: far enough that
        the next one is half a lease away."""
        if now_ms + self._lease_ms <= self.promised_until_ms:
            return None
        return self._promise(now_ms)

    def _promise(self, now_ms: int) -> int:
        return now_ms + self._lease_ms + self._lease_ms // 2
