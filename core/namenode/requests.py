"""Whether a request can be understood, told before anything is changed: a caller's mistake is no broken invariant.

Everything is compared with what a method is declared to take, down to the last chunk of a list: whole columns at a
time, since there may be a million.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from inspect import Parameter, signature
from itertools import chain, repeat
from operator import attrgetter
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from core.errors import InvalidRequest
from core.model import Registration
from core.protocol import PROTOCOL_OLDEST, PROTOCOL_VERSION

INTEGER_LEAST, INTEGER_MOST = -(2**63), 2**64 - 1
"""Of 64 bits, with a sign or without."""

KEPT = frozenset(("operation", "id", "node_id", "host", "digest"))
"""Texts that come to be in the catalog as they are, which takes Unicode text only. An artifact's name has refusals of
its own, and a directory may have any name that a disk takes."""

FitAll = Callable[[Sequence[Any]], bool]
"""Whether all of some values are what they should be."""


def check_arguments(name: str, method: Callable[..., Any], arguments: Sequence[Any], before: int = 0) -> None:
    """Raise InvalidRequest unless a method takes these arguments.

    before: how many of its parameters come first and are none of the caller's.
    """
    parameters, columns = _taken(method)
    parameters, columns = parameters[before:], columns[before:]
    needed = sum(parameter.default is Parameter.empty for parameter in parameters)
    if not needed <= len(arguments) <= len(parameters):
        takes = ", ".join(parameter.name for parameter in parameters) or "nothing"
        raise InvalidRequest(
            f"`{name}` of the NameNode takes {takes}, and was asked with {len(arguments)} arguments; ask as this"
            " DAME's release does."
        )
    for parameter, fit_all, argument in zip(parameters, columns, arguments, strict=False):
        if not _fits(fit_all, argument):
            raise InvalidRequest(
                f"`{name}` of the NameNode can't take this for its {parameter.name}: a"
                f" {type(argument).__name__} that is not as declared; ask as this DAME's release does."
            )


def is_strangers(arguments: Sequence[Any]) -> bool:
    """Whether this is the registration of a storage node of a release that is not served: `register` itself says so,
    whatever its other fields are by then."""
    if len(arguments) != 1 or not isinstance(arguments[0], Registration):
        return False
    told = [getattr(arguments[0], name, None) for name in ("node_id", "directory", "host", "release")]
    protocol = getattr(arguments[0], "protocol", None)
    if not isinstance(protocol, int) or not all(isinstance(text, str) for text in told):
        return False
    return not PROTOCOL_OLDEST <= protocol <= PROTOCOL_VERSION


def _fits(fit_all: FitAll, argument: Any) -> bool:
    try:
        return fit_all([argument])
    except AttributeError:  # of another release, which has not all fields
        return False


@cache
def _taken(method: Callable[..., Any]) -> tuple[tuple[Parameter, ...], tuple[FitAll, ...]]:
    """The parameters of a method, and what shows whether an argument fits each."""
    hints = get_type_hints(method)
    parameters = tuple(signature(method).parameters.values())
    return parameters, tuple(_named(parameter.name, hints.get(parameter.name, object)) for parameter in parameters)


def _named(name: str, hint: Any) -> FitAll:
    return _unicode_texts if hint is str and name in KEPT else _column(hint)


@cache
def _column(hint: Any) -> FitAll:
    """What shows whether all values of one declared type are of it."""
    parts = get_args(hint)
    if NoneType in parts:
        (other,) = (part for part in parts if part is not NoneType)
        return _optional(_column(other))
    if get_origin(hint) is Literal:
        return lambda values: all(map(parts.__contains__, values))
    if get_origin(hint) in (tuple, Sequence):
        return _lists(_column(parts[0]))
    if is_dataclass(hint):
        return _records(hint)
    return _integers if hint is int else _instances(hint)


def _instances(*kinds: type) -> FitAll:
    return lambda values: all(map(isinstance, values, repeat(kinds)))


def _integers(values: Sequence[Any]) -> bool:
    if not all(map(isinstance, values, repeat(int))):
        return False
    return not values or (min(values) >= INTEGER_LEAST and max(values) <= INTEGER_MOST)


def _unicode_texts(values: Sequence[Any]) -> bool:
    try:
        return all(map(isinstance, values, repeat(str))) and "".join(values).encode() is not None
    except UnicodeEncodeError:
        return False


def _optional(fit_all: FitAll) -> FitAll:
    return lambda values: fit_all([value for value in values if value is not None])


def _lists(fit_all: FitAll) -> FitAll:
    are_lists = _instances(list, tuple)
    return lambda values: are_lists(values) and fit_all(list(chain.from_iterable(values)))


def _records(kind: Any) -> FitAll:
    """Of a dataclass of ours: each field is a column."""
    hints = get_type_hints(kind)
    columns = [(attrgetter(field.name), _named(field.name, hints[field.name])) for field in fields(kind)]
    are_of_it = _instances(kind)
    return lambda values: are_of_it(values) and all(fit_all(list(map(of, values))) for of, fit_all in columns)
