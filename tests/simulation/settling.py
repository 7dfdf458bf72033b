"""After the faults: everything must come to rest, whole, and nothing may have been lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.model import FsckReport, Version
from tests.simulation.faults import rot_one
from tests.simulation.filesystem import files_below
from tests.simulation.oracle import require
from tests.simulation.scheduler import Nobody
from tests.simulation.workloads import Client, Workload
from tests.simulation.world import World

STEP_MS = 1_000
CLIENTS_MS = 300_000
"""The last calls of all clients have ended by then."""
STAYS_MS = 5_000
REST_MS = 400_000
"""From the end of the faults until all is at rest: leases, claims, grace, readings that nobody ended, time in the trash
and copies that failed all take their time."""
BRINK_MS = 3_000
"""What has less time left in the trash may be gone when it is asked for."""


def settle(world: World, workload: Workload) -> None:
    _wait_for_clients(world, workload)
    _wait_for_strays(world)
    _come_to_rest(world)
    if world.plan.checkpoints and world.oracle.checkpointed:
        world.lose_catalog()
        world.scheduler.run(world.namenode_off_until_ms)
        _come_to_rest(world)
    world.trace.note("all is well")


def _come_to_rest(world: World) -> None:
    _take_operators_words_back(world)
    _wait_for_rest(world, _nodes_away)
    _let_replicas_rot(world)
    _read_among_bad_replicas(world)
    _scrub(world)
    _wait_for_rest(world, _unrest)
    _check_that_it_stays(world)
    _forget_lost_nodes(world)
    _read_everything(world)
    _compare_by_fsck(world)


def _wait_for_clients(world: World, workload: Workload) -> None:
    _run_until(world, workload.over, lambda: f"these clients never came back: {workload.addresses}")


def _wait_for_strays(world: World) -> None:
    network = world.network
    _run_until(world, lambda: not network.strays, lambda: f"{network.strays} calls were never answered")


def _run_until(world: World, is_over: Callable[[], bool], broken: Callable[[], str]) -> None:
    """broken: the promise that it would be over in time."""
    end_ms = world.now_ms + CLIENTS_MS
    while not is_over():
        require(world.now_ms < end_ms, broken())
        world.scheduler.run(world.now_ms + STEP_MS)


def _as_client(world: World, act: object, name: str) -> None:
    """Run something in a client of its own, to its end."""
    client = Client(world, name)
    assert callable(act)
    task = world.scheduler.spawn(Nobody(), lambda: act(client), name)
    _run_until(world, lambda: task.done, lambda: f"{name} never came back")


def _take_operators_words_back(world: World) -> None:
    def act(client: Client) -> None:
        for node in client.store.nodes():
            client.operate("recover", node.id)
            client.operate("undrain", node.id)

    _as_client(world, act, "last operator")


def _let_replicas_rot(world: World) -> None:
    rng = world.rng("last rot")
    for machine in world.machines:
        told = rot_one(world, machine, rng)
        if told is not None:
            world.trace.fault("rot", told)


def _read_among_bad_replicas(world: World) -> None:
    """Nothing has been looked through since the last fault: what is read now must be right all the same."""

    def act(client: Client) -> None:
        for name, newest in sorted(world.oracle.live.items()):
            client.read(name)
            for version in world.oracle.versions_of(name, newest):
                client.read_version(name, version)

    _as_client(world, act, "reader")


def _scrub(world: World) -> None:
    """Find what went bad unnoticed; the nodes tell of it with their heartbeats."""
    _as_client(world, Client.scrub, "scrub")
    world.scheduler.run(world.now_ms + world.config.down_after_ms)


def _wait_for_rest(world: World, reason: Callable[[World], str]) -> None:
    end_ms = world.now_ms + REST_MS
    told = ""
    while unrest := reason(world):
        require(world.now_ms < end_ms, f"it never came to rest: {unrest}")
        if unrest != told:
            world.trace.note(f"no rest yet: {unrest[:200]}")
            told = unrest
        world.scheduler.run(world.now_ms + STEP_MS)


def _nodes_away(world: World) -> str:
    process = world.namenode
    if process is None or process.namenode is None:
        return "there is no NameNode"
    members = process.namenode._state.members
    up = {member.id for member in members if member.state == "up"}
    away = [machine.address for machine in world.machines if machine.node_id not in up]
    return f"nodes are not up: {away}" if away else ""


def _check_that_it_stays(world: World) -> None:
    """Nothing is copied or trimmed any more when nothing happens."""
    before = _replicas(world)
    world.scheduler.run(world.now_ms + STAYS_MS)
    after = _replicas(world)
    moved = [
        chunk_id
        for chunk_id, (wanted, places) in before.items()
        if chunk_id in after and after[chunk_id][0] == wanted and after[chunk_id][1] != places
    ]
    require(not moved, f"replicas move although nothing happens: {moved}")


def _replicas(world: World) -> dict[str, tuple[int, list[str]]]:
    """How many replicas are wanted of the chunks that versions count, and where there are some."""
    return {
        need.chunk.id: (need.wanted, [machine.address for machine in world.checks.holders(need.chunk.id)])
        for need in world.oracle.replay.needs()
    }


def _forget_lost_nodes(world: World) -> None:
    """Nodes whose disks were replaced are gone for good: nothing is needed from them, but for what a catalog that was
    put back counts again and is removed."""
    assert world.namenode is not None
    assert world.namenode.namenode is not None
    state = world.namenode.namenode._state
    present = {machine.node_id for machine in world.machines}
    lost = [member for member in state.members if member.id not in present]

    def act(client: Client) -> None:
        for member in lost:
            client.operate("forget", member.id)

    _as_client(world, act, "undertaker")
    left = [member.name for member in state.members if member.id not in present]
    without = {chunk_id for chunk_id, health in state.redundancy.unhealthy.items() if health == "lost"}
    require(not left or (without and without <= world.oracle.removed), f"{left} can't be forgotten")


def _compare_by_fsck(world: World) -> None:
    """Its own tool finds nothing wrong either."""
    reports: list[FsckReport | None] = []
    _as_client(world, lambda client: reports.append(client.fsck(repair=False, deep=False)), "fsck")
    report = reports[0]
    require(report is not None, "fsck can't be run at the end")
    assert report is not None
    few = bool(world.oracle.removed) or any(need.wanted > len(world.machines) for need in world.oracle.replay.needs())
    clean = report.clean or few
    missing = report.missing and not world.oracle.removed
    require(clean and not missing and not report.catalog, f"fsck is not content: {replace(report, quarantined=())}")


def _unrest(world: World) -> str:
    """What is still to be done; empty if nothing is."""
    if away := _nodes_away(world):
        return away
    assert world.namenode is not None
    assert world.namenode.namenode is not None
    state = world.namenode.namenode._state
    redundancy = state.redundancy
    present = {machine.node_id for machine in world.machines}
    reasons = {
        "safe mode": state.safe_mode,
        "changes": [machine.address for machine in world.machines if world.checks.changing(machine)],
        "leases": [upload.lease.id for upload in state.leases],
        "unhealthy chunks": _unhealthy(world),
        "surplus": list(redundancy.surplus),
        "copies": len(state.healer),
        "overdue": world.oracle.overdue(world.namenode.trash_since_ms),
        "leftovers": state.catalog.leftover(),
        "garbage": [
            chunk.id for chunk in redundancy.chunks.values() if not chunk.wanted and present & chunk.replicas.keys()
        ],
    }
    told = ", ".join(f"{what}: {which}" for what, which in reasons.items() if which)
    return told or _on_disks(world) or _off_the_books(world)


def _unhealthy(world: World) -> list[str]:
    """Chunks with fewer replicas than there can be."""
    assert world.namenode is not None
    assert world.namenode.namenode is not None
    redundancy = world.namenode.namenode._state.redundancy
    lacking = []
    for chunk_id, health in redundancy.unhealthy.items():
        chunk = redundancy.chunks[chunk_id]
        holders = len(redundancy.holders(chunk, ("counts",)))
        gone = chunk_id in world.oracle.removed and not world.checks.holders(chunk_id)
        if holders < min(chunk.wanted, len(world.machines)) and not gone:
            lacking.append(f"{chunk_id[:6]} {health} {holders} of {chunk.wanted}")
    return lacking


def _on_disks(world: World) -> str:
    """The same question, asked of the disks themselves."""
    wanted = {need.chunk.id: need.wanted for need in world.oracle.replay.needs()}
    for chunk_id in world.oracle.removed.intersection(wanted):
        if not world.checks.holders(chunk_id):
            del wanted[chunk_id]
    for chunk_id, count in wanted.items():
        holders = world.checks.holders(chunk_id)
        if len(holders) != min(count, len(world.machines)):
            return f"{chunk_id[:6]} has {len(holders)} good replicas of {count}"
    for machine in world.machines:
        orphans = [chunk_id for chunk_id in world.checks.chunks_on(machine) if chunk_id not in wanted]
        if orphans:
            return f"{machine} keeps {orphans}"
        if not machine.place.may_litter and list(files_below(f"{machine.disk.directory}/incoming")):
            return f"{machine} has half-written files"
    return ""


def _off_the_books(world: World) -> str:
    """Each storage node serves the files that are on its disk, and no others."""
    differing = ((machine, world.checks.off_the_books(machine)) for machine in world.machines)
    return ", ".join(
        f"{machine} differs from its disk: {sorted(chunk_ids)}" for machine, chunk_ids in differing if chunk_ids
    )


def _read_everything(world: World) -> None:
    """Every version that was acknowledged is there, byte for byte, and what was deleted is not, as long as nobody takes
    it out of the trash."""
    assert world.namenode is not None
    assert world.namenode.catalog is not None
    world.oracle.check_replay(world.namenode.catalog)

    def act(client: Client) -> None:
        for name, newest in sorted(world.oracle.live.items()):
            _read_artifact(client, name, newest)
        _delete_some(client)
        for name in sorted(world.oracle.deleted()):
            require(client.misses(name), f"{name} was deleted and is not called missing")
        _take_out_of_trash(client)

    _as_client(world, act, "last reader")


def _read_artifact(client: Client, name: str, newest: Version) -> None:
    oracle = client.world.oracle
    if oracle.is_whole(newest):
        require(client.read(name) is not None, f"{name} can't be read at the end")
    for version in oracle.versions_of(name, newest):
        require(client.read_version(name, version) is not None, f"{name} version {version} can't be read")


def _delete_some(client: Client) -> None:
    """So that something is in the trash that can surely come back."""
    world = client.world
    if world.config.trash_retention_ms >= 2 * BRINK_MS:
        for name in sorted(world.oracle.live)[::2]:
            require(client.delete(name) is not None, f"{name} can't be deleted at the end")


def _take_out_of_trash(client: Client) -> None:
    """What was deleted not long ago comes back as it was; what is on the brink of its end may or may not."""
    world = client.world
    for name in sorted(world.oracle.deleted()):
        assert world.namenode is not None
        since_ms = world.namenode.trash_since_ms
        surely = world.oracle.trash(since_ms + BRINK_MS).get(name)
        perhaps = world.oracle.trash(since_ms).get(name)
        if surely is not None:
            require(client.undelete(name) is not None, f"{name} does not come back from the trash")
            _read_artifact(client, name, surely)
        elif perhaps is None:
            require(client.undelete(name) is None, f"{name} came back although its time in the trash was over")
