"""The command line of `python -m RayServer`."""

from __future__ import annotations

import pytest

from RayServer.__main__ import split_run


@pytest.mark.parametrize(
    ("arguments", "own", "words"),
    [
        ("head", "head", ""),
        ("storage --head h:1", "storage --head h:1", ""),
        ("run", "run", ""),
        ("run --help", "run --help", ""),
        ("run status --json", "run", "status --json"),
        ("run --json status", "run", "--json status"),
        ("run --head h:1 --json status", "run --head h:1", "--json status"),
        ("run --head=h:1 upload a --head", "run --head=h:1", "upload a --head"),
    ],
)
def test_words_behind_run_are_handed_on_as_they_are(arguments: str, own: str, words: str) -> None:
    assert split_run(arguments.split()) == (own.split(), words.split())
