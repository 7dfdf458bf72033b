"""A catalog from the newest whole checkpoint that storage directories hold, after its own disk was lost.

Nothing that is there is changed: the catalog is put together under another name, checked, and renamed as the last step.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from blake3 import blake3
from platformdirs import user_data_path

from core.checkpoint.find import Scan, held, scan, storage_directories
from core.checkpoint.manifest import EPOCH_MARGIN, Manifest
from core.config import Config
from core.directory import directory_failure, make_directory, sync_directory
from core.errors import ConfigurationFailure, DirectoryFailure
from core.model import CHECKPOINT_NAME
from core.namenode import edits
from core.namenode.catalog import Catalog
from core.namenode.schema import FILE_NAME

STAGING = "restoring"
"""Where the catalog is put together, beside its place; what is left of an earlier attempt is removed."""

NAMES_MAX = 100
"""Artifacts named among those whose chunks were not found."""


@dataclass(frozen=True)
class NotWhole:
    """A checkpoint that could not be used."""

    epoch: int
    edits: int
    time_ms: int
    why: str


@dataclass(frozen=True)
class Restored:
    """What was restored, and what may be missing of what the lost catalog knew."""

    catalog: str
    """Path of the file."""
    cluster_id: str
    time_ms: int
    """When the checkpoint was taken. Versions published, deletes and wishes of operators after it are lost."""
    edits: int
    """How many edits of the catalog are in it."""
    checkpoint_epoch: int
    """Of the NameNode that it was taken of."""
    epoch: int
    """The catalog's from now on; the next NameNode has one more."""
    size_bytes: int
    artifacts: int
    versions: int
    directories: tuple[str, ...]
    """Storage directories that were scanned."""
    nodes_not_scanned: tuple[str, ...]
    """Names of storage nodes that the catalog knows and whose directories were not among them."""
    not_whole: tuple[NotWhole, ...]
    """Newer checkpoints, and why they were not taken."""
    damaged: tuple[str, ...]
    """Sentences about identities and manifests that could not be read."""
    uncounted_chunks: int
    """Found on the directories, in no version or checkpoint that is known: some may be of versions that are lost."""
    uncounted_bytes: int
    not_found_chunks: int
    """In some version, and on none of the directories."""
    not_found_bytes: int
    not_found_artifacts: tuple[str, ...]
    """The first hundred of which the newest version has such chunks."""


def restore_catalog(data_dir: Path | None = None, storage: Sequence[Path] = (), older: bool = False) -> Restored:
    """Put the newest whole checkpoint of the catalog in the catalog's place. Raises DirectoryFailure, with nothing
    changed, when there is a catalog, when a directory is in use, when there is no whole checkpoint, or when a newer one
    may be whole with storage directories that were not named.

    data_dir: of an embedded cluster; None for the user data directory, or, if storage directories are named and
    DAME_NAMENODE_DIR is set, for that directory: the catalog's own on a head machine.
    storage: more directories of storage nodes, mounted or copied here; each is one, or holds some as `slot-N`.
    older: take the newest whole one even then.
    """
    config = Config.from_environment()
    trash_from_ms = int(time.time() * 1_000) - config.trash_retention_ms + config.unknown_grace_ms
    head = os.environ.get("DAME_NAMENODE_DIR")
    if data_dir is None and storage and head:
        return restore(Path(head), storage_directories(storage), (), older, trash_from_ms)
    root = (data_dir or user_data_path("dame")).expanduser().absolute()
    if not root.is_dir() and (data_dir is not None or not storage):  # the head's own may be lost with its disk
        raise DirectoryFailure(f"{root} is not there; name the directory of the cluster.", directory=str(root))
    own = [root / "storage"] if any((root / "storage").glob("slot-*")) else []
    if not own and not storage:
        raise ConfigurationFailure(f"{root} has no storage directories; name those of the cluster with --storage.")
    return restore(root / "namenode", storage_directories([*own, *storage]), [root / "run"], older, trash_from_ms)


def restore(
    target: Path, directories: Sequence[Path], busy: Iterable[Path], older: bool = False, trash_from_ms: int = 0
) -> Restored:
    """Restore the catalog into a directory from these directories of storage nodes.

    busy: directories that a running cluster locks; those that do not exist can't be in use. older: as for
    restore_catalog. trash_from_ms: what went to the trash before counts as if it had gone there then; 0 leaves it.
    Raises DirectoryFailure.
    """
    _refuse_present(target)
    make_directory(target)
    with held([*(path for path in busy if path.is_dir()), target, *directories]):
        _refuse_present(target)
        found = scan(directories)
        with _staging(target) as staging:
            manifest, not_whole = _newest_whole(found, staging)
            restored = _adopt(found, staging, manifest, not_whole, target / FILE_NAME, trash_from_ms)
            if not older:
                _refuse_older(restored)
            try:
                (staging / FILE_NAME).rename(target / FILE_NAME)
                sync_directory(target)
            except OSError as error:
                raise directory_failure(target, error) from error
        return restored


def _refuse_older(restored: Restored) -> None:
    """What a newer checkpoint lacks may be on a directory that was not named."""
    if not (restored.not_whole and restored.nodes_not_scanned):
        return
    newest = restored.not_whole[0]
    raise DirectoryFailure(
        f"A newer checkpoint of the catalog than the newest whole one was found, but {newest.why}. It may be whole with"
        f" the directories of the storage nodes that were not scanned: {', '.join(restored.nodes_not_scanned)}. Name"
        " those too with --storage, or go on without them with --older; then"
        f" {(newest.time_ms - restored.time_ms) // 1_000} seconds more of what was done are lost."
        f"{''.join(f' {sentence}' for sentence in restored.damaged)}",
        nodes_not_scanned=list(restored.nodes_not_scanned),
        newest_time_ms=newest.time_ms,
        whole_time_ms=restored.time_ms,
    )


def _refuse_present(target: Path) -> None:
    """A log that lies about would be taken for the new file's by SQLite, so it counts as a catalog here."""
    there = sorted(path.name for path in target.glob(f"{FILE_NAME}*"))
    if there:
        raise DirectoryFailure(
            f"{target} holds {', '.join(there)}, and a catalog that is there is not replaced; if it is of no use any"
            " more, move it away and try again.",
            directory=str(target),
        )


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    staging = target / STAGING
    try:
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir()
    except OSError as error:
        raise directory_failure(target, error) from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


# --- The newest whole checkpoint --------------------------------------------------------------------------------


def _newest_whole(found: Scan, staging: Path) -> tuple[Manifest, tuple[NotWhole, ...]]:
    """The manifest of the checkpoint that now is in the staging directory, and the newer ones that are not whole."""
    not_whole: list[NotWhole] = []
    for manifest in found.manifests:
        why = _assemble(found, manifest, staging / FILE_NAME) or _fault(manifest, staging)
        if not why:
            return manifest, tuple(not_whole)
        not_whole.append(NotWhole(manifest.epoch, manifest.edits, manifest.time_ms, why))
    reasons = [*(f"edit {each.edits} of epoch {each.epoch}: {each.why}" for each in not_whole), *found.damaged]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise DirectoryFailure(
        f"There is no whole checkpoint of the catalog on the {len(found.directories)} storage directories that were"
        f" scanned{why}. Name more of them with --storage, or put back a copy of the catalog.",
        directories=[str(directory) for directory in found.directories],
        not_whole=len(not_whole),
    )


def _assemble(found: Scan, manifest: Manifest, path: Path) -> str:
    """Write the copy that the manifest tells of. The answer is why that is not possible; empty if it was."""
    missing, digest = 0, blake3()
    try:
        for leftover in path.parent.glob(f"{FILE_NAME}*"):
            leftover.unlink()  # of a newer one that was no sound catalog
        with path.open("wb") as file:
            for key in manifest.chunks:
                data = found.chunk(key)
                if data is None:
                    missing += 1
                elif not missing:
                    digest.update(data)
                    file.write(data)
    except OSError as error:
        raise directory_failure(path.parent, error) from error
    if missing:
        return f"{missing} of its {len(manifest.chunks)} chunks are on none of these directories, or damaged"
    return "" if digest.hexdigest() == manifest.digest else "its chunks do not add up to it"


def _fault(manifest: Manifest, staging: Path) -> str:
    """Why a copy is not the sound catalog that its manifest tells of; empty if it is.

    Raises DirectoryFailure for what is not the copy's fault: this DAME is too old for it, the disk is full or failing.
    An older checkpoint would be taken otherwise, where mending that brings back the newer one.
    """
    try:
        with closing(sqlite3.connect(staging / FILE_NAME)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if said != "ok":
            return f"it is damaged ({said})"
        with closing(Catalog.open(staging, manifest.cluster_id)) as catalog:
            catalog.check()
            known = (catalog.cluster_id, catalog.epoch, catalog.edits)
    except AssertionError as error:
        return f"it can't be used ({error})"
    except (sqlite3.Error, DirectoryFailure) as error:
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__
        if type(cause) is sqlite3.DatabaseError:  # corrupt, or no database; what the machine can't do is of a subclass
            return f"it can't be used ({error})"
        if isinstance(error, DirectoryFailure):
            raise
        raise DirectoryFailure(
            f"A checkpoint of the catalog can't be checked in {staging}: {error}. Look after its disk and try again.",
            directory=str(staging),
        ) from error
    return "" if known == (manifest.cluster_id, manifest.epoch, manifest.edits) else "it is not what its manifest says"


# --- Taking it over ---------------------------------------------------------------------------------------------


def _adopt(
    found: Scan,
    staging: Path,
    manifest: Manifest,
    not_whole: tuple[NotWhole, ...],
    catalog_path: Path,
    trash_from_ms: int,
) -> Restored:
    """Make the copy ready to be the catalog, on disk, and tell what it knows."""
    epoch = found.epoch_max + EPOCH_MARGIN
    with closing(Catalog.open(staging, manifest.cluster_id)) as catalog:
        # Checkpoints that it counts are older, and may have been dropped since.
        older = catalog.live(CHECKPOINT_NAME)
        of_checkpoints = {key.id for each in found.manifests for key in each.chunks}
        if older is not None:
            of_checkpoints.update(key.id for key in catalog.chunks_of(older))
            catalog.apply(edits.PurgeArtifact(older))
        while (left := catalog.leftover()) is not None:
            catalog.apply(edits.CountDown(left.artifact, left.version, 0, manifest.time_ms))
        # What was garbage then may be part of a version that is lost: it is to be kept as long as what is unknown.
        catalog.apply(edits.ForgetGarbage(tuple(entry.chunk.id for entry in catalog.garbage())))
        # It may have been undeleted after the checkpoint, and somebody must have the time to notice.
        if trash_from_ms:
            catalog.apply(edits.SpareTrash(trash_from_ms))
        catalog.apply(edits.StartEpoch(epoch))
        uncounted = {key: size for key, size in found.chunks.items() if key not in of_checkpoints}
        restored = _told(found, uncounted, catalog, manifest, not_whole, epoch, catalog_path)
    try:
        with closing(sqlite3.connect(staging / FILE_NAME)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # all of it in the one file that is renamed
        descriptor = os.open(staging / FILE_NAME, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except (sqlite3.Error, OSError) as error:
        raise DirectoryFailure(f"The catalog can't be written to {staging}: {error}. Look after its disk.") from error
    return restored


def _told(
    found: Scan,
    uncounted: dict[str, int],
    catalog: Catalog,
    manifest: Manifest,
    not_whole: tuple[NotWhole, ...],
    epoch: int,
    catalog_path: Path,
) -> Restored:
    """uncounted: the chunks found that no checkpoint has; what versions count is taken out here."""
    not_found: dict[str, int] = {}
    for need in catalog.needs():
        if need.chunk.id not in found.chunks:
            not_found[need.chunk.id] = need.chunk.size_bytes
        uncounted.pop(need.chunk.id, None)
    totals = catalog.totals()
    names = dict.fromkeys(name for name, _ in sorted(catalog.users_of(not_found)))
    return Restored(
        catalog=str(catalog_path),
        cluster_id=manifest.cluster_id,
        time_ms=manifest.time_ms,
        edits=manifest.edits,
        checkpoint_epoch=manifest.epoch,
        epoch=epoch,
        size_bytes=manifest.size_bytes,
        artifacts=totals.artifacts,
        versions=totals.versions,
        directories=tuple(str(directory) for directory in found.directories),
        nodes_not_scanned=tuple(node.name for node in catalog.nodes() if node.id not in found.node_ids),
        not_whole=not_whole,
        damaged=tuple(found.damaged),
        uncounted_chunks=len(uncounted),
        uncounted_bytes=sum(uncounted.values()),
        not_found_chunks=len(not_found),
        not_found_bytes=sum(not_found.values()),
        not_found_artifacts=tuple(islice(names, NAMES_MAX)),
    )
