"""The image that every container of the cluster runs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.compose.conftest import Figures
from tests.compose.engine import IMAGE, PYTHON, Project, docker, inspect
from tests.integration.processes import ROOT

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(2400)]


def in_image(*words: str) -> str:
    """What a command says in a container of its own, closed as the cluster's are, without the image's entry point."""
    closed = ["--read-only", "--cap-drop", "ALL", "--network", "none", "--tmpfs", "/tmp"]
    return docker("run", "--rm", *closed, "--entrypoint", words[0], IMAGE, *words[1:]).decode().strip()


def test_it_is_what_the_cluster_needs_and_no_more(project: Project, figures: Figures) -> None:
    figures["size of the image"] = f"{inspect(IMAGE)['Size'] / 1e6:.0f} MB"
    figures["of it the base"] = f"{inspect('python:3.11-slim-bookworm')['Size'] / 1e6:.0f} MB"
    assert in_image("id", "-un") == "dame"
    assert in_image("id", "-u") != "0"
    assert in_image("dame", "--version").startswith("dame ")
    assert in_image("python", "-c", "import sys; print(sys.version_info[:2])") == str(PYTHON)
    tools = "import shutil; print([tool for tool in ('gcc', 'cc', 'g++', 'make') if shutil.which(tool)])"
    assert in_image("python", "-c", tools) == "[]"
    assert in_image("sh", "-c", "ls -A ~root/.cache /tmp 2>/dev/null; true") in ("", "/tmp:")


def test_every_library_has_the_version_that_was_tested(project: Project) -> None:
    tested = set((ROOT / "constraints.txt").read_text().lower().replace("_", "-").splitlines())
    script = "from importlib.metadata import distributions as d; print(*(f'{i.name}=={i.version}' for i in d()))"
    installed = set(in_image("python", "-c", script).lower().replace("_", "-").split())
    ours = {name for name in installed if name.startswith("dame==")}
    assert len(ours) == 1
    assert installed - ours <= tested


def test_everything_is_compiled_since_the_file_system_can_not_be_written(project: Project) -> None:
    script = (
        "import core.store, importlib.util, pathlib;"
        "print(pathlib.Path(importlib.util.cache_from_source(core.store.__file__)).exists())"
    )
    assert in_image("python", "-c", script) == "True"


def test_a_change_of_code_installs_nothing_else_anew(project: Project, tmp_path: Path, figures: Figures) -> None:
    source = tmp_path / "source"
    for name in ("core", "tui", "RayServer"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "main.py", ".dockerignore"):
        shutil.copy2(ROOT / name, source / name)
    changed = source / "core" / "units.py"
    changed.write_text(changed.read_text() + f"\nTOUCHED = {time.time()}\n")
    tag = f"{IMAGE}-changed"
    started = time.monotonic()
    docker("build", "--tag", tag, "--file", str(source / "RayServer" / "Dockerfile"), str(source), timeout_s=1800)
    figures["building after a change of code"] = f"{time.monotonic() - started:.1f} s"
    try:
        before, after = (inspect(image)["RootFS"]["Layers"] for image in (IMAGE, tag))
        assert before != after
        same = [layer for layer, other in zip(before, after, strict=True) if layer == other]
        assert len(before) - len(same) <= 2, "only the wheel and its installation may be new"
    finally:
        docker("image", "rm", tag)


def test_compose_builds_and_knows_the_same_project_from_the_root_and_from_RayServer(project: Project) -> None:
    at_root = project.compose("config"), inspect(IMAGE)["RootFS"]["Layers"]
    project.compose("build", cwd=ROOT / "RayServer", timeout_s=1800)  # all of it is in the cache
    assert (project.compose("config", cwd=ROOT / "RayServer"), inspect(IMAGE)["RootFS"]["Layers"]) == at_root
