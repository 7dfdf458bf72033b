"""A scrub that somebody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from core.gateway import Gateway
from core.model import ScrubProgress

POLL_MS = 500
"""How often to ask how far it is."""

OnScrub = Callable[[ScrubProgress], None]


def scrub_to_end(gateway: Gateway, progress: OnScrub | None, cancel: threading.Event | None) -> ScrubProgress:
    """Have every node that is up re-read all its replicas, and wait until those that stay up are through.

    cancel: stop waiting; the nodes go on. The answer is how far they were at last.
    """
    order = gateway.namenode.scrub()
    while True:
        state = gateway.namenode.scrub_progress(order)
        if progress is not None:
            progress(state)
        given_up = cancel is not None and cancel.is_set()
        if given_up or state.finished + len(state.away) >= state.nodes:
            return state
        gateway.pause(POLL_MS)
