"""A command line, understood: words as in a POSIX shell, then a verb, its arguments and its options.

Options may stand before the verb and anywhere after it; `--` ends them. All refusals are UsageErrors, whose `position`
is the offset of the word that caused them, so that a caret can point at it.
"""

from __future__ import annotations

import argparse
import difflib
import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.errors import UsageError
from core.verbs.registry import PHRASES, VERBS, find
from core.verbs.verb import Argument, Context, Result, Verb

HELP_FLAGS = ("-h", "--help")
JSON_FLAG = "--json"
END_OF_OPTIONS = "--"

LINE_MAX = 100_000
"""Characters; the time that shlex takes for a word grows with the square of its length."""

_VALUE_FLAGS = frozenset(
    flag for verb in VERBS.values() for argument in verb.arguments for flag in argument.flags if not argument.switch
)

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


def split(line: str) -> list[tuple[str, int]]:
    """Cut a line into words as a POSIX shell does, each with its offset. Raises UsageError (open quote)."""
    if len(line) > LINE_MAX:
        raise UsageError(f"A line holds at most {LINE_MAX:,} characters; put longer content into a file, for --file.")
    stream = io.StringIO(line)
    lexer = shlex.shlex(stream, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[tuple[str, int]] = []
    while True:
        start = stream.tell()
        while start < len(line) and line[start] in lexer.whitespace:
            start += 1
        try:
            word = lexer.get_token()
        except ValueError:
            message = "This word is not closed; end its quote, or put a backslash before a quote or backslash in it."
            raise UsageError(message, position=start) from None
        if word is None:
            return words
        words.append((word, start))


# --- Commands ---------------------------------------------------------------------------------------------------


def parse_line(line: str) -> Invocation:
    """`split` and `parse`. A UsageError's details hold `position`, the offset of the word that caused it."""
    words = split(line)
    return parse([word for word, _ in words], [*(offset for _, offset in words), len(line)])


def parse(words: Sequence[str], offsets: Sequence[int] = ()) -> Invocation:
    """Understand a command.

    offsets: where the words stand in their line, and where the line ends; makes the `position` of errors.
    Raises UsageError.
    """
    return _Command(words, offsets).understood()


class _Command:
    """The words of one command.

    argparse sees the options as they are, and in place of every other word its index. So no word is ever taken for
    what it is not, whatever it holds, and each value leads back to where it stood.
    """

    def __init__(self, words: Sequence[str], offsets: Sequence[int]) -> None:
        self._words = words
        self._offsets = offsets
        self._options_end = [*words, END_OF_OPTIONS].index(END_OF_OPTIONS)

    def understood(self) -> Invocation:
        options = self._words[: self._options_end]
        json = JSON_FLAG in options
        start = self._verb_index()
        found = find(self._words[start:])
        if not found and start < len(self._words):
            raise self._unknown_verb(start)
        if not {*HELP_FLAGS}.isdisjoint(options):
            return Invocation(VERBS["help"], argparse.Namespace(verb=found[0].name if found else None), json)
        if not found:
            raise self._refusal("A verb is missing; `help` shows them all.")
        verb, length = found
        given = self._bind(verb, [*range(start), *range(start + length, len(self._words))])
        self._check_complete(verb, given, json)
        values = {argument.name: self._value(argument, given.get(argument)) for argument in verb.arguments}
        return Invocation(verb, argparse.Namespace(**values), json)

    def _verb_index(self) -> int:
        """How many words of options stand before the verb."""
        index = 0
        while index < len(self._words) and is_option(self._words[index]):
            index += 2 if self._words[index] in _VALUE_FLAGS else 1
        return min(index, len(self._words))

    def _bind(self, verb: Verb, indexes: Sequence[int]) -> dict[Argument, Sequence[int]]:
        """The words of each argument that is given."""
        tokens = [self._token(verb, index) for index in indexes]
        try:
            bound, surplus = _argument_parser(verb).parse_known_intermixed_args(tokens)
        except argparse.ArgumentError:  # only an option without its value is left to go wrong
            for index, token, following in zip(indexes, tokens, [*tokens[1:], END_OF_OPTIONS], strict=True):
                if (argument := _takes_value(verb, token)) and not following.isdecimal():
                    raise self._refusal(f"{token} needs a value: {argument.label}.", index) from None
            raise
        for token in surplus:
            if token != END_OF_OPTIONS:
                raise self._too_many(verb, int(token))
        given: dict[Argument, Sequence[int]] = {}
        for argument in verb.arguments:
            index = getattr(bound, argument.name)
            if argument.switch and index:
                given[argument] = []
            elif not argument.switch and index not in (None, []):
                given[argument] = index if argument.many or argument.repeated else [index]
        return given

    def _token(self, verb: Verb, index: int) -> str:
        """What argparse sees of a word."""
        word = self._words[index]
        flag, equals, _ = word.partition("=")
        if index > self._options_end:
            return str(index)
        if word in (JSON_FLAG, END_OF_OPTIONS):
            return word
        option = verb.option(flag)
        if option and not (option.switch and equals):
            return f"{flag}={index}" if equals else flag
        follows_flag = index > 0 and _takes_value(verb, self._words[index - 1])
        if is_option(word) and not follows_flag:
            raise self._unknown_option(verb, index)
        return str(index)

    def _check_complete(self, verb: Verb, given: Mapping[Argument, Sequence[int]], json: bool) -> None:
        for _, group in groupby(verb.arguments, lambda argument: argument.one_of or argument.name):
            choices = list(group)
            labels = " or ".join(argument.label for argument in choices)
            taken = [(*given[argument], len(self._words))[0] for argument in choices if argument in given]
            if not taken and (choices[0].one_of or not choices[0].optional):
                raise self._refusal(f"{labels} is missing. Usage: {verb.usage}")
            if len(taken) > 1:
                raise self._refusal(f"Give {labels}, not both.", max(taken))
        needed = next((argument for argument in verb.arguments if argument.name == verb.json_needs), None)
        if json and needed and needed not in given:
            raise self._refusal(f"--json and the bytes can't share the output; add {needed.label}.")

    def _value(self, argument: Argument, indexes: Sequence[int] | None) -> Any:
        if argument.switch:
            return indexes is not None
        if argument.repeated:
            return tuple(self._word_value(argument, [index]) for index in indexes or ())
        return self._word_value(argument, indexes) if indexes else None

    def _word_value(self, argument: Argument, indexes: Sequence[int]) -> Any:
        text = " ".join(self._words[index] for index in indexes)
        flag, _, value = text.partition("=")
        if flag in argument.flags:
            text = value
        try:
            return argument.type(text)
        except ValueError as error:
            raise self._refusal(f"{argument.label} must be {error}, not {text!r}.", indexes[0]) from None

    def _unknown_verb(self, index: int) -> UsageError:
        word = self._words[index]
        hint = _suggested(word, _VERBS_BY_WORD)
        return self._refusal(f"There is no verb {word!r}{hint}; `help` shows them all.", index)

    def _unknown_option(self, verb: Verb, index: int) -> UsageError:
        word = self._words[index]
        flags = [JSON_FLAG, *(flag for argument in verb.arguments for flag in argument.flags)]
        hint = _suggested(word.partition("=")[0], {flag: flag for flag in flags})
        message = f"{verb.name} has no option {word!r}{hint}; put -- before a word that begins with a dash."
        return self._refusal(f"{message} Usage: {verb.usage}", index)

    def _too_many(self, verb: Verb, index: int) -> UsageError:
        quotes = "; put quotes around a text of several words" if verb.positionals else ""
        return self._refusal(f"{self._words[index]!r} is one word too many{quotes}. Usage: {verb.usage}", index)

    def _refusal(self, message: str, index: int | None = None) -> UsageError:
        """A refusal that points at a word, or at the end of the line."""
        position = {"position": self._offsets[-1 if index is None else index]} if self._offsets else {}
        return UsageError(message, **position)


def _argument_parser(verb: Verb) -> argparse.ArgumentParser:
    """Binds the arguments to indexes of words, and leaves refusals to the caller.

    Made anew for each command, since argparse changes a parser while it parses intermixed arguments.
    """
    parser = argparse.ArgumentParser(verb.name, verb.usage, add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(JSON_FLAG, dest=JSON_FLAG, action="store_true")
    for argument in verb.arguments:
        if argument.switch:
            parser.add_argument(*argument.flags, dest=argument.name, action="store_true")
        elif argument.flags:
            action = "append" if argument.repeated else "store"
            parser.add_argument(*argument.flags, dest=argument.name, type=int, action=action)
        else:
            parser.add_argument(argument.name, nargs="*" if argument.many else "?", type=int)
    return parser


def _takes_value(verb: Verb, word: str) -> Argument | None:
    """The option that this word is, if a value must follow it."""
    option = verb.option(word)
    return option if option and not option.switch else None


def is_option(word: str) -> bool:
    """Whether a word is an option rather than a value; a lone dash is standard input, two end the options."""
    return word.startswith("-") and word not in ("-", END_OF_OPTIONS)


def _suggested(word: str, known: Mapping[str, str]) -> str:
    close = [known[near] for near in difflib.get_close_matches(word, known, n=3)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""
