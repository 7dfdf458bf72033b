"""The only door for strings of the backend to a terminal, and the words for values.

Names, contents and sentences that hold them are hostile: control bytes drive the terminal, bidirectional and invisible
characters lie about what is there, lone surrogates can't be encoded. What passes `safe` can do none of that. It may
still hold brackets: hand it to Rich as `Text` (see `cell`), never as markup.
"""

from __future__ import annotations

import time

from rich.text import Text

from core.model import ClusterStatus, NodeInfo
from core.units import human_bytes

UNKNOWN = "–"

_INVISIBLE = frozenset(
    chr(code)
    for codes in (
        (0x034F,),  # combining grapheme joiner
        (0x115F, 0x1160, 0x3164, 0xFFA0),  # Hangul fillers: letters that draw nothing
        (0x17B4, 0x17B5),
        range(0x180B, 0x1810),
        (0x2800,),  # Braille without dots
        range(0xFE00, 0xFE0F),  # variation selectors, but for the one that ends an emoji
        range(0xE0100, 0xE01F0),
    )
    for code in codes
)
"""Characters that Unicode calls printable although nothing is to be seen."""


def safe(text: str) -> str:
    """The text on one line, with what is not plainly visible written as an escape such as `\\x1b` or `\\u202e`.

    For showing only: names given back to the backend are the raw ones.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _visible(char) else char.encode("unicode_escape").decode("ascii") for char in text)


def _visible(char: str) -> bool:
    return char.isprintable() and char not in _INVISIBLE


def safe_lines(text: str) -> str:
    """Like `safe`, but keeps the lines of a text that has several."""
    return "\n".join(safe(line) for line in text.split("\n"))


def cell(text: str, style: str = "") -> Text:
    """A table's cell: one line, cut with an ellipsis where it does not fit, no markup."""
    return Text(safe(text), style, no_wrap=True, overflow="ellipsis")


def size(size_bytes: int) -> str:
    """`12 B`, `98 MiB`, `4.2 GiB`."""
    return human_bytes(size_bytes)


def rate(bytes_per_s: float) -> str:
    """`212 MiB/s`."""
    return f"{human_bytes(round(bytes_per_s))}/s"


def count(number: int) -> str:
    """`6,233`."""
    return f"{number:,}"


def share(part: int, whole: int) -> str:
    """`45%`; never 100% before all of it, nor 0% of something."""
    if whole <= 0:
        return UNKNOWN
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "<1%"
    return "99%" if 99 < percent < 100 else f"{percent:.0f}%"


_AGES = ((365 * 86_400, "y"), (86_400, "d"), (3_600, "h"), (60, "m"))


def age(age_ms: int) -> str:
    """`4s`, `2m`, `1h`, `3d`, `2y`. A negative one, from a clock that runs ahead, is none at all."""
    seconds = max(0, age_ms) // 1000
    for length, unit in _AGES:
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def beat(age_ms: int) -> str:
    """The age of a heartbeat, where tenths matter: `0.2s`, then as `age`."""
    return f"{max(0, age_ms) / 1000:.1f}s" if age_ms < 9_950 else age(age_ms)


def duration(seconds: float) -> str:
    """`14s`, `3m 20s`, `2h 05m`, `6d 02h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3_600}h {whole % 3_600 // 60:02}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3_600:02}h"


def eta(done_bytes: int, total_bytes: int | None, bytes_per_s: float) -> str:
    """The time a transfer still needs at this rate, as `duration`; a dash where nobody knows."""
    if total_bytes is None or bytes_per_s <= 0:
        return UNKNOWN
    return duration((total_bytes - done_bytes) / bytes_per_s)


def clock(time_ms: int) -> str:
    """`12:00:03`, here."""
    return _local(time_ms, "%H:%M:%S")


def wall_time(time_ms: int) -> str:
    """`2026-11-22 11:02:03`, here."""
    return _local(time_ms, "%Y-%m-%d %H:%M:%S")


def _local(time_ms: int, pattern: str) -> str:
    try:
        return time.strftime(pattern, time.localtime(time_ms / 1000))
    except (OverflowError, ValueError, OSError):  # beyond what this machine's calendar knows
        return UNKNOWN


def scrubbing(of: NodeInfo | ClusterStatus, now_ms: int) -> str:
    """`1,204 of 6,233 (19%) at 12 MiB/s; all of it 3d ago`: how far the re-reading of replicas is."""
    last = last_scrub(of, now_ms)
    if of.scrub_done >= of.scrub_total:
        return f"resting; {last}"
    part = f"{count(of.scrub_done)} of {count(of.scrub_total)} ({share(of.scrub_done, of.scrub_total)})"
    return f"{part} at {rate(of.scrub_bytes_per_s)}; {last}"


def last_scrub(of: NodeInfo | ClusterStatus, now_ms: int) -> str:
    """`all of it 3d ago`: when every replica had been re-read."""
    return f"all of it {age(now_ms - of.last_scrub_ms)} ago" if of.last_scrub_ms else "never all of it yet"
