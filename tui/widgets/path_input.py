"""An input for a path of this machine, with the rest of the name as ghost text."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from textual.suggester import Suggester
from textual.widgets import Input

from tui.widgets.command_bar import printable

ENTRIES_MAX = 5_000


def paths_like(typed: str) -> list[str]:
    """Paths that begin so, directories with a slash at their end; hidden ones only when asked for."""
    folder, start = os.path.split(typed)
    found = []
    try:
        with os.scandir(Path(folder or ".").expanduser()) as entries:
            for entry, _ in zip(entries, range(ENTRIES_MAX), strict=False):
                hidden = entry.name.startswith(".") and not start.startswith(".")
                if entry.name.startswith(start) and not hidden and entry.name.isprintable():
                    found.append(os.path.join(folder, entry.name) + ("/" if entry.is_dir() else ""))  # noqa: PTH118
    except OSError:
        return []  # what can't be listed can't be completed; typing goes on
    return sorted(found)


class PathSuggester(Suggester):
    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        found = [path for path in await asyncio.to_thread(paths_like, value) if path != value] if value else []
        return found[0] if found else None


class PathInput(Input):
    """The right arrow accepts the suggestion."""

    def __init__(self, value: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(
            value, placeholder=placeholder, id=id, compact=True, suggester=PathSuggester(), select_on_focus=False
        )

    def insert(self, text: str, index: int) -> None:
        super().insert(printable(text), index)
