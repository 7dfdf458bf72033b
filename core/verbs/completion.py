"""What may stand at the cursor of a command line that is being written."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core.errors import UsageError
from core.verbs.commandline import END_OF_OPTIONS, JSON_FLAG, is_option, split
from core.verbs.registry import PHRASES, find
from core.verbs.verb import Argument, Completes, Verb

CANDIDATES_MAX = 200
_LINE_MAX = 10_000
"""Characters before the cursor; a longer line is not worth the wait at each key."""
_ENTRIES_MAX = 5_000
"""Names of a directory that are looked at; a larger one is not worth the wait."""


@dataclass(frozen=True)
class Completion:
    """What may stand at the cursor: replace line[start:cursor] by any of the candidates."""

    start: int
    candidates: tuple[str, ...]
    """Whole words, quoted where a shell would need it."""


def complete(
    line: str, cursor: int, artifacts: Sequence[str], nodes: Sequence[str], directory: Path | None = None
) -> Completion:
    """Candidates for the word that ends at the cursor: verbs, options, names of artifacts, nodes, paths.

    directory: where relative paths start; the current one unless told otherwise.
    """
    if cursor > _LINE_MAX:
        return Completion(cursor, ())
    *words, (prefix, start) = _split_open(line[:cursor])
    completer = _Completer([word for word, _ in words], prefix, artifacts, nodes, directory or Path.cwd())
    offset, candidates = completer.candidates()
    if offset and line[start:cursor] != prefix:
        return Completion(cursor, ())  # --flag="valu: quotes make the offset of the value unknown
    return Completion(start + offset, tuple(dict.fromkeys(islice(candidates, CANDIDATES_MAX))))


def _split_open(line: str) -> list[tuple[str, int]]:
    """The words of a line that may end within one. The last word is the one at its end, if only an empty one."""
    for quote in ("", "'", '"'):
        with contextlib.suppress(UsageError):
            *words, (last, start) = split(f"{line}|{quote}")
            return [*words, (last.removesuffix("|"), start)]
    raise AssertionError("one of these ends every word")


class _Completer:
    """The words before the cursor, and what the world offers."""

    def __init__(
        self, before: list[str], prefix: str, artifacts: Sequence[str], nodes: Sequence[str], directory: Path
    ) -> None:
        while before and before[0] == JSON_FLAG:
            del before[0]
        self._before = before
        self._prefix = prefix
        self._artifacts = artifacts
        self._nodes = nodes
        self._directory = directory

    def candidates(self) -> tuple[int, Iterable[str]]:
        """Where in the current word they begin, and what they are."""
        phrases = _phrases(self._before, self._prefix)
        found = find(self._before)
        if found is None:
            return 0, phrases
        verb, length = found
        offset, values = self._of_verb(verb, self._before[length:])
        return offset, [*phrases, *values]

    def _of_verb(self, verb: Verb, given: list[str]) -> tuple[int, Iterable[str]]:
        ended = END_OF_OPTIONS in given
        flag, equals, value = self._prefix.partition("=")
        if not ended and equals and (argument := verb.option(flag)) and not argument.switch:
            return len(flag) + 1, self._values(argument, value)
        if not ended and given and (argument := verb.option(given[-1])) and not argument.switch:
            return 0, self._values(argument, self._prefix)
        if not ended and self._prefix.startswith("-"):
            return 0, self._flags(verb, given)
        argument = _next_positional(verb, given)
        if argument is None:
            return 0, () if ended or self._prefix else self._flags(verb, given)
        if argument.completes is Completes.VERB:
            return 0, _phrases(_plain(verb, given), self._prefix)
        return 0, [_after_dashes(word, ended) for word in self._values(argument, self._prefix)]

    def _flags(self, verb: Verb, given: list[str]) -> list[str]:
        """Options that are not on the line yet, and not ruled out by what is."""
        repeated = {flag for argument in verb.arguments if argument.repeated for flag in argument.flags}
        used = {word.partition("=")[0] for word in given} - repeated
        flags = [argument.flags[0] for argument in verb.arguments if argument.flags and not used & {*argument.flags}]
        return [flag for flag in (*flags, JSON_FLAG) if flag not in used and flag.startswith(self._prefix)]

    def _values(self, argument: Argument, prefix: str) -> list[str]:
        if argument.completes is Completes.PATH:
            return self._paths(prefix)
        names = {Completes.ARTIFACT: self._artifacts, Completes.NODE: self._nodes}.get(argument.completes, ())
        return [shlex.quote(name) for name in names if name.startswith(prefix) and name.isprintable()]

    def _paths(self, prefix: str) -> list[str]:
        """Entries of the directory that the prefix names, directories with a slash behind them."""
        head, _, tail = prefix.rpartition("/")
        head = prefix[: len(prefix) - len(tail)]
        try:
            with os.scandir(self._directory / Path(head).expanduser()) as entries:
                found = [
                    head + entry.name + ("/" if entry.is_dir() else "")
                    for entry in islice(entries, _ENTRIES_MAX)
                    if entry.name.startswith(tail) and (tail or not entry.name.startswith("."))
                ]
        except (OSError, RuntimeError, ValueError):  # no such directory, no such user, NUL in the name
            return []
        return [shlex.quote(path) for path in sorted(found) if path.isprintable()]


def _phrases(before: Sequence[str], prefix: str) -> list[str]:
    """What is left of names and aliases that go on from these words: all of them for none."""
    length = len(before)
    return [
        " ".join(phrase[length:])
        for phrase in PHRASES
        if len(phrase) > length and phrase[:length] == tuple(before) and phrase[length].startswith(prefix)
    ]


def _plain(verb: Verb, given: Sequence[str]) -> list[str]:
    """The words that are neither options nor their values."""
    plain: list[str] = []
    rest = iter(given)
    for word in rest:
        if word == END_OF_OPTIONS:
            return [*plain, *rest]
        if not is_option(word):
            plain.append(word)
        elif (argument := verb.option(word)) and not argument.switch:
            next(rest, None)
    return plain


def _next_positional(verb: Verb, given: Sequence[str]) -> Argument | None:
    count = len(_plain(verb, given))
    positionals = verb.positionals
    if positionals and positionals[-1].many:
        return positionals[min(count, len(positionals) - 1)]
    return positionals[count] if count < len(positionals) else None


def _after_dashes(word: str, ended: bool) -> str:
    """A value that looks like an option needs the end of the options before it."""
    return word if ended or not is_option(word) else f"{END_OF_OPTIONS} {word}"
