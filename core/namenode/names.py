"""Artifact names: which are allowed, which are alike, which match a filter."""

from __future__ import annotations

import difflib
import fnmatch
import re
import unicodedata
from collections.abc import Callable, Sequence

from core.errors import InvalidRequest
from core.namenode.words import quoted

FORBIDDEN_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, lone surrogates (not UTF-8), line and paragraph separators: none fits on one line of a list."""

SIMILAR_MAX = 3
COMPARED_MAX = 2_000
"""Names compared when looking for similar ones; a comparison takes about 20 microseconds."""
COMPARED_LENGTH_MAX = 200


def check_name(name: str, length_max: int) -> None:
    """Raise InvalidRequest unless an artifact may have this name."""
    if not name:
        raise InvalidRequest("An artifact's name can't be empty; give it at least one character.")
    if len(name) > length_max:
        raise InvalidRequest(
            f"The name has {len(name)} characters; at most {length_max} are allowed.", length=len(name)
        )
    for position, character in enumerate(name):
        if unicodedata.category(character) in FORBIDDEN_CATEGORIES:
            raise InvalidRequest(
                f"The name {quoted(name)} has a control character or line break (U+{ord(character):04X}, character"
                f" {position + 1}); leave it out.",
                position=position,
            )
    if name != name.strip():
        raise InvalidRequest(f"The name {quoted(name)} begins or ends with white space; leave it out.")


def similar_names(name: str, names: Sequence[str]) -> list[str]:
    """Up to three names a person may have meant: those that differ only in case first."""
    if len(name) > COMPARED_LENGTH_MAX:
        return []
    folded = name.casefold()
    same = [other for other in names if other.casefold() == folded]
    slack = max(2, len(name) // 2)
    near = [other for other in names if abs(len(other) - len(name)) <= slack and other not in same]
    return (same + difflib.get_close_matches(name, near[:COMPARED_MAX], SIMILAR_MAX))[:SIMILAR_MAX]


def matcher(pattern: str) -> Callable[[str], bool]:
    """What `list` filters by: a glob if the pattern holds any of * ? [, else a substring; case does not matter."""
    if any(character in pattern for character in "*?["):
        try:
            glob = re.compile(fnmatch.translate(pattern), re.IGNORECASE)
        except re.error as error:
            raise InvalidRequest(f"{quoted(pattern)} is no pattern: {error}. Write * ? or [a-z].") from error
        return lambda name: glob.match(name) is not None
    folded = pattern.casefold()
    return lambda name: folded in name.casefold()
