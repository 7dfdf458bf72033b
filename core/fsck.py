"""`fsck`: what the disks hold, what the catalog says they should hold, and what of the difference can be put right.

First each storage node that is up compares its directory with what it believes to hold, and corrects its belief. Then
the NameNode goes through all chunks. Nothing is taken for granted that either of them could have told by itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from core.config import Config
from core.errors import Cancelled, StorageNodeError
from core.gateway import Call, Gateway
from core.model import (
    ChunkFinding,
    FsckPage,
    FsckReport,
    NodeCheck,
    NodeInfo,
    QuarantinedReplica,
    Repairs,
    ScrubProgress,
    Steps,
    WalkReport,
)
from core.scrub import scrub_to_end

OnSteps = Callable[[Steps], None]
Answer = WalkReport | int | StorageNodeError
"""What a storage node answered to `walk`, to `bring_back`, or instead."""

PAGE_CHUNKS = 2_000
"""Chunks that the NameNode checks in one call: about a tenth of a second, in which no heartbeat waits long."""
LISTED_MAX = 1_000
"""Findings of one kind, and quarantined replicas, that a report lists."""
POLL_MS = 500
PATIENCE_MS = 5_000
"""A repair is given up when nothing got better for this long and no copy is under way."""
COPY_PATIENCE_MS = 60_000
"""The same while copies are under way."""

ASK_AGAIN_MS = 30_000
"""A node that is up and says nothing for so long is asked once more, for question or answer may be lost; then after
twice as long, and so on."""

_REACHABLE = ("up", "suspect", "draining", "drained")


@dataclass
class Found:
    """What the NameNode finds: the sum of its pages."""

    chunks: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    orphaned_bytes: int = 0
    findings: list[ChunkFinding] = field(default_factory=list)
    catalog: list[str] = field(default_factory=list)

    def add(self, page: FsckPage) -> None:
        listed = Counter(finding.problem for finding in self.findings)
        for finding in page.findings:
            listed[finding.problem] += 1
            if listed[finding.problem] <= LISTED_MAX:
                self.findings.append(finding)
        self.chunks += page.chunks
        self.totals.update(missing=page.missing, under=page.under, surplus=page.surplus, orphaned=page.orphaned)
        self.orphaned_bytes += page.orphaned_bytes
        self.catalog += page.catalog[: LISTED_MAX - len(self.catalog)]

    @property
    def short(self) -> int:
        return self.totals["missing"] + self.totals["under"]


class Fsck:
    """One run."""

    def __init__(
        self, gateway: Gateway, config: Config, progress: OnSteps | None, cancel: threading.Event | None
    ) -> None:
        self._gateway = gateway
        self._config = config
        self._tell = progress or (lambda _: None)
        self._cancel = cancel or threading.Event()
        self._walked: dict[str, WalkReport] = {}
        """By name of the node."""

    def run(self, *, repair: bool, deep: bool) -> FsckReport:
        bad = self._re_read().bad if deep else 0
        nodes = self._walk()
        different = bad + sum(node.removed + node.added + node.corrupt for node in nodes)
        if different:
            self._let_them_tell()
        found = self._check()
        repairs = None
        if repair:
            repairs, found = self._repair(found)
            nodes = self._with_quarantine(nodes)
        unreached = any(not node.walked for node in nodes if node.state in _REACHABLE)
        return FsckReport(
            clean=not (found.short or found.catalog or unreached or (different and not repair)),
            deep=deep,
            bad=bad,
            chunks=found.chunks,
            missing=found.totals["missing"],
            under=found.totals["under"],
            surplus=found.totals["surplus"],
            orphaned=found.totals["orphaned"],
            orphaned_bytes=found.orphaned_bytes,
            corrupt=sum(node.quarantined for node in nodes),
            findings=tuple(found.findings),
            quarantined=self._quarantined(),
            nodes=tuple(nodes),
            catalog=tuple(found.catalog),
            repairs=repairs,
        )

    def _check_cancelled(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("fsck was cancelled before its end; what it had begun to repair goes on.")

    def _let_them_tell(self) -> None:
        """What storage nodes have just found reaches the NameNode with their next heartbeats."""
        self._gateway.pause(2 * self._config.heartbeat_interval_ms)

    # --- Disks --------------------------------------------------------------------------------------------------

    def _re_read(self) -> ScrubProgress:
        def tell(state: ScrubProgress) -> None:
            self._tell(Steps("re-reading replicas", state.done, state.total))

        progress = scrub_to_end(self._gateway, tell, self._cancel)
        self._check_cancelled()
        return progress

    def _walk(self) -> list[NodeCheck]:
        nodes = self._gateway.namenode.nodes()
        answers = self._ask_all(nodes, "comparing disks", self._gateway.walk)
        return [self._node_check(node, answers.get(node.id)) for node in nodes]

    def _node_check(self, node: NodeInfo, answer: Answer | None) -> NodeCheck:
        if not isinstance(answer, WalkReport):
            return NodeCheck(node.name, node.state, False, str(answer) if answer else node.reason)
        self._walked[node.name] = answer
        return NodeCheck(
            node=node.name,
            state=node.state,
            walked=True,
            trouble="",
            replicas=answer.replicas,
            removed=answer.removed,
            added=answer.added,
            corrupt=answer.corrupt,
            quarantined=answer.quarantine.replicas,
            quarantined_bytes=answer.quarantine.bytes,
        )

    def _ask_all(
        self, nodes: list[NodeInfo], doing: str, ask: Callable[..., Call], *arguments: object
    ) -> dict[str, Answer]:
        """The answers of all nodes that can be reached, by id; a node that falls silent meanwhile is an error."""
        reachable = [node for node in nodes if node.state in _REACHABLE]
        answers: dict[str, Answer] = {}
        calls: dict[str, list[Call]] = {node.id: [] for node in reachable}
        started_ms = self._gateway.monotonic_ms()
        while calls:
            self._check_cancelled()
            self._tell(Steps(doing, len(answers), len(reachable)))
            waited_ms = self._gateway.monotonic_ms() - started_ms
            for node_id, asked in calls.items():
                if waited_ms >= ASK_AGAIN_MS * (2 ** len(asked) - 1):
                    asked.append(ask(self._gateway.namenode.node_ref(node_id), *arguments))
            asked_all = [call for asked in calls.values() for call in asked]
            done = {id(call) for call in self._gateway.wait(asked_all, POLL_MS)}
            for node_id in [node_id for node_id, asked in calls.items() if any(id(call) in done for call in asked)]:
                answers[node_id] = _result(next(call for call in calls.pop(node_id) if id(call) in done))
            if not done:
                answers.update(self._fallen_silent(calls))
        return answers

    def _fallen_silent(self, calls: dict[str, list[Call]]) -> dict[str, StorageNodeError]:
        """Nodes that were asked and are no longer there to answer; they are not waited for."""
        gone = [node for node in self._gateway.namenode.nodes() if node.id in calls and node.state not in _REACHABLE]
        for node in gone:
            del calls[node.id]
        return {node.id: StorageNodeError(f"{node.name} did not answer: {node.reason}.") for node in gone}

    def _quarantined(self) -> tuple[QuarantinedReplica, ...]:
        kept = [
            QuarantinedReplica(name, item.chunk, item.size_bytes, item.since_ms)
            for name, report in self._walked.items()
            for item in report.quarantined
        ]
        return tuple(sorted(kept, key=lambda item: -item.since_ms)[:LISTED_MAX])

    def _with_quarantine(self, nodes: list[NodeCheck]) -> list[NodeCheck]:
        """The same, after a repair took replicas out of quarantine: walk again for what is there now."""
        self._walked = {}
        after = {node.node: node for node in self._walk()}
        checks = []
        for node in nodes:
            now = after.get(node.node, node)  # a node may have been forgotten meanwhile
            checks.append(
                replace(
                    node,
                    replicas=now.replicas,
                    quarantined=now.quarantined,
                    quarantined_bytes=now.quarantined_bytes,
                )
            )
        return checks

    # --- Chunks -------------------------------------------------------------------------------------------------

    def _check(self, on_page: Callable[[FsckPage], None] = lambda _: None) -> Found:
        found, cursor = Found(), ""
        total = self._gateway.namenode.status().chunks
        while True:
            self._check_cancelled()
            page = self._gateway.namenode.fsck(cursor, PAGE_CHUNKS)
            found.add(page)
            on_page(page)
            self._tell(Steps("checking chunks", found.chunks, max(total, found.chunks)))
            cursor = page.next
            if not cursor:
                return found

    # --- Repair -------------------------------------------------------------------------------------------------

    def _repair(self, before: Found) -> tuple[Repairs, Found]:
        """Begin all that can be done, wait as long as it gets better, and look again."""
        brought_back = self._bring_back() if before.short else 0
        if brought_back:
            self._let_them_tell()
        started = self._gateway.namenode.fsck_repair()
        self._wait_for_healing()
        after = self._check()
        healed = max(0, before.short - after.short)
        return Repairs(started.wait_ended, started.retried, brought_back, started.deleted, healed), after

    def _bring_back(self) -> int:
        """Replicas in quarantine may have been unreadable only for a while: have those of short chunks looked at."""
        brought_back = 0

        def look(page: FsckPage) -> None:
            nonlocal brought_back
            if page.short:
                nodes = self._gateway.namenode.nodes()
                answers = self._ask_all(nodes, "looking into quarantine", self._gateway.bring_back, page.short)
                brought_back += sum(answer for answer in answers.values() if isinstance(answer, int))

        self._check(look)
        return brought_back

    def _wait_for_healing(self) -> None:
        self._let_them_tell()
        before = better_ms = -1
        most = 0
        while True:
            self._check_cancelled()
            status = self._gateway.namenode.status()
            left, now_ms = status.under_replicated, self._gateway.monotonic_ms()
            most = max(most, left)
            self._tell(Steps("healing", most - left, most))
            if left != before:
                before, better_ms = left, now_ms
            if not left or now_ms - better_ms > (COPY_PATIENCE_MS if status.healing else PATIENCE_MS):
                return
            self._gateway.pause(POLL_MS)


def _result(call: Call) -> Answer:
    try:
        answer: Answer = call.result()
    except StorageNodeError as error:
        return error
    return answer
