"""The words for states and modes, and the hidden artifact's name."""

from __future__ import annotations

from typing import Literal

Health = Literal["ok", "under", "at_risk", "lost"]
"""ok: all replicas there; under: some missing; at_risk: one left of several wanted; lost: none on a node that is up."""

NodeState = Literal["up", "suspect", "down", "failed", "draining", "drained"]
"""One word for the screen, from liveness and the operator's wish together; `failed` before `down` before the rest."""

Wish = Literal["none", "failed", "draining"]
"""What an operator asked of a node. Hard state."""

DiskState = Literal["ok", "filling", "no_new_chunks", "read_only"]
"""How much room a storage node has left: enough; so little that a person should know; only for healing; none."""

Severity = Literal["info", "warning", "error"]

Mode = Literal["upload", "update", "checkpoint"]
"""checkpoint: the next version of the hidden artifact CHECKPOINT_NAME, or its first."""

CHECKPOINT_NAME = "\x01catalog"
"""The artifact whose versions are copies of the catalog. No user can give this name: it has a control character."""

DISK_STATES: tuple[DiskState, ...] = ("ok", "filling", "no_new_chunks", "read_only")

NODE_STATES: tuple[NodeState, ...] = ("up", "suspect", "down", "failed", "draining", "drained")
