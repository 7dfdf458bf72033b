"""What a storage node is, from how long it is silent and what the operator wants of it, as transition tables."""

from __future__ import annotations

from typing import Literal

from core.model import NODE_STATES, NodeState, Wish

Liveness = Literal["up", "suspect", "down"]
Signal = Literal["heard", "late", "silent"]
"""A heartbeat or registration came; none came for `suspect_after_ms`; none for `down_after_ms`."""

LIVENESS_AFTER: dict[tuple[Liveness, Signal], Liveness] = {
    ("up", "heard"): "up",
    ("up", "late"): "suspect",
    ("up", "silent"): "down",
    ("suspect", "heard"): "up",
    ("suspect", "late"): "suspect",
    ("suspect", "silent"): "down",
    ("down", "heard"): "up",
    ("down", "late"): "down",
    ("down", "silent"): "down",
}

STATE_OF: dict[tuple[Liveness, Wish], NodeState] = {
    ("up", "none"): "up",
    ("suspect", "none"): "suspect",
    ("down", "none"): "down",
    ("up", "failed"): "failed",
    ("suspect", "failed"): "failed",
    ("down", "failed"): "failed",
    ("up", "draining"): "draining",
    ("suspect", "draining"): "draining",
    ("down", "draining"): "down",
}
"""`draining` is shown as `drained` once nothing on the node is needed from it."""

Role = Literal["counts", "serves", "absent"]

ROLE_OF: dict[NodeState, Role] = {
    "up": "counts",
    "suspect": "counts",
    "down": "absent",
    "failed": "absent",
    "draining": "serves",
    "drained": "serves",
}
"""What a node's replicas are worth: they count toward replication, or can only be read and copied from, or neither."""

READ_ORDER: dict[NodeState, int] = {"up": 0, "suspect": 1, "draining": 2, "drained": 2, "down": 3, "failed": 3}

assert set(STATE_OF.values()) | {"drained"} == set(NODE_STATES) == set(ROLE_OF) == set(READ_ORDER)
