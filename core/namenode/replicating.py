"""Changing how many replicas are wanted of what is stored."""

from __future__ import annotations

from dataclasses import replace

from core.model import Version
from core.namenode import edits
from core.namenode.admission import check_enough_nodes, check_replication
from core.namenode.lookup import live_artifact
from core.namenode.operations import once
from core.namenode.state import State
from core.namenode.words import counted, quoted


def set_replication(state: State, operation: str, name: str, replication: int) -> Version:
    """From now on every version of the artifact wants so many; healing and the surplus rule do the rest.

    A chunk that another artifact has as well keeps as many as that one wants. Raises ArtifactNotFound, InvalidRequest,
    ReadOnly.
    """

    def mutate() -> Version:
        artifact = live_artifact(state, name)
        check_replication(state, replication)
        check_enough_nodes(state, replication)
        newest = replace(state.catalog.newest(artifact), replication=replication)
        state.catalog.apply(edits.SetReplication(operation, artifact, replication, state.now_ms, newest))
        state.leases.set_replication(name, replication)
        keys = list(state.catalog.chunks_of(artifact))
        wanted = state.catalog.wanted_of(key.id for key in keys)
        for key in keys:
            state.redundancy.need(key, wanted[key.id])
        copies = counted(replication, "copy", "copies")
        state.events.record(state.now_ms, "info", f"{copies} of {quoted(name)} wanted from now on", artifact=name)
        return newest

    return once(state, operation, edits.SetReplication, mutate)
