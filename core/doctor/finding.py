"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.units import plural

Level = Literal["ok", "warning", "problem"]
LEVELS: tuple[Level, ...] = ("problem", "warning", "ok")
"""Worst first."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """What was looked at, in a word or two."""
    level: Level
    seen: str
    """As a sentence."""
    advice: str = ""
    """What to do, as a sentence; empty for what is ok."""


def ok(check: str, seen: str) -> Finding:
    return Finding(check, "ok", seen)


def warning(check: str, seen: str, advice: str) -> Finding:
    return Finding(check, "warning", seen, advice)


def problem(check: str, seen: str, advice: str) -> Finding:
    return Finding(check, "problem", seen, advice)


@dataclass(frozen=True)
class DoctorReport:
    """All that was looked at, the worst first."""

    verdict: Level
    problems: int
    warnings: int
    findings: tuple[Finding, ...]


def report(findings: list[Finding]) -> DoctorReport:
    """The findings in their order, but the worst first."""
    ordered = sorted(findings, key=lambda finding: LEVELS.index(finding.level))
    problems = sum(finding.level == "problem" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    return DoctorReport("problem" if problems else "warning" if warnings else "ok", problems, warnings, tuple(ordered))


def summary(report: DoctorReport) -> str:
    """The report in one sentence."""
    looked = plural(len(report.findings), "finding")
    if report.verdict == "ok":
        return f"All is well: {looked}, nothing to do."
    told = [
        plural(number, word) for number, word in ((report.problems, "problem"), (report.warnings, "warning")) if number
    ]
    return f"{' and '.join(told)}, of {looked}; each says what to do."
