"""All that is drawn from the seed before a run begins: the settings of the cluster, and how often what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from core.config import MIB, Config
from tests.simulation.network import Weather

CHAOS_MS = (15_000, 50_000)

FAULTS: dict[str, tuple[float, int]] = {
    "namenode killed": (0.5, 15_000),
    "namenode crash at a call": (0.5, 15_000),
    "namenode crash loop": (0.1, 40_000),
    "namenode stale": (0.3, 20_000),
    "namenode stopped": (0.2, 20_000),
    "catalog disk fails": (0.2, 20_000),
    "clock steps": (0.2, 15_000),
    "node killed": (0.5, 8_000),
    "node crash at a call": (0.6, 6_000),
    "power cut": (0.5, 10_000),
    "power cut of a host": (0.2, 20_000),
    "power cut of all": (0.1, 40_000),
    "node stopped": (0.3, 12_000),
    "node slow": (0.3, 12_000),
    "node moved": (0.1, 25_000),
    "partition": (0.5, 10_000),
    "one-way partition": (0.3, 10_000),
    "disk full": (0.3, 10_000),
    "disk fails": (0.3, 10_000),
    "rot": (0.5, 3_000),
    "disk lost": (0.15, 20_000),
    "disks swapped": (0.1, 20_000),
    "client killed": (0.5, 6_000),
    "client stopped": (0.3, 8_000),
    "operator": (0.4, 8_000),
    "namenode dies unanswered": (0.4, 8_000),
    "disk slow": (0.4, 3_000),
}
"""By kind: the share of seeds in which it happens at all, and the mean time between two of them."""

WORKLOADS: dict[str, float] = {
    "mixed": 5,
    "ring": 1,
    "storm": 1,
    "abandoned": 1,
    "again": 1,
    "drain": 1,
    "crash loop": 0.7,
    "full disks": 1,
}


@dataclass(frozen=True)
class Plan:
    seed: int
    config: Config
    nodes: int
    hosts: int
    clients: int
    replications: tuple[int, ...]
    """Those that uploads ask for."""
    workload: str
    capacity_bytes: int | None
    """Of each disk while faults happen; None for as much as anybody wants."""
    chaos_ms: int
    checkpoints: bool
    """The catalog is checkpointed; at the end its disk is lost, and it is restored."""
    weather: Weather
    faults: dict[str, int]
    """Mean time between faults of each kind that happens."""
    replicates: bool
    """Clients change how many copies are wanted of what is stored."""

    @property
    def slow_disks(self) -> bool:
        """Calls of a disk may take time, so that the threads of a storage node meet at each of them."""
        return "disk slow" in self.faults

    @property
    def replication_min(self) -> int:
        return min(*self.replications, self.config.replication)


def draw(seed: int) -> Plan:
    rng = random.Random(f"{seed}/plan")
    nodes = rng.randint(3, 7)
    workload = rng.choices(list(WORKLOADS), list(WORKLOADS.values()))[0]
    checkpoints = rng.random() < 0.25
    config = _config(rng, nodes)
    if checkpoints:  # their chunks are large
        config = replace(config, healing_bytes_per_s_max=0, copy_bytes_per_node_max=MIB)
    return Plan(
        seed=seed,
        config=config,
        nodes=nodes,
        hosts=rng.choice((nodes, nodes, max(2, nodes // 2))),
        clients=rng.randint(1, 4),
        replications=rng.choice(((config.replication,), (config.replication,), (2, 3), (1, 2, 3), (1,))),
        workload=workload,
        capacity_bytes=3_000 if workload == "full disks" else rng.choice((None, None, 10_000)),
        chaos_ms=rng.randint(*CHAOS_MS),
        checkpoints=checkpoints,
        weather=_weather(rng),
        faults=_faults(rng, workload),
        replicates=rng.random() < 0.3,
    )


def _config(rng: random.Random, nodes: int) -> Config:
    """Small chunks, and times so short that all of them run out within a run."""
    heartbeat_ms = rng.choice((500, 1_000, 1_000))
    store_timeout_ms = rng.choice((1_000, 3_000, 8_000))
    return Config(
        chunk_size_bytes=rng.choice((4, 16, 64)),
        replication=min(nodes, rng.choice((1, 2, 3, 3, 3, 4))),
        heartbeat_interval_ms=heartbeat_ms,
        suspect_after_ms=3 * heartbeat_ms,
        down_after_ms=rng.choice((6, 10)) * heartbeat_ms,
        safe_mode_ms=rng.choice((5_000, 15_000)),
        mass_failure_window_ms=rng.choice((5_000, 20_000)),
        mass_failure_hold_ms=rng.choice((5_000, 20_000)),
        copies_per_node_max=rng.choice((1, 4, 128)),
        copy_bytes_per_node_max=rng.choice((16, 1 << 20)),
        copies_in_flight_max=rng.choice((2, 4_096)),
        copy_timeout_ms=rng.choice((4_000, 10_000)),
        deletes_per_heartbeat_max=rng.choice((5, 500)),
        report_page_chunks_max=rng.choice((2, 7, 50_000)),
        changes_per_heartbeat_max=rng.choice((5, 10_000)),
        lease_ms=rng.choice((9_000, 20_000)),
        garbage_grace_ms=rng.choice((1_000, 5_000, 15_000)),
        unknown_grace_ms=rng.choice((1_000, 15_000)),
        healing_bytes_per_s_max=rng.choice((0, 200, 1 << 20)),
        healing_bytes_per_s_min=1,
        disk_no_new_share=rng.choice((0.95, 1.0)),
        checkpoint_first_ms=rng.choice((2_000, 10_000)),
        checkpoint_interval_ms=rng.choice((10_000, 60_000)),
        checkpoint_edits=rng.choice((10, 1_000)),
        scrub_period_ms=rng.choice((60_000, 600_000)),
        quarantine_retention_ms=600_000,
        rebalance_threshold=rng.choice((0.0, 0.1)),
        trash_retention_ms=rng.choice((1_000, 10_000, 100_000)),
        operation_memory_ms=600_000,
        disk_reserve_bytes=0,
        transfer_window_chunks=rng.choice((1, 2, 6)),
        transfer_batch_chunks=rng.choice((6, 64)),
        store_timeout_ms=store_timeout_ms,
        straggler_ms=rng.choice((100, 500, store_timeout_ms // 2)),
        short_circuit_reads=False,
        call_timeout_ms=rng.choice((1_000, 5_000)),
        retry_ms=rng.choice((2_000, 10_000)),
    )


def _weather(rng: random.Random) -> Weather:
    if rng.random() < 0.3:
        return Weather()
    return Weather(
        lost=rng.choice((0.0, 0.005, 0.03)),
        doubled=rng.choice((0.0, 0.01, 0.1, 0.3)),
        late=rng.choice((0.0, 0.02, 0.2)),
        delay_ms=rng.choice((2, 20)),
        late_ms=rng.choice((200, 1_000, 4_000)),
        told_of_loss=rng.choice((0.0, 0.5, 1.0)),
    )


def _faults(rng: random.Random, workload: str) -> dict[str, int]:
    faults = {}
    pace = rng.choice((0.3, 0.6, 1.0, 2.0))
    for kind, (share, mean_ms) in FAULTS.items():
        if rng.random() < share:
            faults[kind] = int(mean_ms * pace)
    if workload == "crash loop":
        faults["namenode killed"] = 2_500
    if workload == "full disks":
        faults["disk full"] = 4_000
    if workload == "abandoned":
        faults["client killed"] = 1_500
    if workload == "drain":
        faults["operator"] = 4_000
    return faults
