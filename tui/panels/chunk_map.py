"""Where the chunks of a version are: chunk by node."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from core.model import ArtifactInfo, ChunkInfo, NodeInfo
from tui.lines import Line, Run, Tone, fit, line
from tui.text import count, safe, size

ROWS_MAX = 40
"""More chunks than this are shown in bins."""
NODES_MAX = 24
"""With more nodes than this only those that hold a chunk get a column."""
LEGEND = "● has  ◐ some  · none"


def bins(chunks: Sequence[ChunkInfo], rows_max: int = ROWS_MAX) -> list[Sequence[ChunkInfo]]:
    """The chunks in at most `rows_max` runs of equal length, the last one shorter."""
    if not chunks:
        return []
    length = -(-len(chunks) // rows_max)
    return [chunks[start : start + length] for start in range(0, len(chunks), length)]


def columns(info: ArtifactInfo, nodes: Sequence[NodeInfo]) -> tuple[list[NodeInfo], int]:
    """The nodes that get a column, and how many are left out."""
    if len(nodes) <= NODES_MAX:
        return list(nodes), 0
    holding = {holder for chunk in info.chunks for holder in chunk.replicas}
    shown = list(islice((node for node in nodes if node.id in holding), NODES_MAX))
    return shown, len(nodes) - len(shown)


def lines(info: ArtifactInfo, nodes: Sequence[NodeInfo], rows_max: int = ROWS_MAX) -> list[Line]:
    """A heading, and a line for each chunk or bin of chunks."""
    if not info.chunks:
        return [line(Run(" Empty content: there are no chunks.", "dim"))]
    shown, folded = columns(info, nodes)
    widths = [max(5, min(10, len(safe(node.name)))) for node in shown]
    binned = bins(info.chunks, rows_max)
    labels = [_label(group, len(info.chunks)) for group in binned]
    label_width = max(5, *map(len, labels))
    heading = [Run(f" {'CHUNK':<{label_width}} {'BYTES':>8}  ", "dim")]
    heading += [
        Run(fit(safe(node.name), width) + " ", "dim" if node.state == "up" else "warn")
        for node, width in zip(shown, widths, strict=True)
    ]
    heading.append(Run(f"{f'+{folded} ' if folded else ''}REPLICAS   HASH", "dim"))
    body = [
        _row(group, f" {label:<{label_width}}", shown, widths, info.replication)
        for group, label in zip(binned, labels, strict=True)
    ]
    return [tuple(heading), *body]


def _label(group: Sequence[ChunkInfo], total: int) -> str:
    digits = len(str(total - 1))
    first, last = group[0].index, group[-1].index
    return f"{first:0{digits}}" if first == last else f"{first:0{digits}}-{last:0{digits}}"


def _row(group: Sequence[ChunkInfo], label: str, nodes: Sequence[NodeInfo], widths: Sequence[int], wanted: int) -> Line:
    runs = [Run(label), Run(f" {size(sum(chunk.size_bytes for chunk in group)):>8}  ", "dim")]
    for node, width in zip(nodes, widths, strict=True):
        held = sum(node.id in chunk.replicas for chunk in group)
        glyph, tone = _glyph(held, len(group), node)
        runs.append(Run(fit(f"{' ' * (width // 2)}{glyph}", width) + " ", tone))
    fewest = min(len(chunk.replicas) for chunk in group)
    runs.append(Run(f"{fewest}/{wanted} {_word(fewest, wanted)}".ljust(12), _tone(fewest, wanted)))
    runs.append(Run(group[0].id[:8] if len(group) == 1 else f"{count(len(group))} chunks", "dim"))
    return tuple(runs)


def _glyph(held: int, of: int, node: NodeInfo) -> tuple[str, Tone]:
    if held == 0:
        return "·", "dim"
    return ("●" if held == of else "◐"), ("good" if node.state == "up" else "warn")


def _word(have: int, wanted: int) -> str:
    if have >= wanted:
        return "ok"
    if have == 0:
        return "LOST"
    return "AT RISK" if have == 1 else "UNDER"


def _tone(have: int, wanted: int) -> Tone:
    if have >= wanted:
        return "good"
    return "bad" if have <= 1 else "warn"
