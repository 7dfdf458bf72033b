"""Results of verbs as Rich draws them on a plain terminal or into a pipe: sentences, lists of facts and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.doctor.finding import DoctorReport, summary
from core.model import (
    Artifact,
    ArtifactInfo,
    ClusterStatus,
    Event,
    FsckReport,
    NodeDetail,
    NodeInfo,
    TrashedArtifact,
    Version,
)
from core.units import plural
from core.verbs import Kind, Result
from tui.panels.doctor import told
from tui.panels.fsck import artifacts_told, disk_told, repairs_told, where_told
from tui.text import age, beat, count, duration, rate, safe, safe_lines, scrubbing, share, size, wall_time
from tui.words import checkpoint, drain_progress, garbage, healing_progress

_STYLES = {
    "ok": "green",
    "under": "yellow",
    "at_risk": "bold red",
    "lost": "bold red",
    "up": "green",
    "suspect": "yellow",
    "draining": "yellow",
    "drained": "dim",
    "down": "bold red",
    "failed": "bold red",
    "filling": "yellow",
    "no_new_chunks": "yellow",
    "read_only": "bold red",
    "warning": "yellow",
    "error": "bold red",
    "problem": "bold red",
}
"""Colour only repeats what the word says."""

_ID_LENGTH = 12
"""Characters of a hash or an id that are shown; enough to tell thousands apart, and to name a node by."""


def render(result: Result, now_ms: int) -> RenderableType:
    """What a person sees of a verb's result."""
    draw = _TABLES.get(result.kind)
    return draw(result.value, now_ms) if draw else Text(safe_lines(result.text))


def _artifacts(artifacts: Sequence[Artifact], now_ms: int) -> RenderableType:
    if not artifacts:
        return Text("There are no artifacts to show.")
    return _table(
        ("NAME", ">SIZE", ">VERSION", ">CHUNKS", ">COPIES", "HEALTH", ">AGE"),
        (
            (
                safe(artifact.name),
                size(artifact.size_bytes),
                str(artifact.version),
                count(artifact.chunks),
                str(artifact.replication),
                artifact.health,
                age(now_ms - artifact.modified_ms),
            )
            for artifact in artifacts
        ),
    )


def _versions(versions: Sequence[Version], _: int) -> RenderableType:
    return _table(
        (">VERSION", ">SIZE", ">CHUNKS", ">COPIES", "CREATED", "DIGEST"),
        (
            (
                str(version.version),
                size(version.size_bytes),
                count(version.chunks),
                str(version.replication),
                wall_time(version.created_ms),
                version.digest[:_ID_LENGTH],
            )
            for version in versions
        ),
    )


def _info(info: ArtifactInfo, _: int) -> RenderableType:
    facts = {
        "name": info.name,
        "version": f"{info.version}, newest of {info.versions}"
        if info.version == info.newest
        else f"{info.version}, one of {info.versions} up to {info.newest}",
        "keeps": f"the newest {plural(info.keep_versions, 'version')}" if info.keep_versions else "all versions",
        "size": f"{size(info.size_bytes)} ({count(info.size_bytes)} bytes)",
        "health": info.health,
        "copies": str(info.replication),
        "chunks": f"{count(len(info.chunks))} of up to {size(info.chunk_size_bytes)}",
        "created": wall_time(info.created_ms),
        "digest": info.digest,
    }
    rows = (
        (str(chunk.index), size(chunk.size_bytes), chunk.id[:_ID_LENGTH], " ".join(node[:8] for node in chunk.replicas))
        for chunk in info.chunks
    )
    return _with_table(_facts(facts), _table((">CHUNK", ">SIZE", "ID", "ON NODES"), rows))


def _status(status: ClusterStatus, _: int) -> RenderableType:
    return _facts(
        {
            "nodes": ", ".join(f"{number} {state}" for state, number in status.nodes.items() if number) or "none",
            "artifacts": count(status.artifacts),
            "versions": f"{count(status.versions)}, {size(status.logical_bytes)}",
            "chunks": count(status.chunks),
            "stored": f"{size(status.stored_bytes)} of {size(status.capacity_bytes)} "
            f"({share(status.stored_bytes, status.capacity_bytes)})",
            "short of copies": f"{count(status.under_replicated)}, {count(status.at_risk)} of them at risk",
            "missing": count(status.missing),
            "healing": f"{count(status.healing)} copies on their way{healing_progress(status)}"
            + (f"; waits: {status.healing_waits}" if status.healing_waits else ""),
            "rebalancing": f"{count(status.rebalancing)} copies on their way",
            "corrupt": count(status.corrupt),
            "quarantine": f"{plural(status.quarantined, 'replica')}, {size(status.quarantined_bytes)}",
            "scrub": scrubbing(status, status.now_ms),
            "uploads": f"{count(status.leases)} under way",
            "trash": f"{plural(status.trash, 'artifact')}, {size(status.trash_bytes)}",
            "garbage": garbage(status),
            "checkpoint": checkpoint(status).text,
            "rates": f"{rate(status.read_bytes_per_s)} read, {rate(status.write_bytes_per_s)} written",
            "read-only": status.read_only or "no",
            "safe mode": "yes" if status.safe_mode else "no",
            "epoch": str(status.epoch),
            "up for": duration((status.now_ms - status.started_ms) / 1000),
            "cluster id": status.cluster_id,
        }
    )


def _trash(rows: Sequence[TrashedArtifact], now_ms: int) -> RenderableType:
    if not rows:
        return Text("The trash is empty.")
    return _table(
        ("NAME", ">SIZE", ">VERSION", "DELETED", ">GOES IN"),
        (
            (
                safe(row.name),
                size(row.size_bytes),
                str(row.version),
                wall_time(row.deleted_ms),
                age(row.purge_ms - now_ms),
            )
            for row in rows
        ),
    )


def _nodes(nodes: Sequence[NodeInfo], _: int) -> RenderableType:
    if not nodes:
        return Text("No storage node has ever joined this cluster.")
    drains = any(node.drain_left is not None for node in nodes)
    return _table(
        (
            "NODE",
            "STATE",
            *(["DRAIN"] * drains),
            "DISK",
            ">USED",
            ">CAPACITY",
            ">CHUNKS",
            ">HEARTBEAT",
            "HOST",
            ">PID",
            "ID",
        ),
        (
            (
                safe(node.name),
                node.state,
                *([drain_progress(node)] * drains),
                node.disk,
                size(node.used_bytes),
                size(node.capacity_bytes),
                count(node.chunks),
                beat(node.heartbeat_age_ms),
                safe(node.host),
                str(node.pid),
                safe(node.id[:_ID_LENGTH]),
            )
            for node in nodes
        ),
    )


def _node(detail: NodeDetail, now_ms: int) -> RenderableType:
    node = detail.node
    facts = {
        "node": node.name,
        "id": node.id,
        "state": node.state,
        "why": node.reason,
        **({"drain": f"{drain_progress(node)}  {node.drain_warning}".strip()} if node.drain_left is not None else {}),
        "host": node.host,
        "process": f"{node.pid}, for {duration((now_ms - node.started_ms) / 1000)}",
        "directory": node.directory,
        "disk": node.disk,
        "used": f"{size(node.used_bytes)} of {size(node.capacity_bytes)}, {size(node.free_bytes)} free",
        "chunks": count(node.chunks),
        "heartbeat": f"{beat(node.heartbeat_age_ms)} ago",
        "copying": count(node.copying),
        "corrupt": count(node.corrupt),
        "quarantine": f"{plural(node.quarantined, 'replica')}, {size(node.quarantined_bytes)}",
        "scrub": scrubbing(node, now_ms),
        "rates": f"{rate(node.read_bytes_per_s)} read, {rate(node.write_bytes_per_s)} written",
        "artifacts": count(detail.artifacts_total),
    }
    rows = ((safe(row.name), str(row.version), count(row.chunks)) for row in detail.artifacts)
    return _with_table(_facts(facts), _table(("ARTIFACT", ">VERSION", ">CHUNKS HERE"), rows))


def _events(events: Sequence[Event], _: int) -> RenderableType:
    if not events:
        return Text("There are no events to show.")
    rows = ((str(event.seq), wall_time(event.time_ms), event.severity, safe(event.text)) for event in events)
    return _table((">EVENT", "TIME", "SEVERITY", "WHAT"), rows, folded="WHAT")


def _fsck(report: FsckReport, _: int) -> RenderableType:
    facts = {
        "verdict": "clean" if report.clean else "NOT CLEAN",
        "chunks": count(report.chunks),
        "missing": count(report.missing),
        "under": count(report.under),
        "surplus": count(report.surplus),
        "orphaned": f"{count(report.orphaned)}, {size(report.orphaned_bytes)}",
        "corrupt": count(report.corrupt),
        **({"re-read": f"all replicas, {count(report.bad)} bad"} if report.deep else {}),
    }
    told = [*(repairs_told(report.repairs) if report.repairs else ()), *report.catalog, *map(disk_told, report.nodes)]
    chunks = (
        (
            finding.problem,
            finding.chunk[:_ID_LENGTH],
            f"{finding.replicas}/{finding.wanted}",
            safe("; ".join(filter(None, (where_told(finding), finding.note, artifacts_told(finding))))),
        )
        for finding in report.findings
    )
    kept = (
        (safe(item.node), item.chunk[:_ID_LENGTH], size(item.size_bytes), wall_time(item.since_ms))
        for item in report.quarantined
    )
    parts: list[Table | Text] = [
        _facts(facts),
        Text("\n".join(map(safe, told))),
        _table(("CHUNK IS", "ID", ">REPLICAS", "WHERE AND WHOSE"), chunks, folded="WHERE AND WHOSE"),
        _table(("IN QUARANTINE ON", "CHUNK", ">SIZE", "SINCE"), kept),
    ]
    shown = [part for part in parts if not isinstance(part, Table) or part.row_count]
    return Group(*[piece for part in shown for piece in (part, Text())][:-1])


def _doctor(report: DoctorReport, _: int) -> RenderableType:
    rows = ((finding.level, finding.check, told(finding)) for finding in report.findings)
    return Group(
        _table(("IS", "WHAT", "SEEN, AND WHAT TO DO"), rows, folded="SEEN, AND WHAT TO DO"),
        Text(),
        Text(summary(report)),
    )


_TABLES: Mapping[Kind, Callable[[Any, int], RenderableType]] = {
    "artifacts": _artifacts,
    "versions": _versions,
    "info": _info,
    "status": _status,
    "trash": _trash,
    "nodes": _nodes,
    "node": _node,
    "events": _events,
    "fsck": _fsck,
    "doctor": _doctor,
}


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], folded: str = "") -> Table:
    """A table without lines.

    A heading that begins with `>` is of numbers. On a narrow terminal a folded column wraps, the others are cut.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(
            Text(heading.removeprefix(">")),
            justify="right" if heading.startswith(">") else "left",
            no_wrap=heading != folded,
            overflow="fold" if heading == folded else "ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(text, _STYLES.get(text, "")) for text in row))
    return table


def _facts(facts: Mapping[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(Text(name), Text(safe(value), _STYLES.get(value, "")))
    return grid


def _with_table(facts: Table, table: Table) -> RenderableType:
    return Group(facts, Text(), table) if table.row_count else facts
