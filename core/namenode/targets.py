"""The nodes that chunks may be copied to, looked up once for a pass over many chunks, then kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.namenode.membership import Membership
from core.namenode.placement import Candidate


class Targets:
    """Valid within one call to the NameNode, while nothing but `ordered` changes what the nodes have to do."""

    def __init__(self, members: Membership, may_pull: Callable[[str, bool], bool]) -> None:
        """may_pull: whether a node may be told to pull one more chunk, and one that is urgent."""
        self._members = members
        self._may_pull = may_pull
        self._reported: dict[str, Candidate] = {}
        self._free: dict[bool, dict[str, Candidate]] = {False: {}, True: {}}
        """By whether the chunk is urgent."""
        self._look_at(members.candidates())

    def reported(self) -> list[Candidate]:
        """Only nodes whose inventory is known: the others may hold the chunk already."""
        return list(self._reported.values())

    def free(self, urgent: bool) -> list[Candidate]:
        """Those of them that may be told to pull one more chunk."""
        return list(self._free[urgent].values())

    def ordered(self, node_id: str) -> None:
        """It was told to pull one more; that is promised of the room of all on its disk."""
        self._look_at(self._members.candidates(disk=self._members[node_id].disk))

    def _look_at(self, candidates: Iterable[Candidate]) -> None:
        for candidate in candidates:
            if self._members[candidate.id].session.reported:
                self._reported[candidate.id] = candidate
                self._sort_in(candidate)

    def _sort_in(self, candidate: Candidate) -> None:
        for urgent, free in self._free.items():
            if self._may_pull(candidate.id, urgent):
                free[candidate.id] = candidate
            else:
                free.pop(candidate.id, None)
