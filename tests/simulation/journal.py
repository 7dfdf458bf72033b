"""What of a file system is not synced yet, and what a power cut makes of it.

The rules are the weakest that POSIX leaves: the bytes of a file are safe once the file was fsynced, a name once its
directory was. Until then each write and each change of a name is kept, dropped, cut short or garbled independently of
all others. A rename is never half done within one directory; from one directory to another both names may stay, and
once the old directory is synced and the new one is not, neither may be left.

This is a model in memory; `tests/simulation/disk.py` keeps it beside real files and carries its verdict out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Parts = tuple[str, ...]
"""A path below the root of the file system."""

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""

UNSYNCED_MAX = 32
"""Changes of one directory that wait to be synced; beyond it the oldest reaches the disk unasked."""


class File:
    __slots__ = ("poisoned", "safe", "size_bytes", "unsynced")

    def __init__(self, safe: bytes | None, size_bytes: int) -> None:
        self.safe = safe
        """The content that survives; None while that is simply what the real file holds."""
        self.size_bytes = size_bytes
        """As a reader sees it now."""
        self.unsynced: list[tuple[int, bytes | None]] = []
        """Offset and bytes of each write since the last fsync; a size and None for each truncation."""
        self.poisoned = False
        """An fsync failed: the kernel has forgotten which pages were dirty, so that no later fsync saves them."""

    def write(self, offset: int, data: bytes) -> None:
        self.unsynced.append((offset, data))
        self.size_bytes = max(self.size_bytes, offset + len(data))

    def truncate(self, size_bytes: int) -> None:
        self.unsynced.append((size_bytes, None))
        self.size_bytes = size_bytes
        if not size_bytes:
            self.poisoned = False

    def replace(self, size_bytes: int) -> None:
        """The real file holds something else now, and that is safe."""
        self.poisoned = False
        self.size_bytes = size_bytes
        self.sync()

    def sync(self) -> None:
        if not self.poisoned:
            self.unsynced.clear()
            self.safe = None

    def settle(self, rng: random.Random) -> bytes:
        """What a power cut leaves of the content, which is safe from now on."""
        assert self.safe is not None
        if self.unsynced:
            self.safe = _after_a_cut(self.safe, self.unsynced, rng)
            self.unsynced = []
        self.size_bytes = len(self.safe)
        self.poisoned = False
        return self.safe


class Directory:
    __slots__ = ("entries", "unsynced")

    def __init__(self) -> None:
        self.entries: dict[str, Node] = {}
        """As a reader sees it now; what nobody asked for yet may be missing."""
        self.unsynced: list[Change] = []

    def change(self, name: str, after: Node | None, cause: Change | None = None) -> Change:
        """From now on the name stands for this; None: for nothing."""
        change = Change(name, self.entries.get(name), after, cause)
        self.unsynced.append(change)
        if len(self.unsynced) > UNSYNCED_MAX:
            self.unsynced.pop(0).kept = True
        if after is None:
            del self.entries[name]
        else:
            self.entries[name] = after
        return change

    def sync(self) -> None:
        for change in self.unsynced:
            change.kept = True
        self.unsynced.clear()

    def sync_name(self, name: str) -> None:
        for change in self.unsynced:
            change.kept |= change.name == name
        self.unsynced = [change for change in self.unsynced if change.name != name]

    def is_synced(self, name: str) -> bool:
        return all(change.name != name for change in self.unsynced)


Node = File | Directory


@dataclass(eq=False, slots=True)
class Change:
    """One change of a directory."""

    name: str
    before: Node | None
    after: Node | None
    cause: Change | None
    """For the old name of a file that was renamed: the change that made the new one."""
    kept: bool = False
    """It outlived a power cut, or is synced."""


@dataclass(frozen=True)
class Remove:
    path: Parts


@dataclass(frozen=True)
class Make:
    """A file with this content, in place of the one that is there; None: a directory."""

    path: Parts
    content: bytes | None


def cut_power(root: Directory, read: Callable[[Parts], bytes], rng: random.Random) -> list[Remove | Make]:
    """Decide what is left, make the model say so, and answer with what to do to the real files, in this order.

    `read` gives the content of a real file.
    """
    _remember(root, read)
    _decide(root, rng)
    deeds: list[Remove | Make] = []
    _settle(root, (), False, deeds, rng)
    return deeds


def walk(directory: Directory, path: Parts = ()) -> Iterator[tuple[Parts, Node]]:
    """Everything below a directory, as a reader sees it."""
    for name, node in directory.entries.items():
        yield (*path, name), node
        if isinstance(node, Directory):
            yield from walk(node, (*path, name))


def _remember(root: Directory, read: Callable[[Parts], bytes]) -> None:
    """Keep the content of the files that may have to be made again under another name."""
    changes = [change for directory in _reachable(root) for change in directory.unsynced]
    moved = {id(node) for change in changes for node in (change.before, change.after)}
    for path, node in walk(root):
        if isinstance(node, File) and node.safe is None and id(node) in moved:
            node.safe = read(path)


def _reachable(root: Directory) -> Iterator[Directory]:
    """All directories, those whose removal is not synced too."""
    seen: dict[int, Directory] = {id(root): root}
    pending = [root]
    while pending:
        directory = pending.pop()
        yield directory
        nodes = [*directory.entries.values()]
        nodes += [node for change in directory.unsynced for node in (change.before, change.after) if node is not None]
        for node in nodes:
            if isinstance(node, Directory) and id(node) not in seen:
                seen[id(node)] = node
                pending.append(node)


def _decide(root: Directory, rng: random.Random) -> None:
    likely = rng.choice((0.1, 0.5, 0.9))
    directories = list(_reachable(root))
    for directory in directories:
        for change in directory.unsynced:
            change.kept = rng.random() < likely
    for directory in directories:
        for change in directory.unsynced:
            if change.cause is not None:
                within = any(change.cause is other for other in directory.unsynced)
                change.kept = change.cause.kept and (change.kept or within)


def _settle(directory: Directory, path: Parts, missing: bool, deeds: list[Remove | Make], rng: random.Random) -> None:
    """missing: the real directory is not there any more, and neither is anything in it."""
    final: dict[str, Node | None] = {}
    for change in directory.unsynced:
        final.setdefault(change.name, change.before)
        if change.kept:
            final[change.name] = change.after
    directory.unsynced.clear()
    new = {name for name, node in final.items() if node is not directory.entries.get(name)}
    for name in [name for name in final if name in new]:
        if directory.entries.pop(name, None) is not None and not missing:
            deeds.append(Remove((*path, name)))
        if (node := final[name]) is not None:
            # A file may be left under two names; nothing here writes to a file in place, so two files will do.
            directory.entries[name] = File(node.settle(rng), 0) if isinstance(node, File) else node
    for name, node in directory.entries.items():
        absent = missing or name in new
        if isinstance(node, Directory):
            if absent:
                deeds.append(Make((*path, name), None))
            _settle(node, (*path, name), absent, deeds, rng)
        elif absent or node.unsynced:
            deeds.append(Make((*path, name), node.settle(rng)))


def _after_a_cut(safe: bytes, unsynced: list[tuple[int, bytes | None]], rng: random.Random) -> bytes:
    fate = rng.choice(("kept", "dropped", "cut", "garbled"))
    content = bytearray(safe)
    if fate == "dropped":
        return safe
    if fate == "cut":
        unsynced = unsynced[: rng.randrange(len(unsynced)) + 1]
        offset, data = unsynced[-1]
        if data:
            unsynced = [*unsynced[:-1], (offset, data[: rng.randrange(len(data))])]
    for offset, data in unsynced:
        _apply(content, offset, data)
    if fate == "garbled":
        for offset, data in unsynced:
            if data:
                _garble(content, offset, min(offset + len(data), len(content)), rng)
    return bytes(content)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
    content.extend(bytes(max(0, offset - len(content))))
    if data is not None:
        content[offset : offset + len(data)] = data


def _garble(content: bytearray, start: int, end: int, rng: random.Random) -> None:
    """Of what was written at least one sector did not reach the disk, and holds nothing or anything."""
    sectors = range(start, end, SECTOR_BYTES)
    for sector in sectors and rng.sample(sectors, rng.randint(1, len(sectors))):
        length = min(SECTOR_BYTES, end - sector)
        content[sector : sector + length] = rng.choice((bytes(length), rng.randbytes(length)))
