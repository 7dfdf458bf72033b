"""A safe look at the first bytes of a content: as text if it is text, in hexadecimal if not."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from rich.cells import chop_cells

from tui.lines import Line, Run, line
from tui.text import safe, size

PREVIEW_MAX_BYTES = 64 * 1024
TEXT_SHARE = 0.9
"""Of the characters this share must be printable for a content to be called text."""


def as_text(data: bytes) -> str | None:
    """The content as text, or None if it isn't any. A character cut off at the end is left out."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=False)
    except UnicodeDecodeError:
        return None
    plain = sum(char.isprintable() or char in "\n\r\t" for char in text)
    return text if plain >= TEXT_SHARE * len(text) else None


def lines(data: bytes, width: int, *, hexadecimal: bool = False) -> list[Line]:
    """The content in lines of at most `width` cells."""
    text = None if hexadecimal else as_text(data)
    if not data:
        return [line(Run(" The content is empty.", "dim"))]
    return list(_hex_lines(data, 16 if width >= 76 else 8) if text is None else _text_lines(text, max(8, width - 2)))


def _text_lines(text: str, width: int) -> Iterator[Line]:
    for written in text.replace("\r\n", "\n").split("\n"):
        for piece in chop_cells(safe(written.expandtabs(4)), width) or [""]:
            yield line(f" {piece}")


def _hex_lines(data: bytes, row_bytes: int) -> Iterator[Line]:
    for start in range(0, len(data), row_bytes):
        piece = data[start : start + row_bytes]
        digits = " ".join(f"{byte:02x}" for byte in piece)
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in piece)
        yield line(Run(f" {start:06x}  ", "dim"), f"{digits:<{3 * row_bytes}} ", Run(letters, "accent"))


def caption(data: bytes, size_bytes: int, *, hexadecimal: bool = False) -> str:
    """What is shown of what there is."""
    kind = "bytes" if hexadecimal or as_text(data) is None else "text"
    if len(data) >= size_bytes:
        return f"{kind}, all {size(size_bytes)}"
    return f"{kind}, the first {size(len(data))} of {size(size_bytes)}"
