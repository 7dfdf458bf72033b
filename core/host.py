"""What this machine is called, where it matters whether two processes share its disks."""

from __future__ import annotations

import os
import socket


def host_name() -> str:
    """`DAME_HOST`, or the machine's name.

    A container has a random name of its own, new with each container; whoever starts it gives a better one. Two that
    do not share their disks must not share it: a client reads chunks straight from the directory of a node on its host.
    """
    return os.environ.get("DAME_HOST") or socket.gethostname()
