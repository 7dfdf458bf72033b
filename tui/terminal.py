"""Keeping the terminal for the dashboard alone.

Ray and the libraries under it write straight to file descriptors 1 and 2, past Python's own streams, and would tear the
screen. Before anything of Ray is loaded both are pointed at a log file; Textual's driver keeps a copy of the terminal.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_state_path


def has_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.__stdin__, sys.__stdout__))


@contextmanager
def own_terminal(log_path: Path) -> Iterator[None]:
    """Send native output to the log while the dashboard runs; give the terminal back at the end."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept_output, kept_error = os.dup(1), os.dup(2)
    streams = (sys.__stdout__, sys.__stderr__, sys.stderr)
    terminal = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    handler = logging.FileHandler(log_path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    # Textual draws on __stderr__ and asks __stdout__ for the terminal's size.
    sys.__stdout__ = sys.__stderr__ = sys.stderr = terminal  # type: ignore[misc]
    os.dup2(log, 1)
    os.dup2(log, 2)
    # Ray would enable it on Textual's stand-in for stderr, which has no descriptor.
    faulthandler.enable(log)
    try:
        yield
    finally:
        faulthandler.disable()
        terminal.flush()
        os.dup2(kept_output, 1)
        os.dup2(kept_error, 2)
        sys.__stdout__, sys.__stderr__, sys.stderr = streams  # type: ignore[misc]
        logging.getLogger().removeHandler(handler)
        handler.close()
        terminal.close()
        for descriptor in (log, kept_output, kept_error):
            os.close(descriptor)


def default_log_path() -> Path:
    """Where native output and tracebacks go: the user's state directory, or else a temporary file."""
    path = user_state_path("dame", appauthor=False) / "dashboard.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            return path
    except OSError:
        descriptor, name = tempfile.mkstemp(prefix="dame-dashboard-", suffix=".log")
        os.close(descriptor)
        return Path(name)
