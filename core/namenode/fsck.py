"""The NameNode's part of `fsck`: every chunk there should be, against the replicas that are known; and quick repair.

All chunks are gone through in pages, in the order of their ids, so that no call takes long. A page says nothing about a
chunk that is as it should be. It derives everything anew from the catalog and the replicas; the indexes that healing
works with are not asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from heapq import nsmallest

from core.errors import InvalidRequest, NotReady, ReadOnly
from core.model import CHECKPOINT_NAME, ChunkFinding, ChunkProblem, FsckPage, FsckStarted
from core.namenode.catalog import Need
from core.namenode.catalogcheck import LAST_ID, artifact_faults, chunk_faults, garbage_faults, table_faults
from core.namenode.redundancy import Chunk, health_of
from core.namenode.schema import TABLE_NAMES
from core.namenode.state import State
from core.namenode.words import counted, lasting

TABLES, CHUNKS = "tables", "chunks"
"""The parts of a check, as a cursor names them: `tables:2`, `chunks:<64 hex>`."""
_PLACE = re.compile("([0-9a-f]{64})?")
COUNT_MAX = 20_000
"""Chunks in one page at most: about a second."""
LISTED_MAX = 200
"""Findings of one kind that a page lists; all are counted."""
ARTIFACTS_MAX = 5
"""Artifacts that are named for one chunk; all are counted."""


class Fsck:
    def __init__(self, state: State) -> None:
        self._state = state

    def page(self, cursor: str, count: int) -> FsckPage:
        """The part of the check that begins at the cursor: empty for the first, else `next` of the page before."""
        if self._state.safe_mode:
            raise NotReady("The NameNode has just started and not all storage nodes have reported; try again soon.")
        part, _, place = (cursor or f"{TABLES}:0").partition(":")
        if part == TABLES and place.isdecimal():
            return self._tables_page(int(place))
        if part == CHUNKS and _PLACE.fullmatch(place):
            return self._chunks_page(place, max(1, min(count, COUNT_MAX)))
        raise InvalidRequest(f"{cursor[:80]!r} is not a place where fsck could go on; begin with an empty one.")

    # --- The catalog's own check --------------------------------------------------------------------------------

    def _tables_page(self, number: int) -> FsckPage:
        select = self._state.catalog.select
        if number < len(TABLE_NAMES):
            return FsckPage(f"{TABLES}:{number + 1}", catalog=tuple(table_faults(select, TABLE_NAMES[number])))
        return FsckPage(f"{CHUNKS}:", catalog=(*artifact_faults(select), *garbage_faults(select)))

    # --- Chunks -------------------------------------------------------------------------------------------------

    def _chunks_page(self, after: str, count: int) -> FsckPage:
        """Chunks that are counted and chunks that are not, both up to the same id."""
        needs = self._state.catalog.needs_after(after, count)
        last = needs[-1].chunk.id if len(needs) == count else ""
        loose = nsmallest(
            count, (chunk_id for chunk_id in self._loose() if chunk_id > after and _within(chunk_id, last))
        )
        if len(loose) == count:
            last = loose[-1]
            needs = [need for need in needs if need.chunk.id <= last]
        found = [self._look_at(need) for need in needs]
        orphans = [self._orphan(self._state.redundancy.chunks[chunk_id]) for chunk_id in loose]
        faults = chunk_faults(
            self._state.catalog.select, bytes.fromhex(after), bytes.fromhex(last) if last else LAST_ID
        )
        following = f"{CHUNKS}:{last}" if last else ""
        return self._filled(following, len(needs), [item for item in (*found, *orphans) if item], faults)

    def _loose(self) -> Iterator[str]:
        """Chunks on some node that no version counts and no upload holds."""
        chunks = self._state.redundancy.chunks
        return (chunk_id for chunk_id in self._state.redundancy.garbage.ids() if chunk_id in chunks)

    def _filled(self, following: str, checked: int, found: list[ChunkFinding], faults: list[str]) -> FsckPage:
        totals: dict[ChunkProblem, int] = {"missing": 0, "under": 0, "surplus": 0, "orphaned": 0}
        listed = []
        for finding in found:
            totals[finding.problem] += 1
            if totals[finding.problem] <= LISTED_MAX:
                listed.append(self._with_artifacts(finding))
        return FsckPage(
            following,
            chunks=checked,
            missing=totals["missing"],
            under=totals["under"],
            surplus=totals["surplus"],
            orphaned=totals["orphaned"],
            orphaned_bytes=sum(item.size_bytes * item.replicas for item in found if item.problem == "orphaned"),
            short=tuple(item.chunk for item in found if item.problem in ("missing", "under")),
            findings=tuple(listed),
            catalog=tuple(faults),
        )

    def _look_at(self, need: Need) -> ChunkFinding | None:
        """A chunk that a version counts."""
        redundancy = self._state.redundancy
        chunk = redundancy.chunks[need.chunk.id]
        assert chunk.wanted == need.wanted, "the NameNode wants another number of replicas than its catalog"
        counting, holders = len(redundancy.holders(chunk, ("counts",))), redundancy.holders(chunk)
        health = health_of(need.wanted, counting, len(holders))
        if health == "lost":
            return self._finding(chunk, "missing", list(chunk.replicas), self._last_known(chunk))
        if health != "ok":
            coming = f"{len(chunk.copies)} being copied" if chunk.copies else ""
            return self._finding(chunk, "under", holders, coming)
        return self._finding(chunk, "surplus", holders, "") if counting > need.wanted else None

    def _last_known(self, chunk: Chunk) -> str:
        names = [f"{member.name} ({member.state})" for member in map(self._state.members.__getitem__, chunk.replicas)]
        return f"last known on {', '.join(names)}" if names else "no node that is known had it"

    def _orphan(self, chunk: Chunk) -> ChunkFinding:
        entry = self._state.redundancy.garbage.get(chunk.id)
        assert entry is not None
        kind = "garbage" if entry.kind == "counted_down" else "unknown to the catalog"
        left_ms = self._state.redundancy.garbage.goes_ms(entry) - self._state.now_ms
        when = f"deleted in {lasting(left_ms)}" if left_ms > 0 else "its time of grace is over"
        return self._finding(chunk, "orphaned", list(chunk.replicas), f"{kind}, {when}")

    def _finding(self, chunk: Chunk, problem: ChunkProblem, nodes: list[str], note: str) -> ChunkFinding:
        replicas = 0 if problem == "missing" else len(nodes)
        names = tuple(sorted(self._state.members[node_id].name for node_id in nodes))
        return ChunkFinding(chunk.id, chunk.size_bytes, problem, chunk.wanted, replicas, names, note)

    def _with_artifacts(self, finding: ChunkFinding) -> ChunkFinding:
        names, total = self._state.catalog.artifacts_with(finding.chunk, ARTIFACTS_MAX)
        shown = tuple("(the catalog's checkpoint)" if name == CHECKPOINT_NAME else name for name in names)
        return replace(finding, artifacts=shown, artifacts_total=total)

    # --- Repair -------------------------------------------------------------------------------------------------

    def start_repair(self) -> FsckStarted:
        """Do at once what would be done in time: heal without waiting, trim surplus, delete garbage that is due.

        Raises NotReady, and ReadOnly while nothing is to be changed.
        """
        state = self._state
        if state.catalog.writer.stopped:
            raise ReadOnly(state.catalog.writer.stopped)
        if state.safe_mode:
            raise NotReady("The NameNode has just started and not all storage nodes have reported; try again soon.")
        waited = state.members.healing_waits(state.now_ms)
        state.members.end_wait(state.now_ms)
        retried = len(state.redundancy.short)
        state.healer.forgive()
        state.healer.members_changed()
        before = self._deletes_ordered()
        state.deleter.hurry()
        state.order_deletes()
        deletes = self._deletes_ordered() - before
        ended = "; it ended the wait before healing" if waited else ""
        short = f"{counted(retried, 'chunk')} short of replicas"
        state.events.record(state.now_ms, "info", f"fsck began to repair: {short}{ended}")
        return FsckStarted(waited, retried, deletes)

    def _deletes_ordered(self) -> int:
        return sum(len(inventory.deleting) for inventory in self._state.redundancy.inventories.values())


def _within(chunk_id: str, last: str) -> bool:
    return not last or chunk_id <= last
