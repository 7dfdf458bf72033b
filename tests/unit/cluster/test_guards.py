"""What ends a process of DAME's, and what its caller is told instead."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

from core.cluster.actors import NameNodeActor, crash_on_broken_invariant, crash_unless_refused
from core.config import Config
from core.errors import DameError, InvalidRequest, NotReady


class Ended(BaseException):
    """Instead of the end of the process that runs the tests."""


@pytest.fixture(autouse=True)
def _ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> NoReturn:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)


def raising(error: Exception) -> Callable[[], None]:
    def method() -> None:
        raise error

    return method


@pytest.mark.parametrize("error", [AssertionError(), KeyError("a"), TypeError(), OSError(5, "failing"), MemoryError()])
def test_the_namenode_ends_of_whatever_is_no_refusal(error: Exception) -> None:
    with pytest.raises(Ended):
        crash_unless_refused(raising(error))()


@pytest.mark.parametrize("error", [InvalidRequest("No."), NotReady("Not yet.")])
@pytest.mark.parametrize("guard", [crash_unless_refused, crash_on_broken_invariant])
def test_a_refusal_goes_to_the_caller(
    guard: Callable[[Callable[[], None]], Callable[[], None]], error: DameError
) -> None:
    with pytest.raises(type(error)):
        guard(raising(error))()


def test_a_storage_node_ends_of_a_broken_invariant_alone() -> None:
    with pytest.raises(Ended):
        crash_on_broken_invariant(raising(AssertionError()))()
    with pytest.raises(ValueError, match="digit"):
        crash_on_broken_invariant(raising(ValueError("digit")))()


def test_a_supervisor_that_fails_inside_tries_again_and_ends_no_namenode(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end the next one just so, and nothing would count it."""
    steps: list[Exception | BaseException] = [KeyError("NodeID"), TypeError("no number"), Ended()]

    class Failing:
        def step(self) -> None:
            raise steps.pop(0)

    monkeypatch.setattr(time, "sleep", lambda _: None)
    actor = object.__new__(NameNodeActor)
    actor._config, actor._supervisor = Config(), Failing()  # type: ignore[assignment]
    with pytest.raises(Ended):
        actor._supervise()
    assert steps == []
