"""Errors cross process borders whole, and each belongs to one of the five things a caller can do about it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest

from core import errors
from core.errors import Cancelled, DameError, Defect, LocalFailure, Rejected, Unavailable


def _tree(kind: type[DameError]) -> Iterator[type[DameError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


KINDS = tuple(_tree(DameError))


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_pickling(kind: type[DameError]) -> None:
    original = kind("Something was refused; do something else.", name="a\ud800", count=3)
    for rebuilt in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert type(rebuilt) is kind
        assert str(rebuilt) == rebuilt.message == original.message
        assert rebuilt.details == original.details


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_what_to_do(kind: type[DameError]) -> None:
    assert kind.__doc__
    branches = [
        branch for branch in (Rejected, Unavailable, LocalFailure, Cancelled, Defect) if issubclass(kind, branch)
    ]
    assert len(branches) == (0 if kind is DameError else 1)


def test_the_tree_is_as_large_as_it_looks() -> None:
    in_module = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, DameError)}
    assert set(KINDS) == in_module
