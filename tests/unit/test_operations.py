"""The manual keeps up with the code: every error that DAME can give is explained, and every verb it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import core
from core import errors
from core.errors import DameError
from core.verbs import VERBS

MANUAL = (Path(core.__file__).parents[1] / "docs" / "OPERATIONS.md").read_text()
SECTION = MANUAL.partition("## What each error means\n")[2].partition("\n## ")[0]
ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, DameError)}
ROWS = {
    row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| (.+?) \|(?: (.+?) \| (.+?) \|)?$", SECTION, re.MULTILINE)
}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_is_explained(name: str) -> None:
    kind = ERRORS[name]
    if kind is DameError:
        assert "All are a `DameError`" in SECTION
    elif kind.__base__ is DameError:
        assert ROWS[name][0], "what to do about all of the kind"
    else:
        parent, meaning, remedy = ROWS[name]
        assert parent == kind.__base__.__name__  # type: ignore[union-attr]
        assert meaning.endswith(".") and remedy.endswith(".")


def test_no_error_is_explained_that_there_is_not() -> None:
    assert set(ROWS) == set(ERRORS) - {"DameError"}


def test_every_verb_that_is_named_exists() -> None:
    named = set(re.findall(r"\bdame ([a-z][a-z-]+)", MANUAL))
    assert {"doctor", "drain", "forget", "restore-catalog", "fsck", "status"} <= named <= set(VERBS)
