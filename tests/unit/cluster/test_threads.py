from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as FutureTimeout

import pytest

from core.cluster.threads import LastingThread, within


def test_a_call_that_does_not_end_is_left_behind() -> None:
    release = threading.Event()
    with pytest.raises(FutureTimeout):
        within(0.01, release.wait)
    release.set()


def test_results_and_errors_come_back() -> None:
    def refuse() -> None:
        raise KeyError("no")

    lasting = LastingThread()
    for run in (lasting.run, lambda function: within(5, function)):
        assert run(lambda: 42) == 42
        with pytest.raises(KeyError):
            run(refuse)


def test_all_runs_in_one_thread_that_outlives_its_callers() -> None:
    lasting = LastingThread()
    seen: list[threading.Thread] = []
    for _ in range(3):
        caller = threading.Thread(target=lambda: seen.append(lasting.run(threading.current_thread)))
        caller.start()
        caller.join()
    assert len(set(seen)) == 1 and seen[0].is_alive()
