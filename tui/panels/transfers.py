"""Panel 5: transfers, and the one-line strip that stands for it where there is no room."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tui.lines import Line, Run, Tone, bar, clip_line, fit, line, spread
from tui.text import eta, rate, safe, size
from tui.transfers import Transfer
from tui.widgets.live_table import Column, Row

COLUMNS = (
    Column("name", "ARTIFACT", 26),
    Column("progress", "PROGRESS"),
    Column("amount", "DONE", 19, "right", from_width=80),
    Column("rate", "RATE", 11, "right", from_width=94),
    Column("eta", "ETA", 7, "right", from_width=72),
)
EMPTY = "Nothing is being transferred. Uploads, updates and downloads show here."
ARROWS = {"up": "↑", "down": "↓"}
ENDINGS: dict[str, tuple[str, Tone]] = {"done": ("✓", "good"), "failed": ("✗", "bad"), "cancelled": ("○", "warn")}
STAGES = {"starting": "starting", "transferring": "", "committing": "committing", "done": "finishing"}


def percent(transfer: Transfer) -> float | None:
    """The share done, or None while the total is unknown. Empty content is whole from the start."""
    total = transfer.progress.total_bytes
    if total is None:
        return None
    return transfer.progress.done_bytes / total if total else 1.0


def rows(transfers: Sequence[Transfer]) -> list[Row]:
    """Newest first."""
    return [Row(str(transfer.id), partial(_cells, transfer)) for transfer in reversed(transfers)]


def _cells(transfer: Transfer) -> tuple[Run, ...]:
    progress = transfer.progress
    glyph, tone = ENDINGS.get(transfer.state, (ARROWS[transfer.direction], "accent"))
    moving = transfer.active and transfer.rate_bytes_per_s > 0
    return (
        Run(f"{glyph} {safe(transfer.artifact)}", "" if transfer.active else tone),
        _state_run(transfer),
        Run(_amount(transfer)),
        Run(rate(transfer.rate_bytes_per_s) if moving else ""),
        Run(eta(progress.done_bytes, progress.total_bytes, transfer.rate_bytes_per_s) if moving else "", "dim"),
    )


def _state_run(transfer: Transfer) -> Run:
    """How far it is, or what came of it."""
    if not transfer.active:
        return Run(safe(transfer.outcome), "bad" if transfer.state == "failed" else "dim")
    stage = _stage(transfer)
    part = percent(transfer)
    if part is None:
        return Run(stage or "transferring", "accent")
    return Run(f"{bar(part, 16)} {int(part * 100):>3}% {stage}".rstrip(), "accent")


def _stage(transfer: Transfer) -> str:
    return "cancelling" if transfer.state == "cancelling" else STAGES[transfer.progress.stage]


def _amount(transfer: Transfer) -> str:
    progress = transfer.progress
    if not transfer.active or progress.total_bytes is None:
        return size(progress.done_bytes)
    return f"{size(progress.done_bytes)}/{size(progress.total_bytes)}"


def transfer_line(transfer: Transfer, width: int) -> Line:
    mark = Run(" ")
    if not transfer.active:
        glyph, tone = ENDINGS[transfer.state]
        name = fit(safe(transfer.artifact), min(24, width // 3), middle=True)
        return clip_line((mark, Run(f"{glyph} ", tone), Run(name), Run(f"  {safe(transfer.outcome)}", "dim")), width)
    return _running(transfer, width, mark)


def _running(transfer: Transfer, width: int, mark: Run) -> Line:
    part = percent(transfer)
    figures = _figures(transfer, part)
    shown = [figure for figure in figures if figure][: 2 if width < 60 else 6]
    tail = "  ".join(shown)
    hint = "  x cancel" if width >= 100 else ""
    room = width - 4 - len(tail) - len(hint) - 3
    name_width = max(8, min(30, room // 2))
    bar_width = max(0, min(40, room - name_width - 2))
    return line(
        mark,
        Run(f"{ARROWS[transfer.direction]} ", "accent"),
        fit(safe(transfer.artifact), name_width, middle=True) + " ",
        Run(bar(part, bar_width) if part is not None else "·" * bar_width, "accent"),
        f" {tail}",
        Run(hint, "dim"),
    )


def _figures(transfer: Transfer, part: float | None) -> list[str]:
    """Percent, bytes, rate, time to go, stage: the first ones are the last to be dropped."""
    done, total = transfer.progress.done_bytes, transfer.progress.total_bytes
    return [
        f"{int(part * 100):>3}%" if part is not None else "",
        _amount(transfer),
        rate(transfer.rate_bytes_per_s) if transfer.rate_bytes_per_s else "",
        f"eta {eta(done, total, transfer.rate_bytes_per_s)}" if transfer.rate_bytes_per_s and total else "",
        _stage(transfer),
    ]


def strip(transfers: Sequence[Transfer], width: int) -> Line:
    """The oldest running transfer, and how many more there are; empty when none runs."""
    active = [transfer for transfer in transfers if transfer.active]
    if not active:
        return ()
    more = (Run(f"+{len(active) - 1} ", "dim"),) if len(active) > 1 else ()
    return spread(transfer_line(active[0], width - (len(more[0].text) + 1 if more else 0)), more, width)
