from __future__ import annotations

import threading
import time
from concurrent.futures import TimeoutError as FutureTimeout

import pytest

from core.cluster.threads import Gate, LastingThread, within


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


def test_a_gate_keeps_to_its_bytes_and_nobody_slips_past_one_who_waits() -> None:
    gate = Gate(100, 40)
    entered: list[int] = []

    def enter(size_bytes: int) -> None:
        with gate.hold(size_bytes):
            entered.append(size_bytes)

    threads = [threading.Thread(target=enter, args=(size_bytes,)) for size_bytes in (30, 5)]
    with gate.hold(1_000), gate.hold(40):
        for thread in threads:
            thread.start()
            while not gate._entrance.locked():
                time.sleep(0.001)
        time.sleep(0.05)
        assert entered == []
    for thread in threads:
        thread.join(10)
    assert entered == [30, 5]


def test_a_gate_is_as_wide_as_before_when_all_have_left() -> None:
    gate = Gate(4, 1)
    with pytest.raises(KeyError), gate.hold(9):
        raise KeyError
    with gate.hold(1), gate.hold(1), gate.hold(1), gate.hold(1):
        pass
