"""Whether a Ray cluster's head is there, and whether it is still the same one."""

from __future__ import annotations

import socket
from concurrent.futures import TimeoutError as FutureTimeout

import ray._raylet
from ray.exceptions import RayError

from core.cluster.threads import within

KNOCK_TIMEOUT_S = 5.0
INCARNATION_TIMEOUT_S = 3.0


def knock(address: str) -> None:
    """Find out in seconds that nobody listens at an address; Ray tries for minutes. Raises OSError.

    "auto" and "local" name no address; Ray knows at once whether there is a cluster on this machine.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), KNOCK_TIMEOUT_S).close()


def incarnation(address: str) -> str | None:
    """Which start of the head answers at HOST:PORT; None if none does.

    Ray's processes of one incarnation are of no use to the next, and a driver of the last one that asks the next for
    its nodes is ended by Ray.
    """
    try:
        knock(address)
        return within(INCARNATION_TIMEOUT_S, lambda: str(ray._raylet.GcsClient(address=address).cluster_id.hex()))
    except (OSError, RayError, FutureTimeout):
        return None
