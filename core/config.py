"""Every number that shapes a cluster, in one place, with its unit, its default and its reason.

Each field can be set by an environment variable: `chunk_size_bytes` by DAME_CHUNK_SIZE_BYTES, and so on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from core.errors import ConfigurationFailure

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Config:
    """Settings of one cluster. The NameNode's copy rules; storage nodes receive theirs when they are started."""

    chunk_size_bytes: int = 8 * MIB
    """Content is cut into chunks of this size. 8 MiB keeps the cost of one actor call (about 1 ms) under a tenth."""
    chunk_size_bytes_max: int = 64 * MIB
    """Largest chunk an upload may ask for: a chunk is held whole in memory by client and storage node."""
    replication: int = 3
    """Copies of each chunk: one may be lost while another is being read and a third is out of reach."""
    replication_max: int = 16
    """More copies than this is a mistake in the request."""
    name_length_max: int = 1024
    """Longest artifact name, in characters."""
    chunks_per_version_max: int = 1_000_000
    """7.6 TiB at the default chunk size; keeps one commit within a message Ray can carry."""

    heartbeat_interval_ms: int = 1 * SECOND_MS
    """How often a storage node reports."""
    suspect_after_ms: int = 3 * SECOND_MS
    """Silence after which a node gets no new chunks and is read last: two heartbeats lost, the third late."""
    down_after_ms: int = 10 * SECOND_MS
    """Silence after which a node's replicas no longer count. A restart of the process takes about 2 s, so a crash
    alone moves nothing."""
    safe_mode_ms: int = 30 * SECOND_MS
    """After its start the NameNode deletes and copies nothing until all known nodes reported, or for this long."""
    mass_failure_share: float = 1 / 3
    """When more than this share of the nodes vanishes within `mass_failure_window_ms`, healing waits: a switch or a
    rack is likelier than as many disks."""
    mass_failure_window_ms: int = 1 * MINUTE_MS
    mass_failure_hold_ms: int = 2 * MINUTE_MS
    """How long healing waits then."""

    copies_per_node_max: int = 256
    """Replica copies ordered from one storage node and not confirmed yet. The node makes a few of them at a time and
    asks for more when half are done, so this many small chunks last until the answer comes."""
    copy_bytes_per_node_max: int = 128 * MIB
    """No more copies are ordered from a node that has this much to pull: a second of work, so that its disk does not
    wait for orders, and an order that comes to nothing is noticed soon."""
    copies_in_flight_max: int = 4096
    """Replica copies under way in the whole cluster."""
    healing_bytes_per_s_max: int = 400 * MIB
    """Copies ordered from one storage node, less what clients move on it: the pace of one good disk. Chunks with one
    replica left get all of it. 0 means no cap."""
    healing_bytes_per_s_min: int = 20 * MIB
    """However much clients move, healing gets this much on each node, so that it ends; never 0 under a cap."""
    rebalance_threshold: float = 0.10
    """When two nodes differ by more than this in the share of their room that is used, chunks are moved until they
    differ by half of it. Less is not worth the traffic. 0 means never."""
    rebalance_bytes_per_s_max: int = 50 * MIB
    """Moved in the whole cluster: there is no hurry. 0 means no cap."""
    rebalance_copies_max: int = 8
    """Moves under way in the whole cluster."""
    copy_timeout_ms: int = 60 * SECOND_MS
    """A copy that was ordered and not confirmed for this long is ordered anew, perhaps elsewhere."""
    deletes_per_heartbeat_max: int = 500
    """Bounds one heartbeat's reply."""
    report_page_chunks_max: int = 50_000
    """Chunks in one page of a full report: about 4 MB."""
    changes_per_heartbeat_max: int = 10_000
    """Changes of the inventory in one heartbeat; the rest goes with the next one."""

    keep_versions: int = 0
    """How many of its newest versions a new artifact keeps unless the upload says otherwise; 0 for all of them:
    nothing that was stored goes away unasked."""
    keep_versions_max: int = 1_000_000
    """More than this is a mistake in the request."""
    lease_ms: int = 1 * HOUR_MS
    """An upload idle for longer loses its hold on the chunks it has stored."""
    garbage_grace_ms: int = 10 * MINUTE_MS
    """A chunk that no version counts any more and no lease holds is removed after this long, never at once. A NameNode
    that starts waits as long for uploads under way before it removes any."""
    unknown_grace_ms: int = 1 * DAY_MS
    """A chunk that a storage node holds and this cluster knows nothing of is removed after this long: when the catalog
    was put back from an older copy, it may be the newest data, and somebody must have the time to notice."""
    trash_retention_ms: int = 3 * DAY_MS
    """Deleted artifacts can be undeleted for this long."""
    operation_memory_ms: int = 1 * DAY_MS
    """How long the result of a mutation is remembered, so that a repeated request is answered and not applied twice."""
    catalog_ballast_bytes: int = 16 * MIB
    """Room kept on the catalog's disk for when it is full: enough to write that an artifact of some hundred thousand
    chunks is removed. 0 for none."""
    crashes_max: int = 3
    """After so many broken invariants within `crash_window_ms`, or twice as many ends of its process in the middle of
    a request, the NameNode comes up read-only: once is a bad moment,
    again and again is a request or a state that ends it each time."""
    crash_window_ms: int = 10 * MINUTE_MS
    """How long crashes are held against it: long enough for a client to retry, short enough to try again by itself."""
    operations_max: int = 200_000
    """Results remembered at most, the newest: minutes of the busiest cluster, and clients repeat within half of one."""
    leases_max: int = 10_000
    """Uploads under way at most; more are asked to wait."""
    events_max: int = 2_000
    """Events the NameNode keeps in memory."""

    checkpoint_interval_ms: int = 5 * MINUTE_MS
    """The catalog is checkpointed into the store this often while it changes: what its lost disk can cost at most."""
    checkpoint_first_ms: int = 5 * SECOND_MS
    """The gap between the first checkpoints of a NameNode, doubled with each: a cluster on a laptop may not live long.
    Also the least gap under many edits."""
    checkpoint_edits: int = 1_000
    """As many edits call for a checkpoint sooner."""

    disk_reserve_bytes: int = 256 * MIB
    """A storage node refuses chunks when its filesystem has less than this free, so that deletes and the catalog
    still work."""
    disk_warn_share: float = 0.85
    """A storage node this full, of all it could hold, is told of: there is time to add another."""
    disk_no_new_share: float = 0.95
    """A storage node this full takes no new chunks of clients; what is left is for healing. 1 means no such limit."""
    storage_capacity_bytes: int = 0
    """Upper bound for the chunks of one storage node; 0 means as much as its filesystem holds."""

    scrub_period_ms: int = 7 * DAY_MS
    """Every replica is re-read and checked at least this often, so that rot is found while other copies are good."""
    scrub_bytes_per_s_max: int = 200 * MIB
    """A storage node re-reads no faster than this, also when it is late or asked to: a part of what a disk gives."""
    scrub_bytes_per_s_min: int = 1 * MIB
    """A storage node re-reads no slower than this, but for clients' sake: one with little on it is through soon."""
    quarantine_bytes_max: int = 10 * GIB
    """Replicas found bad are kept for a person to look at; beyond this much on one node the oldest are dropped. Large,
    since a disk that can't be read for a while makes good replicas look bad, and `fsck --repair` brings them back."""
    quarantine_retention_ms: int = 30 * DAY_MS
    """Replicas found bad are dropped after this long."""

    transfer_window_chunks: int = 6
    """Chunks in flight in one transfer: client memory is about this times the chunk size, twice."""
    transfer_batch_chunks: int = 64
    """Chunks asked for in one call to the NameNode."""
    store_timeout_ms: int = 20 * SECOND_MS
    """A storage node that takes longer for one chunk is left out of this transfer."""
    straggler_ms: int = 2 * SECOND_MS
    """Once the write quorum has a chunk, the other targets get this long before the transfer goes on without them;
    healing completes the rest."""
    short_circuit_reads: bool = True
    """A client reads chunks of a storage node on its own machine from that node's directory, where it may."""
    call_timeout_ms: int = 10 * SECOND_MS
    """One call to the NameNode."""
    retry_ms: int = 30 * SECOND_MS
    """How long the client keeps trying to reach a NameNode that does not answer; a restart takes about 2 s."""

    def __post_init__(self) -> None:
        for name, ok in (
            ("chunk_size_bytes", 1 <= self.chunk_size_bytes <= self.chunk_size_bytes_max),
            ("replication", 1 <= self.replication <= self.replication_max),
            ("keep_versions", 0 <= self.keep_versions <= self.keep_versions_max),
            ("suspect_after_ms", self.heartbeat_interval_ms < self.suspect_after_ms < self.down_after_ms),
            ("mass_failure_share", 0 < self.mass_failure_share <= 1),
            ("healing_bytes_per_s_max", self.healing_bytes_per_s_max >= 0),
            (
                "healing_bytes_per_s_min",
                1 <= self.healing_bytes_per_s_min <= self.healing_bytes_per_s_max or not self.healing_bytes_per_s_max,
            ),
            ("rebalance_threshold", 0 <= self.rebalance_threshold < 1),
            ("rebalance_bytes_per_s_max", self.rebalance_bytes_per_s_max >= 0),
            ("rebalance_copies_max", self.rebalance_copies_max >= 1),
            ("disk_warn_share", 0 < self.disk_warn_share <= self.disk_no_new_share),
            ("disk_no_new_share", self.disk_no_new_share <= 1),
            ("lease_ms", self.store_timeout_ms < self.lease_ms),
            ("checkpoint_first_ms", 0 < self.checkpoint_first_ms <= self.checkpoint_interval_ms),
            ("checkpoint_edits", self.checkpoint_edits >= 1),
            ("catalog_ballast_bytes", self.catalog_ballast_bytes >= 0),
            ("operations_max", self.operations_max >= 1),
            ("leases_max", self.leases_max >= 1),
            ("crashes_max", self.crashes_max >= 1),
            ("straggler_ms", self.straggler_ms < self.store_timeout_ms),
            ("scrub_period_ms", self.down_after_ms < self.scrub_period_ms),
            ("scrub_bytes_per_s_min", 1 <= self.scrub_bytes_per_s_min <= self.scrub_bytes_per_s_max),
            ("quarantine_bytes_max", self.quarantine_bytes_max >= self.chunk_size_bytes_max),
            ("quarantine_retention_ms", self.quarantine_retention_ms >= self.scrub_period_ms),
            ("transfer_window_chunks", 1 <= self.transfer_window_chunks <= self.transfer_batch_chunks),
        ):
            if not ok:
                raise ConfigurationFailure(
                    f"The setting {name}={getattr(self, name)} does not fit the other settings.", setting=name
                )

    def window_chunks(self, chunk_size_bytes: int) -> int:
        """Chunks of this size in flight in one transfer: as many bytes as at the default size, within one batch."""
        window_bytes = self.transfer_window_chunks * self.chunk_size_bytes
        return max(2, min(self.transfer_batch_chunks, window_bytes // chunk_size_bytes))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Config:
        """The defaults, overridden by DAME_<FIELD> variables. Raises ConfigurationFailure."""
        changes: dict[str, int | float | bool] = {}
        for field in fields(cls):
            variable = f"DAME_{field.name.upper()}"
            if variable in environment:
                changes[field.name] = _parse(variable, environment[variable], field.default)
        return replace(cls(), **changes)  # type: ignore[arg-type]


_YES_AND_NO = {"1": True, "true": True, "0": False, "false": False}


def _parse(variable: str, text: str, default: object) -> int | float | bool:
    """A setting, as the kind of value that its default is."""
    try:
        if isinstance(default, bool):
            return _YES_AND_NO[text.lower()]
        return float(text) if isinstance(default, float) else int(text)
    except (ValueError, KeyError):
        kind = "1 or 0" if isinstance(default, bool) else "a number"
        raise ConfigurationFailure(f"{variable}={text!r} is not {kind}; unset it or give one.") from None


def write_quorum(replication: int) -> int:
    """Replicas that must be on disk before a version of this replication is acknowledged: a majority, 2 of 3."""
    return replication // 2 + 1
