"""What the doctor found, the worst first."""

from __future__ import annotations

from core.doctor.finding import DoctorReport, Finding, Level, summary
from tui.lines import Line, Run, Tone, line, wrap
from tui.text import safe

TONES: dict[Level, Tone] = {"problem": "bad", "warning": "warn", "ok": "good"}
MARK_WIDTH = 9


def lines(report: DoctorReport, width: int) -> list[Line]:
    """The verdict, then each finding with what to do about it."""
    shown = [line(Run(f" {piece}", TONES[report.verdict])) for piece in wrap(summary(report), max(8, width - 2))]
    for finding in report.findings:
        shown += [(), *_finding(finding, width)]
    return shown


def _finding(finding: Finding, width: int) -> list[Line]:
    heading = line(Run(f" {finding.level:<{MARK_WIDTH}}", TONES[finding.level]), Run(finding.check, "strong"))
    room = max(8, width - MARK_WIDTH - 2)
    indent = " " * (MARK_WIDTH + 1)
    seen = [line(f"{indent}{piece}") for piece in wrap(safe(finding.seen), room)]
    advice = [line(Run(f"{indent}{piece}", "accent")) for piece in wrap(safe(finding.advice), room) if finding.advice]
    return [heading, *seen, *advice]


def told(finding: Finding) -> str:
    """What was seen, and under it what to do."""
    return "\n".join(filter(None, (safe(finding.seen), safe(finding.advice))))
