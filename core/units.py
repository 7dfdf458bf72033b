"""Amounts in words: how a person reads and writes bytes and counts."""

from __future__ import annotations

import re

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*(?:([kmgtpe])(i?b)?|b)?", re.IGNORECASE | re.ASCII)
_POWERS = {letter: power for power, letter in enumerate("kmgtpe", start=1)}


def human_bytes(size_bytes: int) -> str:
    """`12 B`, `4.2 GiB`, `98 MiB`: two digits or more, in the unit that keeps the number below 1024."""
    amount = float(size_bytes)
    for unit in _UNITS:
        digits = 1 if unit != "B" and amount < 9.95 else 0
        if amount < 1023.5 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.{digits}f} {unit}"


def parse_bytes(text: str) -> int:
    """The number of bytes that `4096`, `64k`, `4MiB`, `1.5g` or `10 MB` names.

    As with GNU tools, `k` and `KiB` are 1024 and `kB` is 1000. Raises ValueError.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size")
    number, letter, suffix = match.groups()
    base = 1000 if suffix and suffix.lower() == "b" else 1024
    factor: int = base ** _POWERS[letter.lower()] if letter else 1
    return int(number) * factor if number.isdecimal() else int(float(number) * factor)


def plural(number: int, noun: str, nouns: str = "") -> str:
    """`1 copy`, `2 copies`; the plural is the noun with an s unless it is given."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
