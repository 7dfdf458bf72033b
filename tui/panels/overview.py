"""What a detail screen says first of an artifact or a node."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.model import ArtifactInfo, NodeArtifact, NodeDetail, Version
from tui.lines import Line, Run, bar, line, sparkline, wrap
from tui.panels.nodes import used_share, used_tone
from tui.text import beat, count, duration, rate, safe, scrubbing, share, size, wall_time
from tui.widgets.live_table import Column, Row
from tui.words import disk_state, drain_progress, health, node_state

LABEL_WIDTH = 12
VERSION_COLUMNS = (
    Column("version", "VER", 5, "right"),
    Column("size", "SIZE", 9, "right"),
    Column("chunks", "CHUNKS", 7, "right", from_width=46),
    Column("created", "CREATED", 19, from_width=34),
    Column("digest", "BLAKE3", from_width=64),
)


def _labelled(label: str, *parts: str | Run) -> Line:
    return line(Run(f" {label:<{LABEL_WIDTH - 1}}", "dim"), *parts)


def _wrapped(label: str, text: str, width: int) -> list[Line]:
    first, *rest = wrap(safe(text), max(8, width - LABEL_WIDTH - 1))
    return [_labelled(label, first), *(_labelled("", piece) for piece in rest)]


def artifact_lines(info: ArtifactInfo, width: int) -> list[Line]:
    newest = "newest of" if info.version == info.newest else "one of"
    keeps = f"   keeps {count(info.keep_versions)}" if info.keep_versions else ""
    chunk = f"{count(len(info.chunks))} × {size(info.chunk_size_bytes)}" if info.chunks else "none"
    return [
        *_wrapped("name", info.name, width),
        _labelled("version", f"v{info.version}", Run(f"   {newest} {count(info.versions)}{keeps}", "dim")),
        _labelled("replicas", health(info.health, info.replication), Run(f"   target {info.replication}", "dim")),
        _labelled("size", f"{size(info.size_bytes)}", Run(f"   {count(info.size_bytes)} bytes", "dim")),
        _labelled("chunks", chunk),
        _labelled("created", wall_time(info.created_ms)),
        *_wrapped("blake3", info.digest, width),
    ]


def version_rows(versions: Sequence[Version]) -> list[Row]:
    """Newest first, as the store tells them."""
    return [Row(str(version.version), partial(_version_cells, version)) for version in versions]


def _version_cells(version: Version) -> tuple[Run, ...]:
    return (
        Run(f"v{version.version}"),
        Run(size(version.size_bytes)),
        Run(count(version.chunks), "dim"),
        Run(wall_time(version.created_ms), "dim"),
        Run(version.digest, "dim"),
    )


def node_lines(
    detail: NodeDetail, reads: Sequence[float], writes: Sequence[float], now_ms: int, width: int
) -> list[Line]:
    node = detail.node
    part = used_share(node)
    drains = bool(node.drain_left or node.drain_warning)
    room = max(6, min(40, width - LABEL_WIDTH - 30))
    spark = max(8, min(60, width - LABEL_WIDTH - 14))
    return [
        _labelled("state", node_state(node.state)),
        *_wrapped("why", node.reason or "It answers as it should.", width),
        *(_wrapped("drain", f"{drain_progress(node)}  {node.drain_warning}".strip(), width) if drains else []),
        _labelled(
            "disk",
            Run(bar(part, room), disk_state(node.disk).tone or used_tone(part) or "accent"),
            f" {share(node.used_bytes, node.capacity_bytes)}  {size(node.used_bytes)} of {size(node.capacity_bytes)}  ",
            disk_state(node.disk),
        ),
        _labelled("chunks", count(node.chunks), Run("   copying ", "dim"), count(node.copying)),
        _labelled("artifacts", count(detail.artifacts_total)),
        _labelled(
            "quarantine",
            Run(count(node.quarantined), "warn" if node.quarantined else ""),
            Run(f"   {size(node.quarantined_bytes)}", "dim"),
        ),
        *_wrapped("scrub", scrubbing(node, now_ms), width),
        _labelled("beat", f"{beat(node.heartbeat_age_ms)} ago"),
        _labelled("read", Run(sparkline(reads, spark), "accent"), f" {rate(node.read_bytes_per_s):>11}"),
        _labelled("write", Run(sparkline(writes, spark), "accent"), f" {rate(node.write_bytes_per_s):>11}"),
        _labelled("host", safe(node.host), Run("   pid ", "dim"), str(node.pid)),
        _labelled("up for", duration((now_ms - node.started_ms) / 1000)),
        *_wrapped("id", node.id, width),
        *_wrapped("directory", node.directory, width),
    ]


NODE_ARTIFACT_COLUMNS = (
    Column("name", "ARTIFACT"),
    Column("version", "VER", 6, "right"),
    Column("chunks", "CHUNKS HERE", 11, "right"),
)


def node_artifact_rows(detail: NodeDetail) -> list[Row]:
    return [Row(item.name, partial(_node_artifact_cells, item)) for item in detail.artifacts]


def _node_artifact_cells(item: NodeArtifact) -> tuple[Run, ...]:
    return Run(safe(item.name)), Run(f"v{item.version}", "dim"), Run(count(item.chunks))
