"""Mutations carry an id that the client made: one that was made already is answered again, and not made again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from core.errors import InvalidRequest
from core.model import Version
from core.namenode import edits
from core.namenode.state import State
from core.namenode.words import quoted

Result = TypeVar("Result", Version, str)


def once(state: State, operation: str, kind: type[edits.ClientEdit], mutate: Callable[[], Result]) -> Result:
    """What a mutation answers: now, or when it was asked for before under this id.

    kind: of the edit that `mutate` applies. Raises InvalidRequest if the id was used for one of another kind, and what
    `mutate` raises.
    """
    done = state.catalog.done(operation)
    if done is None:
        return mutate()
    if done.kind != kind.__name__:
        raise InvalidRequest(
            f"The operation id {quoted(operation)} was used for another change; make a new one for this."
        )
    return cast("Result", done.result)
