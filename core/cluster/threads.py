"""Two ways to call Ray that Ray itself does not offer: with a deadline, and from a thread that lasts. And a limit to
what several threads work on at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def within(timeout_s: float, function: Callable[[], T]) -> T:
    """The function's result, or what it raised; concurrent.futures.TimeoutError if there is neither in time.

    It runs in a thread that is left behind then.
    """
    answer: Future[T] = Future()
    threading.Thread(target=_answer, args=(function, answer), name="with a deadline", daemon=True).start()
    return answer.result(timeout_s)


class Gate:
    """Lets threads work on so many bytes at a time."""

    def __init__(self, total_bytes: int, one_bytes: int) -> None:
        """one_bytes: nothing counts for more than this, however large, so that it passes with others beside it."""
        assert one_bytes <= total_bytes
        self._left_bytes = total_bytes
        self._one_bytes = one_bytes
        self._entrance = threading.Lock()
        """Held by the one who waits for room, so that nobody small slips past something large."""
        self._released = threading.Condition()

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        weight_bytes = min(size_bytes, self._one_bytes)
        with self._entrance, self._released:
            self._released.wait_for(lambda: weight_bytes <= self._left_bytes)
            self._left_bytes -= weight_bytes
        try:
            yield
        finally:
            with self._released:
                self._left_bytes += weight_bytes
                self._released.notify()


class LastingThread:
    """Runs functions in one thread that lasts as long as the process.

    The kernel ends the processes that Ray starts when the thread that started them ends (PR_SET_PDEATHSIG), and callers
    may connect in a thread that is done soon.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, function: Callable[[], T]) -> T:
        """The function's result, or what it raised."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="ray", daemon=True)
                self._thread.start()
        answer: Future[T] = Future()
        self._work.put((function, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            _answer(*self._work.get())


def _answer(function: Callable[[], T], answer: Future[T]) -> None:
    try:
        answer.set_result(function())
    except BaseException as error:  # noqa: BLE001 - raised where the answer is awaited
        answer.set_exception(error)
