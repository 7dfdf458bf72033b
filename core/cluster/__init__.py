"""The only room that imports ray: thin actors around NameNode and StorageNode, and the ways to them.

Ray reads these variables when it is imported or started, so they are set before anything here imports it. Whoever
has set one already keeps it.
"""

from __future__ import annotations

import os
from pathlib import Path

from core.config import MIB

RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's own token keeps strangers out of ports that run any code they are sent.
    "RAY_AUTH_MODE": "token",
    # Ray ends the process of a driver that has lost the head for this long; the dashboard is to stay and reconnect.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    # Under `uv run` Ray would have every worker build the environment again.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # A call after the end of a connection would quietly start a cluster of its own.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray would run actors behind all else on the machine (nice 15), and a late heartbeat is a suspect node.
    "RAY_worker_niceness": "0",
    # Ray would print the traceback of a call that nobody waits for any more, such as a store beyond the quorum.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # Without these, the files that actors' processes log to grow for ever: 16 MiB a file, and three older ones.
    "RAY_ROTATION_MAX_BYTES": "16777216",
    "RAY_ROTATION_BACKUP_COUNT": "3",
}

STORAGE_SLOT = "storage_slot"
"""Ray resource: a Ray node says by it how many storage nodes it offers room for."""

OBJECT_STORE_BYTES = 1024 * MIB
"""Shared memory of one Ray node, unless told otherwise; a transfer holds about 100 MB of it."""

KEPT_HEAD = "dame_head"
"""Ray resource of a head that starts the NameNode itself (`RayServer`), so that no client needs to."""


def with_this_code(python_path: str) -> str:
    """A PYTHONPATH by which the processes that Ray starts import this very copy of core, installed or not."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([root, *(path for path in python_path.split(os.pathsep) if path not in ("", root))])


for _name, _value in RAY_ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
