"""How fast to re-read replicas: fast enough to be through in time, slow enough to leave the disk to clients."""

from __future__ import annotations

from core.config import Config

REPLICA_COST_BYTES = 64 * 1024
"""Finding and opening a file costs about as much as reading this much; else tiny replicas would be read in a rush."""

YIELD = 4
"""While the node serves data, scrubbing takes this part of its pace. What is not read now is made up for later."""


def cost_bytes(size_bytes: int) -> int:
    """What re-reading a replica of this size is worth in bytes."""
    return size_bytes + REPLICA_COST_BYTES


def round_ms(config: Config) -> int:
    """How long a round may take, and how long after its beginning the next one begins.

    Half the period: a replica that is the first of one round and the last of the next one is still re-read within it.
    """
    return config.scrub_period_ms // 2


def bytes_per_s(left_bytes: int, left_ms: int, config: Config, *, hurry: bool, busy: bool) -> int:
    """The pace for what is left of a round.

    hurry: somebody asked for it and waits. busy: the node serves data at the moment.
    """
    needed = left_bytes * 1000 // left_ms if left_ms > 0 else config.scrub_bytes_per_s_max
    if hurry:
        needed = config.scrub_bytes_per_s_max
    pace = min(max(needed, config.scrub_bytes_per_s_min), config.scrub_bytes_per_s_max)
    return max(1, pace // YIELD) if busy else pace
