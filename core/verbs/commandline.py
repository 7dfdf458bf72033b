"""A command line, understood: words as in a POSIX shell, then a verb, its arguments and its options.

Options may stand before the verb and anywhere after it; `--` ends them. All refusals are UsageErrors, whose `position`
is the offset of the word that caused them, so that a caret can point at it.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.errors import UsageError
from core.verbs.registry import PHRASES, VERBS, find
from core.verbs.verb import Argument, Context, Result, Verb

HELP_FLAGS = ("-h", "--help")
JSON_FLAG = "--json"
END_OF_OPTIONS = "--"

_VALUE_FLAGS = frozenset(flag for verb in VERBS.values() for argument in verb.arguments for flag in argument.flags)

_VERBS_BY_WORD = {phrase[0]: " ".join(phrase) for phrase in reversed(PHRASES)}
"""The first way to go on from each word that can begin a command."""


@dataclass(frozen=True)
class Invocation:
    """A command line, understood."""

    verb: Verb
    arguments: argparse.Namespace
    json: bool = False

    def run(self, context: Context | None) -> Result:
        """Do it; verbs that need no store need no context. Raises what the ArtifactStore raises."""
        assert self.verb.run is not None, f"{self.verb.name} is the caller's own business"
        assert context is not None or not self.verb.needs_store
        return self.verb.run(context, self.arguments)


# --- Words ------------------------------------------------------------------------------------------------------


class Word(NamedTuple):
    """A word with its quotes taken off, and where it stood."""

    text: str
    start: int
    end: int
    open: str = ""
    """What it still lacks: a quote, or the character after a backslash."""


def scan(line: str) -> Iterator[Word]:
    """Cut a line into words as a POSIX shell does. Only the last word can be open."""
    position = 0
    while position < len(line):
        if line[position].isspace():
            position += 1
            continue
        word = _scan_word(line, position)
        yield word
        position = word.end


def _scan_word(line: str, start: int) -> Word:
    text: list[str] = []
    quote = ""
    position = start
    while position < len(line):
        char = line[position]
        if not quote and char.isspace():
            break
        if char == "\\" and quote != "'":
            if position + 1 == len(line):
                return Word("".join(text), start, len(line), quote or "\\")
            position += 1
            if quote and line[position] not in '"\\$`':
                text.append("\\")
            text.append(line[position])
        elif char == quote:
            quote = ""
        elif char in "'\"" and not quote:
            quote = char
        else:
            text.append(char)
        position += 1
    return Word("".join(text), start, position, quote)


def split(line: str) -> list[tuple[str, int]]:
    """Cut a line into words as a POSIX shell does, each with its offset. Raises UsageError (open quote)."""
    words = list(scan(line))
    if words and words[-1].open:
        lacks = (
            "Nothing follows the backslash" if words[-1].open == "\\" else f"The quote {words[-1].open} is not closed"
        )
        raise UsageError(f"{lacks}; close it, or put a backslash before it.", position=words[-1].start)
    return [(word.text, word.start) for word in words]


# --- Commands ---------------------------------------------------------------------------------------------------


def parse_line(line: str) -> Invocation:
    """`split` and `parse`. A UsageError's details hold `position`, the offset of the word that caused it."""
    words = split(line)
    return parse([word for word, _ in words], [*(offset for _, offset in words), len(line)])


def parse(words: Sequence[str], offsets: Sequence[int] | None = None) -> Invocation:
    """Understand a command.

    offsets: where the words stand in their line, and where the line ends; makes the `position` of errors.
    Raises UsageError.
    """
    return _Parser(words, offsets).parse()


class _Given(NamedTuple):
    """A value on the command line, and the index of the word it came from."""

    text: str
    word: int


class _Parser:
    """One pass over the words of one command."""

    def __init__(self, words: Sequence[str], offsets: Sequence[int] | None) -> None:
        self._words = words
        self._offsets = offsets or ()
        self._json = False
        self._given: dict[Argument, _Given] = {}

    def parse(self) -> Invocation:
        first = self._verb_index()
        if first == len(self._words) and any(word in HELP_FLAGS for word in self._words):
            return Invocation(VERBS["help"], argparse.Namespace(verb=None), JSON_FLAG in self._words)
        verb, length = self._verb_at(first)
        after = range(first + length, len(self._words))
        positionals = self._options(verb, [*range(first), *after])
        if positionals is None:
            return Invocation(VERBS["help"], argparse.Namespace(verb=verb.name), self._json)
        self._bind(verb, positionals)
        self._check_complete(verb)
        values = {argument.name: self._value(argument) for argument in verb.arguments}
        return Invocation(verb, argparse.Namespace(**values), self._json)

    def _verb_index(self) -> int:
        """How many words of options stand before the verb."""
        index = 0
        while index < len(self._words) and is_option(self._words[index]):
            index += 2 if self._words[index] in _VALUE_FLAGS else 1
        return index

    def _verb_at(self, index: int) -> tuple[Verb, int]:
        found = find(self._words[index:])
        if found:
            return found
        if index >= len(self._words):
            raise self._refusal("A verb is missing; `help` shows them all.", index)
        word = self._words[index]
        raise self._refusal(
            f"There is no verb {word!r}{_suggested(word, _VERBS_BY_WORD)}; `help` shows them all.", index
        )

    def _options(self, verb: Verb, indexes: Iterable[int]) -> list[_Given] | None:
        """Take the options out of these words; the answer is what is left, or None where help was asked for."""
        left: list[_Given] = []
        rest = iter(indexes)
        for index in rest:
            word = self._words[index]
            if word == END_OF_OPTIONS:
                left += [_Given(self._words[later], later) for later in rest]
            elif not is_option(word):
                left.append(_Given(word, index))
            elif word in HELP_FLAGS:
                self._json = self._json or JSON_FLAG in self._words
                return None
            elif word == JSON_FLAG:
                self._json = True
            else:
                self._option(verb, index, rest)
        return left

    def _option(self, verb: Verb, index: int, rest: Iterator[int]) -> None:
        flag, equals, value = self._words[index].partition("=")
        argument = verb.option(flag)
        if argument is None:
            raise self._unknown_option(verb, flag, index)
        if equals:
            self._given[argument] = _Given(value, index)
            return
        following = next(rest, None)
        if following is None or _is_flag_of(verb, self._words[following]):
            raise self._refusal(f"{flag} needs a value: {argument.label}.", index)
        self._given[argument] = _Given(self._words[following], following)

    def _bind(self, verb: Verb, given: list[_Given]) -> None:
        """Hand the plain words to the positional arguments, in order."""
        for argument in verb.positionals:
            if given and argument.many:
                self._given[argument] = _Given(" ".join(word.text for word in given), given[0].word)
                given = []
            elif given:
                self._given[argument] = given.pop(0)
        if given:
            quotes = "; put quotes around a text of several words" if verb.positionals else ""
            raise self._refusal(f"{given[0].text!r} is one word too many{quotes}. Usage: {verb.usage}", given[0].word)

    def _check_complete(self, verb: Verb) -> None:
        for argument in verb.positionals:
            if argument.required and argument not in self._given:
                raise self._refusal(f"{argument.label} is missing. Usage: {verb.usage}", len(self._words))
        for choice in sorted({argument.one_of for argument in verb.arguments if argument.one_of}):
            self._check_choice(verb, [argument for argument in verb.arguments if argument.one_of == choice])
        needed = next((argument for argument in verb.arguments if argument.name == verb.json_needs), None)
        if self._json and needed and needed not in self._given:
            raise self._refusal(f"--json and the bytes can't share the output; add {needed.label}.", len(self._words))

    def _check_choice(self, verb: Verb, choices: list[Argument]) -> None:
        given = [argument for argument in choices if argument in self._given]
        labels = [argument.label for argument in choices]
        if not given:
            raise self._refusal(f"{' or '.join(labels)} is missing. Usage: {verb.usage}", len(self._words))
        if len(given) > 1:
            raise self._refusal(
                f"Give {' or '.join(labels)}, not both.", max(self._given[argument].word for argument in given)
            )

    def _value(self, argument: Argument) -> Any:
        given = self._given.get(argument)
        if given is None:
            return None
        try:
            return argument.type(given.text)
        except ValueError as error:
            raise self._refusal(f"{argument.label} must be {error}, not {given.text!r}.", given.word) from None

    def _unknown_option(self, verb: Verb, flag: str, index: int) -> UsageError:
        known = {flag: flag for argument in verb.arguments for flag in argument.flags} | {JSON_FLAG: JSON_FLAG}
        return self._refusal(
            f"{verb.name} has no option {flag!r}{_suggested(flag, known)}; put -- before a word that begins with a "
            f"dash. Usage: {verb.usage}",
            index,
        )

    def _refusal(self, message: str, index: int) -> UsageError:
        position = {"position": self._offsets[index]} if index < len(self._offsets) else {}
        return UsageError(message, **position)


def is_option(word: str) -> bool:
    """Whether a word is an option rather than a value; a lone dash is standard input, two end the options."""
    return word.startswith("-") and word not in ("-", END_OF_OPTIONS)


def _is_flag_of(verb: Verb, word: str) -> bool:
    return word in (JSON_FLAG, END_OF_OPTIONS, *HELP_FLAGS) or verb.option(word.partition("=")[0]) is not None


def _suggested(word: str, known: Mapping[str, str]) -> str:
    close = [known[near] for near in difflib.get_close_matches(word, sorted(known), n=3)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""
