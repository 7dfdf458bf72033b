"""Every refusal DAME can give, in one tree, split by what the caller does next.

    DameError
      Rejected      change the request: it is wrong, and stays wrong when repeated
      Unavailable   try again later: the request is fine, the cluster can't serve it now
      LocalFailure  mend something on this machine: a file, a path, a data directory
      Cancelled     nothing: the caller asked for it
      Defect        report it: DAME itself is wrong

Each message is one sentence or two for a person: what was asked, why it was refused, what to do next.
Errors cross process borders (Ray pickles them), so everything they carry is positional and picklable.
"""

from __future__ import annotations

from typing import Any


class DameError(Exception):
    """The root of everything DAME raises on purpose.

    `details` holds machine-readable facts (names, ids, numbers) beside the sentence; it is shown by `--json`.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details)

    def __str__(self) -> str:
        return self.message


def _rebuild(kind: type[DameError], message: str, details: dict[str, Any]) -> DameError:
    """Unpickle an error; a module-level function, since pickle can't pass keyword arguments to a class."""
    return kind(message, **details)


# --- Rejected: change the request -------------------------------------------------------------------------------


class Rejected(DameError):
    """The request is wrong in itself, or does not fit what is stored."""


class UsageError(Rejected):
    """A command line that can't be understood. Exit code 2.

    `position` in the details, where known, is the offset in characters of the word that caused it.
    """


class InvalidRequest(Rejected):
    """A well-formed request with a value outside its limits (name, replication, chunk size, version number)."""


class ArtifactNotFound(Rejected):
    """No live artifact has this name."""


class ArtifactExists(Rejected):
    """A live artifact has this name already."""


class VersionNotFound(Rejected):
    """The artifact has no version of this number."""


class NodeNotFound(Rejected):
    """No storage node has this name or id, or more than one begins with it."""


# --- Unavailable: try again later -------------------------------------------------------------------------------


class Unavailable(DameError):
    """The request is fine; the cluster can't serve it as it is now."""


class ClusterUnreachable(Unavailable):
    """No answer from the Ray cluster or from the NameNode within the deadline."""


class NotReady(Unavailable):
    """The NameNode has just started and still lacks reports of storage nodes, or is busy. Retried by the client by
    itself."""


class NotEnoughNodes(Unavailable):
    """Fewer storage nodes took the chunk than the write quorum asks for."""


class NotEnoughSpace(Unavailable):
    """The storage nodes that are up have no room for this content."""


class ContentLost(Unavailable):
    """A chunk has no good replica on any storage node that is up."""


class LeaseExpired(Unavailable):
    """An upload was idle for longer than its lease; its chunks may be gone. Start it again."""


class ReadOnly(Unavailable):
    """The catalog can't be written (its disk is full or failing), or the NameNode failed too often; reads go on."""


class StorageNodeError(Unavailable):
    """A storage node could not do what it was asked. The client turns to another one."""


class NodeNotServing(StorageNodeError):
    """The storage node has been failed on purpose, is stopping, or no longer owns its directory."""


class ChunkMissing(StorageNodeError):
    """The storage node has no such chunk."""


class ChunkCorrupt(StorageNodeError):
    """The bytes do not have the hash that names them."""


class DiskFull(StorageNodeError):
    """The storage node's disk has no room for the chunk."""


class DiskFailure(StorageNodeError):
    """The storage node's disk answered with an error other than being full."""


# --- LocalFailure: mend something on this machine ---------------------------------------------------------------


class LocalFailure(DameError):
    """Something on the caller's own machine stands in the way."""


class SourceFailure(LocalFailure):
    """The content to upload can't be read, or changed while it was being read."""


class OutputFailure(LocalFailure):
    """The place to write to can't be written."""


class DirectoryFailure(LocalFailure):
    """A data directory is locked by another process, belongs to another cluster, or has a newer format."""


class DirectoryInUse(DirectoryFailure):
    """Another process uses the directory; it may let go of it."""


class Superseded(DirectoryFailure):
    """A newer process serves this storage directory; the one that is told so must end."""


class ConfigurationFailure(LocalFailure):
    """A setting (environment variable or argument) has a value that can't be used."""


class ProtocolMismatch(LocalFailure):
    """This process and the NameNode are of releases that do not understand each other."""


# --- Cancelled --------------------------------------------------------------------------------------------------


class Cancelled(DameError):
    """The caller cancelled the transfer; nothing was published and nothing is left behind."""


# --- Defect -----------------------------------------------------------------------------------------------------


class Defect(DameError):
    """A part of DAME failed in a way nobody foresaw."""
