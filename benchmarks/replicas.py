"""Replicas as files: found, judged and damaged past the storage nodes, as a disk does it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from core.storagenode.chunkstore import read_replica


def replica_files(storage: Path, chunk_id: str) -> list[Path]:
    """What lies at the places of a chunk's replicas, under `storage/slot-N/`."""
    return sorted(storage.glob(f"slot-*/chunks/*/{chunk_id}"))


def good_files(storage: Path, chunk_id: str) -> list[Path]:
    """The files that hold the chunk's very bytes under a header that fits."""
    return [path for path in replica_files(storage, chunk_id) if _holds(path, chunk_id)]


def _holds(path: Path, chunk_id: str) -> bool:
    data = read_replica(path.parents[2], chunk_id)
    return data is not None and blake3(data).hexdigest() == chunk_id


# --- Damage -----------------------------------------------------------------------------------------------------


def flip_a_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte[0] ^ 4]))


def tear_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(16))


def cut_off_the_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def remove(path: Path) -> None:
    path.unlink()


def make_unreadable(path: Path) -> None:
    """Permissions do not hinder root; no one can read a directory as a file."""
    path.unlink()
    path.mkdir()


def put_another_in_its_place(path: Path) -> None:
    """A file system that lost its order: a whole chunk file under another chunk's name."""
    other = next(file for file in path.parents[1].glob("*/*") if file != path)
    path.unlink()
    shutil.copyfile(other, path)


DAMAGES: tuple[Callable[[Path], None], ...] = (
    flip_a_bit,
    tear_the_header,
    cut_off_the_end,
    empty,
    remove,
    make_unreadable,
    put_another_in_its_place,
)
