"""The command lines of earlier sessions, one JSON string a line, the newest last."""

from __future__ import annotations

import json
import logging
from collections import deque
from pathlib import Path

from platformdirs import user_state_path

LINES_MAX = 1_000
logger = logging.getLogger("dame.tui")


def default_path() -> Path:
    return user_state_path("dame", appauthor=False) / "history.jsonl"


class CommandHistory:
    """Lines in memory, and their file. A file that can't be read or written costs the history, never the command."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.lines: deque[str] = deque(self._load(), maxlen=LINES_MAX)
        self._at: int | None = None
        self._draft = ""

    def _load(self) -> list[str]:
        if self._path is None:
            return []
        try:
            written = self._path.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            logger.warning("The command history can't be read: %s", error)
            return []
        return [line for line in map(_decode, written[-LINES_MAX:]) if line]

    def add(self, line: str) -> None:
        """Remember a line; one that repeats the last is not written twice."""
        self._at = None
        if not line.strip() or (self.lines and self.lines[-1] == line):
            return
        full = len(self.lines) == LINES_MAX
        self.lines.append(line)
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if full:
                self._path.write_text("".join(json.dumps(kept) + "\n" for kept in self.lines), "utf-8")
            else:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        except OSError as error:
            logger.warning("The command history can't be written: %s", error)

    def step(self, steps: int, current: str) -> str | None:
        """The line so many steps newer, older if negative, or None at the ends. What was being typed is the newest."""
        if self._at is None:
            self._at, self._draft = len(self.lines), current
        at = self._at + steps
        if not 0 <= at <= len(self.lines):
            return None
        self._at = at
        return self._draft if at == len(self.lines) else self.lines[at]

    def forget_place(self) -> None:
        """Typing ends the walk through the history."""
        self._at = None


def _decode(written: str) -> str:
    try:
        line = json.loads(written)
    except ValueError:
        return ""
    return line if isinstance(line, str) else ""
