"""What a verb is, what it is given and what it gives back."""

from __future__ import annotations

import argparse
import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from core.model import Progress, Steps

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
    """Turns the word into a value; raises ValueError that says what the word must be, such as "a whole number"."""
    metavar: str = ""
    one_of: str = ""
    """Of the arguments that share this word, exactly one must be given."""
    many: bool = False
    """Takes all the words that are left, joined by spaces."""
    switch: bool = False
    """An option without a value: True if it is given, else False."""
    repeated: bool = False
    """An option that may be given several times: a tuple of its values, empty if it is not given."""

    @property
    def label(self) -> str:
        """How usage shows it: `NAME`, `--version N`."""
        metavar = self.metavar or self.name.upper()
        if self.switch:
            return self.flags[0]
        return f"{self.flags[0]} {metavar}" if self.flags else metavar

    @property
    def optional(self) -> bool:
        return bool(self.flags) or not self.required


Kind = Literal[
    "artifacts",
    "versions",
    "info",
    "status",
    "nodes",
    "node",
    "node_info",
    "events",
    "trash",
    "version",
    "content",
    "written",
    "fsck",
    "doctor",
    "text",
    "none",
]
"""What a Result holds, so that a caller knows how to show it: a list of Artifact, a list of Version, an ArtifactInfo, a
ClusterStatus, a list of NodeInfo, a NodeDetail, the NodeInfo of a node that was changed, a list of Event, a list of
TrashedArtifact, the Version that was stored, deleted or purged, bytes, a Written, an FsckReport, a DoctorReport, plain
facts whose `text` is for people, nothing."""


@dataclass(frozen=True)
class Result:
    """What a verb did."""

    kind: Kind
    value: Any
    """A model object, a list of them, or bytes; what `--json` prints, by way of `to_json`."""
    text: str = ""
    """One sentence about what was done, for verbs that change something; of kind `text`, all there is to show."""
    warnings: tuple[str, ...] = ()
    failed: bool = False
    """What was asked for was found wanting: the answer is shown all the same, and the exit code is 1."""


@dataclass(frozen=True)
class Written:
    """What `get --output` wrote."""

    name: str
    version: int
    size_bytes: int
    output: str
    """The path of the file."""


@dataclass
class Context:
    """What a verb needs around it."""

    store: ArtifactStore
    stdin: BinaryIO | None = None
    """For `--file -`; None where there is none (the dashboard)."""
    stdout: BinaryIO | None = None
    """Where `get` without --output writes; None makes it return the bytes in the Result instead."""
    progress: Callable[[Progress], None] | None = None
    steps: Callable[[Steps], None] | None = None
    """Told how far a verb that `lasts` is."""
    attended: bool = False
    """Somebody waits at a terminal for the answer."""
    cancel: threading.Event = field(default_factory=threading.Event)
    directory: Path = field(default_factory=Path.cwd)
    """Relative paths start here."""

    def path(self, text: str) -> Path:
        """The path a person wrote, `~` for the home directory included."""
        try:
            return self.directory / Path(text).expanduser()
        except RuntimeError:  # ~stranger: nobody's home, so a file of that name
            return self.directory / text


@dataclass(frozen=True)
class Verb:
    """One thing the shell can do."""

    name: str
    summary: str
    """One line, without a full stop."""
    arguments: tuple[Argument, ...]
    run: Callable[[Any, argparse.Namespace], Result] | None
    """Takes the Context, or None if it needs no store. None for verbs that are the caller's own business: exit, up."""
    aliases: tuple[str, ...] = ()
    """Other spellings; may be several words, such as "list artifacts"."""
    mutates: bool = False
    transfers: bool = False
    """Moves content: may take long, reports progress, can be cancelled."""
    lasts: bool = False
    """May take long without moving content: tells of its steps, and ends early, with what it has, when cancelled."""
    examples: tuple[str, ...] = ()
    json_needs: str = ""
    """Name of the argument without which `--json` makes no sense, since the answer is bytes."""
    needs_store: bool = True
    """False for verbs that answer without a cluster."""

    @property
    def usage(self) -> str:
        """The line that shows how to write it, such as `get NAME [--version N] [--output PATH]`."""
        return " ".join([self.name, *map(_usage_of_group, _groups(self.arguments))])

    @property
    def positionals(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if not argument.flags)

    def option(self, flag: str) -> Argument | None:
        """The argument that is written with this flag."""
        return next((argument for argument in self.arguments if flag in argument.flags), None)


def _groups(arguments: tuple[Argument, ...]) -> list[list[Argument]]:
    """Neighbours of one choice together, the others by themselves."""
    return [list(group) for _, group in groupby(arguments, lambda argument: argument.one_of or argument.name)]


def _usage_of_group(group: list[Argument]) -> str:
    if len(group) > 1:
        return f"({' | '.join(argument.label for argument in group)})"
    argument = group[0]
    if argument.repeated:
        return f"[{argument.label} ...]"
    return f"[{argument.label}]" if argument.optional else argument.label
