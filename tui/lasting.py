"""A verb that takes long without moving content, such as `fsck`: one at a time, with its steps and a way to end it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.message import Message

from core.model import Steps
from tui.text import count


class StepReached(Message):
    """The verb that is under way got further; how far, Lasting says."""


class Lasting:
    """Owned by the event loop's thread, but for `told`, which the verb's thread calls."""

    def __init__(self, post: Callable[[Message], object]) -> None:
        self._post = post
        self._cancel: threading.Event | None = None
        self._steps: Steps | None = None
        self._posted = False
        self.verb = ""
        """Its name; empty when none is under way."""

    def begin(self, verb: str) -> threading.Event:
        """The event that ends it early."""
        assert not self.verb, "one at a time"
        self.verb, self._steps, self._cancel = verb, None, threading.Event()
        return self._cancel

    def told(self, steps: Steps) -> None:
        """Called often: one message at a time is on its way to the screen."""
        self._steps = steps
        if not self._posted:
            self._posted = True
            self._post(StepReached())

    def heard(self) -> None:
        """The message has arrived; the next step may send one."""
        self._posted = False

    def sentence(self) -> str:
        """`fsck runs: checking chunks, 1,204 of 6,233; esc ends it`."""
        steps = self._steps
        if self._cancel is not None and self._cancel.is_set():
            return f"{self.opening} until it has found a place to end."
        if steps is None:
            return f"{self.opening}; esc ends it."
        amount = f", {count(steps.done)} of {count(steps.total)}" if steps.total else ""
        return f"{self.opening}: {steps.doing}{amount}; esc ends it."

    @property
    def opening(self) -> str:
        """How every sentence about it begins."""
        return f"{self.verb} runs"

    def cancel(self) -> bool:
        """Let it end early; False if there is nothing to end, or it has been told already."""
        if self._cancel is None or self._cancel.is_set():
            return False
        self._cancel.set()
        return True

    def ended(self) -> None:
        self.verb, self._cancel = "", None
