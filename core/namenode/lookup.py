"""From what a person typed to the thing that is meant, or to a refusal that helps."""

from __future__ import annotations

from core.errors import ArtifactNotFound, NodeNotFound, VersionNotFound
from core.model import CHECKPOINT_NAME, Version
from core.namenode.catalog import Kept
from core.namenode.membership import Member
from core.namenode.names import similar_names
from core.namenode.state import State
from core.namenode.words import counted, listed, quoted


def live_artifact(state: State, name: str) -> int:
    """The number of the artifact that a user means; the catalog's checkpoints are none. Raises ArtifactNotFound."""
    artifact = state.catalog.live(name)
    if artifact is None or name == CHECKPOINT_NAME:
        raise not_found(state, name)
    return artifact


def trashed(state: State, name: str) -> int | None:
    """The artifact that was deleted last under this name, if its time in the trash is not over."""
    return state.catalog.deleted_last(name, state.now_ms - state.config.trash_retention_ms)


def not_found(state: State, name: str) -> ArtifactNotFound:
    """The refusal for a name that no live artifact has, with names that are like it."""
    if trashed(state, name) is not None:
        return ArtifactNotFound(
            f"There is no artifact named {quoted(name)} any more: it is in the trash, and `undelete` brings it back.",
            name=name,
        )
    alike = similar_names(name, [version.name for version in state.catalog.listing()])
    hint = (
        f"did you mean {' or '.join(quoted(other) for other in alike)}?" if alike else "`list` shows those there are."
    )
    return ArtifactNotFound(f"There is no artifact named {quoted(name)}; {hint}", name=name, similar=alike)


def version_of(state: State, name: str, version: int | None) -> tuple[int, Version]:
    """The number of an artifact, and one version of it: the newest unless told otherwise."""
    artifact = live_artifact(state, name)
    newest = state.catalog.newest(artifact)
    if version is None:
        return artifact, newest
    found = state.catalog.version(artifact, version)
    if found is None:
        raise _no_version(name, version, state.catalog.kept(artifact))
    return artifact, found


def _no_version(name: str, version: int, kept: Kept) -> VersionNotFound:
    one = kept.count == 1
    existing = f"is version {kept.newest}" if one else f"are versions {kept.oldest} to {kept.newest}"
    older = 1 <= version < kept.oldest
    text = f"has version {version} no more: older ones than the newest {kept.keep_versions} are removed"
    return VersionNotFound(
        f"{quoted(name)} {text if older and kept.keep_versions else f'has no version {version}'}; there {existing}.",
        name=name,
        version=version,
    )


def node_meant(state: State, word: str) -> Member:
    """The node with this name or id, the only one on this host, or the only one whose name or id begins so."""
    found = state.members.find(word)
    if len(found) == 1:
        return found[0]
    if found:
        raise NodeNotFound(
            f"{quoted(word)} may mean {listed([f'{member.name} ({member.id[:8]})' for member in found])};"
            " write enough of one to tell them apart.",
            candidates=[member.name for member in found],
        )
    names = [member.name for member in state.members]
    known = f"the {counted(len(names), 'node')} of this cluster: {listed(names)}" if names else "no node has joined yet"
    raise NodeNotFound(f"No storage node is named {quoted(word)}; {known}.", candidates=names)
