"""How refusals, reasons and events put names, sizes and times into sentences."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_MAX = 80
"""Characters of a name that a sentence shows: a name may have a thousand."""


def quoted(name: str) -> str:
    """A name in quotes, with everything that could act on a terminal escaped."""
    return repr(name if len(name) <= SHOWN_MAX else name[:SHOWN_MAX] + "…")


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 chunk`, `34 chunks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def sized(size_bytes: int) -> str:
    """`512 B`, `1.5 GiB`."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} PiB"


def seconds(duration_ms: int) -> str:
    return f"{max(0, duration_ms) // 1000} s"


def lasting(duration_ms: int) -> str:
    """`40 s`, `9 min`, `23 h`, `6 d`: about how long."""
    whole = max(0, duration_ms) // 1000
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def listed(words: Sequence[str], shown_max: int = 8) -> str:
    """`a, b and c`; long lists end in how many more there are."""
    if len(words) > shown_max:
        return f"{', '.join(words[:shown_max])} and {len(words) - shown_max} more"
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
