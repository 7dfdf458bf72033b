"""The registry of shell verbs: names, aliases, arguments, help, effect. There is one parser.

The command bar, the palette, the help screen, the footer and the headless mode all come from here. A verb's `run` calls the
ArtifactStore and returns a Result; drawing it is the caller's business.
"""

from __future__ import annotations

import argparse
import enum
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from core.model import Progress

if TYPE_CHECKING:
    from core.store import ArtifactStore


class Completes(enum.Enum):
    """What the values of an argument are, for completion."""

    NOTHING = "nothing"
    ARTIFACT = "artifact"
    NODE = "node"
    PATH = "path"
    VERB = "verb"


@dataclass(frozen=True)
class Argument:
    """One argument of a verb. `flags` empty means positional."""

    name: str
    help: str
    flags: tuple[str, ...] = ()
    required: bool = True
    completes: Completes = Completes.NOTHING
    type: Callable[[str], Any] = str
    metavar: str = ""


Kind = Literal[
    "artifacts", "versions", "info", "status", "nodes", "node", "events", "version", "content", "written", "text", "none"
]
"""What a Result holds, so that a caller knows how to show it."""


@dataclass(frozen=True)
class Result:
    """What a verb did."""

    kind: Kind
    value: Any
    """A model object, a list of them, or bytes; what `--json` prints, by way of `to_json`."""
    text: str = ""
    """One sentence about what was done, for verbs that change something."""
    warnings: tuple[str, ...] = ()


@dataclass
class Context:
    """What a verb needs around it."""

    store: ArtifactStore
    stdin: BinaryIO | None = None
    """For `--file -`; None where there is none (the dashboard)."""
    stdout: BinaryIO | None = None
    """Where `get` without --output writes; None makes it return the bytes in the Result instead."""
    progress: Callable[[Progress], None] | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    directory: Path = field(default_factory=Path.cwd)
    """Relative paths start here."""


@dataclass(frozen=True)
class Verb:
    name: str
    summary: str
    """One line, without a full stop."""
    arguments: tuple[Argument, ...]
    run: Callable[[Context, argparse.Namespace], Result] | None
    """None for verbs that are the caller's own business: exit, up."""
    aliases: tuple[str, ...] = ()
    """Other spellings; may be several words, such as "list artifacts"."""
    mutates: bool = False
    transfers: bool = False
    """Moves content: may take long, reports progress, can be cancelled."""
    examples: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The line that shows how to write it, such as `get NAME [--version N] [--output PATH]`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Invocation:
    """A command line, understood."""

    verb: Verb
    arguments: argparse.Namespace
    json: bool = False

    def run(self, context: Context) -> Result:
        raise NotImplementedError


VERBS: Mapping[str, Verb] = {}
"""Every verb by its name, in the order in which help shows them."""


def split(line: str) -> list[tuple[str, int]]:
    """Cut a line into words as a POSIX shell does, each with its offset. Raises UsageError (open quote) with its position."""
    raise NotImplementedError


def parse(words: Sequence[str], offsets: Sequence[int] | None = None) -> Invocation:
    """Understand a command. Options may stand before or after the verb's arguments. Raises UsageError."""
    raise NotImplementedError


def parse_line(line: str) -> Invocation:
    """`split` and `parse`. A UsageError's details hold `position`, the offset of the word that caused it, where known."""
    raise NotImplementedError


@dataclass(frozen=True)
class Completion:
    """What may stand at the cursor: replace line[start:cursor] by any of the candidates."""

    start: int
    candidates: tuple[str, ...]
    """Whole words, quoted where a shell would need it."""


def complete(line: str, cursor: int, artifacts: Sequence[str], nodes: Sequence[str]) -> Completion:
    """Candidates for the word that ends at the cursor: verbs, options, names of artifacts, nodes, paths."""
    raise NotImplementedError


def to_json(value: Any) -> Any:
    """Plain lists, dicts, strings and numbers of a Result's value, as the contract names them."""
    raise NotImplementedError
