"""Panel 1: the artifacts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from core.model import Artifact
from tui.filters import matches
from tui.lines import Run
from tui.state import Snapshot
from tui.text import age, count, safe, size
from tui.widgets.live_table import Column, Row, Sort
from tui.words import HEALTH_RANK, artifact_health

COLUMNS = (
    Column("name", "NAME"),
    Column("size", "SIZE", 9, "right", from_width=34),
    Column("version", "VER", 5, "right", from_width=62),
    Column("chunks", "CHUNKS", 6, "right", from_width=68),
    Column("replicas", "REPLICAS", 11),
    Column("age", "AGE", 5, "right", from_width=46),
)
SORTS: dict[str, Callable[[Artifact], Any]] = {
    "name": lambda artifact: artifact.name,
    "size": lambda artifact: artifact.size_bytes,
    "version": lambda artifact: artifact.version,
    "chunks": lambda artifact: artifact.chunks,
    "replicas": lambda artifact: HEALTH_RANK[artifact.health],
    "age": lambda artifact: -artifact.modified_ms,
}
SORT_FIRST = Sort("name")
EMPTY = "No artifacts yet. Press u to upload one, or type : upload NAME --file PATH"


def rows(snapshot: Snapshot, filter: str = "", sort: Sort = SORT_FIRST) -> list[Row]:
    """The artifacts that pass the filter, in order; equal ones by name."""
    passing = sorted((item for item in snapshot.artifacts if matches(item.name, filter)), key=lambda item: item.name)
    passing.sort(key=SORTS[sort.column], reverse=sort.reverse)
    return [Row(artifact.name, partial(_cells, artifact, snapshot.status.now_ms)) for artifact in passing]


def _cells(artifact: Artifact, now_ms: int) -> tuple[Run, ...]:
    return (
        Run(safe(artifact.name)),
        Run(size(artifact.size_bytes)),
        Run(f"v{artifact.version}", "dim"),
        Run(count(artifact.chunks), "dim"),
        artifact_health(artifact),
        Run(age(now_ms - artifact.modified_ms), "dim"),
    )


def problems(snapshot: Snapshot) -> list[str]:
    """Names of artifacts that lack replicas, the worst first."""
    hurt = [artifact for artifact in snapshot.artifacts if artifact.health != "ok"]
    return [artifact.name for artifact in sorted(hurt, key=lambda item: (HEALTH_RANK[item.health], item.name))]
