"""Rules that hold for the whole room, checked in its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tui

SOURCES = sorted(Path(tui.__file__).parent.rglob("*.py"))


def calls(source: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(source.read_text("utf-8"))) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_no_exclusive_worker_without_a_group(source: Path) -> None:
    for call in calls(source):
        names = {keyword.arg for keyword in call.keywords}
        assert "exclusive" not in names or "group" in names, f"{source}:{call.lineno}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_no_markup(source: Path) -> None:
    text = source.read_text("utf-8")
    assert "from_markup" not in text
    assert "markup=True" not in text


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_modules_stay_small(source: Path) -> None:
    assert len(source.read_text("utf-8").splitlines()) <= 450


def test_nothing_of_ray_is_imported() -> None:
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                )
                assert not any(module.split(".")[0] == "ray" or module.startswith("core.cluster") for module in modules)
