"""Manifests of the catalog's newest checkpoints, kept on a storage node's disk under `checkpoints/`.

Not for the node itself: whoever has lost the catalog finds them there, without any process to ask.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from pathlib import Path

from core.checkpoint import manifest as manifests
from core.checkpoint.manifest import Manifest
from core.directory import sync_directory, write_durably
from core.errors import DiskFailure, DiskFull, InvalidRequest, StorageNodeError

KEPT = 2
"""The newest, and the one before in case that one turns out not to be whole. Beside them the newest of the time before
the last restore: it may be whole together with directories that were not at hand then."""


class Checkpoints:
    """Precondition: the node's directory is locked by this process."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / manifests.FOLDER
        self._directory = directory
        self._lock = threading.Lock()
        self._named_durably = False
        """The folder's own name is known to outlive a power cut: whoever made it may have failed to sync it."""

    def keep(self, manifest: Manifest) -> None:
        """Make a manifest durable, then drop those that are too old. Keeping it again is harmless.

        Raises InvalidRequest for one that is too large, DiskFull, DiskFailure.
        """
        content = manifests.encode(manifest)
        if len(content) > manifests.SIZE_BYTES_MAX:
            raise InvalidRequest(
                f"The checkpoint's manifest has {len(content)} bytes; at most {manifests.SIZE_BYTES_MAX} are kept."
            )
        with self._lock:
            try:
                self._write(manifests.file_name(manifest), content)
            except OSError as error:
                raise self._failure(error) from error
            self._drop_old()

    def _write(self, name: str, content: bytes) -> None:
        if not (self._named_durably and self._folder.exists()):
            self._folder.mkdir(exist_ok=True)
            sync_directory(self._directory)
            self._named_durably = True
        write_durably(self._folder / name, content)

    def _drop_old(self) -> None:
        """What can't be dropped now is dropped the next time."""
        with contextlib.suppress(OSError):
            found = manifests.files(self._directory)
            kept = [*found[:KEPT], *manifests.before_restore(found)[:1]]
            for path in self._folder.iterdir():
                if path not in kept:
                    path.unlink()

    def _failure(self, error: OSError) -> StorageNodeError:
        kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else DiskFailure
        return kind(
            f"The disk of {self._directory} could not keep a checkpoint of the catalog: {error.strerror or error}.",
            directory=str(self._directory),
            errno=error.errno,
        )
