"""How a call that fails in a worker thread comes back to the screen: as a value with a sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar, Union

from core.errors import DameError

T = TypeVar("T")
logger = logging.getLogger("dame.tui")


class UnexpectedFailure(DameError):
    """A call raised something nobody planned for: a fault in DAME itself."""


class Failure:
    """A call's error, in place of its value."""

    def __init__(self, error: DameError) -> None:
        self.error = error


Outcome = Union[T, Failure]  # noqa: UP007 - an alias is evaluated, and 3.10 has no `T | Failure`


def attempt(call: Callable[[], T]) -> Outcome[T]:
    """Run a call on behalf of the screen.

    An error that nobody planned for must not close the screen and the transfers that run in it, so it too comes back
    as a sentence; its traceback goes to the log.
    """
    try:
        return call()
    except DameError as error:
        return Failure(error)
    except Exception as error:
        logger.exception("A call of the dashboard failed in a way nobody planned for")
        return Failure(
            UnexpectedFailure(
                f"DAME failed in an unexpected way ({type(error).__name__}: {error}); nothing is known to be lost. "
                "The log holds the details."
            )
        )
