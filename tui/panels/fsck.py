"""What `fsck` found, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.model import ChunkFinding, ChunkProblem, FsckReport, NodeCheck, Repairs
from core.units import plural
from tui.lines import Line, Run, Tone, line, wrap
from tui.text import count, safe, size, wall_time

LABEL_WIDTH = 12
ID_LENGTH = 12
"""Characters of a chunk's id that are shown."""

PROBLEM_TONES: dict[ChunkProblem, Tone] = {"missing": "bad", "under": "warn", "surplus": "dim", "orphaned": "dim"}


def lines(report: FsckReport, verdict: str, width: int) -> list[Line]:
    """The verdict first, then the totals, then all that is listed."""
    tone: Tone = "good" if report.clean else "bad"
    shown = [line(Run(f" {piece}", tone)) for piece in wrap(safe(verdict), max(8, width - 2))]
    shown += [(), *_totals(report)]
    if report.repairs is not None:
        shown += _section("Repairs", repairs_told(report.repairs), width)
    shown += _section("In the catalog", report.catalog, width)
    shown += _section("Disks", map(disk_told, report.nodes), width)
    shown += _findings(report.findings, width)
    kept = (
        f"{item.node}  {item.chunk[:ID_LENGTH]}  {size(item.size_bytes)}  since {wall_time(item.since_ms)}"
        for item in report.quarantined
    )
    return shown + _section("In quarantine", kept, width)


def _totals(report: FsckReport) -> list[Line]:
    rows: list[tuple[str, int, Tone]] = [
        ("chunks", report.chunks, ""),
        ("missing", report.missing, "bad"),
        ("under", report.under, "warn"),
        ("surplus", report.surplus, ""),
        ("orphaned", report.orphaned, ""),
        ("corrupt", report.corrupt, "warn"),
    ]
    return [
        line(Run(f" {label:<{LABEL_WIDTH}}", "dim"), Run(f"{count(number):>10}", tone if number else ""))
        for label, number, tone in rows
    ]


def _section(title: str, texts: Iterable[str], width: int) -> list[Line]:
    pieces = [piece for text in texts for piece in wrap(safe(text), max(8, width - 4))]
    return [(), line(Run(f" {title}", "strong")), *(line(f"   {piece}") for piece in pieces)] if pieces else []


def _findings(findings: Sequence[ChunkFinding], width: int) -> list[Line]:
    if not findings:
        return []
    shown: list[Line] = [(), line(Run(" Chunks", "strong"))]
    for finding in findings:
        mark = Run(f"   {finding.problem:<9}", PROBLEM_TONES[finding.problem])
        shown.append(line(mark, f" {finding.chunk[:ID_LENGTH]}  {finding.replicas} of {finding.wanted}"))
        told = "; ".join(filter(None, (where_told(finding), finding.note, artifacts_told(finding))))
        shown += [line(Run(f"             {piece}", "dim")) for piece in wrap(safe(told), max(8, width - 14))]
    return shown


def where_told(finding: ChunkFinding) -> str:
    """The nodes that hold it; those that held a missing one are in its note."""
    return f"on {', '.join(finding.nodes)}" if finding.nodes and finding.problem != "missing" else ""


def artifacts_told(finding: ChunkFinding) -> str:
    if not finding.artifacts_total:
        return ""
    more = finding.artifacts_total - len(finding.artifacts)
    return f"in {', '.join(finding.artifacts)}{f' and {count(more)} more' if more else ''}"


def disk_told(node: NodeCheck) -> str:
    """What was found on one node's disk, as a sentence without its full stop."""
    if not node.walked:
        return f"{node.node} was not looked at ({node.state}): {node.trouble}"
    found = [
        (node.removed, "gone"),
        (node.added, "not known before"),
        (node.corrupt, "not what it should be"),
    ]
    differences = [f"{count(number)} {word}" for number, word in found if number]
    kept = f", {count(node.quarantined)} in quarantine ({size(node.quarantined_bytes)})" if node.quarantined else ""
    return f"{node.node}: {plural(node.replicas, 'replica')}, {', '.join(differences) or 'as it should be'}{kept}"


def repairs_told(repairs: Repairs) -> list[str]:
    told = [
        f"{plural(repairs.healed, 'chunk')} healed, of those that were missing or short of replicas",
        f"{plural(repairs.brought_back, 'replica')} in quarantine turned out good and came back",
        f"{plural(repairs.deleted, 'replica')} ordered to be deleted: surplus, or garbage that was due",
    ]
    return [*told, f"healing no longer waits: {repairs.wait_ended}"] if repairs.wait_ended else told
