"""What clients do, by the kind of run: each client is a process that may die at any moment and is followed by another.

mixed       all verbs, on a few names that all clients share
ring        one writer keeps a ring of artifacts whose members name one another; readers follow it
storm       everybody updates one name
abandoned   large uploads, most of whose writers die on the way
drain       the mix, while nodes are drained and taken back
crash loop  the mix, while the NameNode hardly stays up
full disks  the mix, with disks that are nearly full
"""

from __future__ import annotations

import random
from collections.abc import Callable

from core.errors import ArtifactNotFound, DameError, Rejected, Unavailable
from core.model import FsckReport, Version
from core.store import ArtifactStore
from tests.simulation.client import SimulatedGateway
from tests.simulation.oracle import Intent, require
from tests.simulation.scheduler import Nobody, Task
from tests.simulation.world import World

NAMES = ("a", "b", "c", "d", "e")
VERBS = ("upload", "update", "get", "piece", "version", "delete", "undelete", "purge", "look", "scrub", "fsck")
WHEN_LIVE = (0.7, 5, 3, 1, 2, 3, 0.5, 0.3, 1, 0.2, 0.2)
WHEN_GONE = (6, 0.7, 0.7, 0.3, 0.3, 0.5, 3, 0.7, 1, 0.2, 0.2)
"""How often which verb is used on an artifact that is there, or is not, as far as one who sees everything can tell."""
REPLICATE = 0.15
"""Where clients change the number of copies: in which share of their turns."""
AGAIN = 20
"""Of so many contents that were written last, one may be written once more."""
RING = 4
OPERATORS = ("operator1", "operator2")


class Client:
    """One client process: the shipping store, and what it was told."""

    def __init__(self, world: World, address: str) -> None:
        self.address = address
        self.paused_until_ms = 0
        self.world = world
        self.rng = world.rng(address)
        self._gateway = SimulatedGateway(world, address)
        self.store = ArtifactStore(self._gateway, world.config, address)
        self._oracle = world.oracle

    # --- Content ----------------------------------------------------------------------------------------------------

    def content(self, chunks_max: int = 10) -> bytes:
        """Some chunks, many of which others have used too; or all that was written once, and perhaps removed since."""
        if self.rng.random() < 0.25 and self.world.oracle.contents:
            return self.rng.choice(list(self.world.oracle.contents.values())[-AGAIN:])
        size_bytes = self.world.config.chunk_size_bytes
        pieces = [self._piece(size_bytes) for _ in range(self.rng.randint(0, chunks_max))]
        return b"".join(pieces) + self.rng.randbytes(self.rng.randrange(size_bytes))

    def _piece(self, size_bytes: int) -> bytes:
        if self.rng.random() < 0.5:
            return random.Random(f"{self.world.plan.seed}/{self.rng.randrange(12)}").randbytes(size_bytes)
        return self.rng.randbytes(size_bytes)

    # --- Verbs ------------------------------------------------------------------------------------------------------

    def write(self, kind: str, name: str, content: bytes) -> Version | None:
        replication = self.rng.choice((None, *self.world.plan.replications))
        run = self.store.upload if kind == "upload" else self.store.update
        keep_versions = self.rng.choice((None, None, None, 0, 1, 2))
        return self._mutate(
            Intent(kind, name, content),
            lambda: run(name, content, replication=replication, keep_versions=keep_versions),
        )

    def delete(self, name: str) -> Version | None:
        return self._mutate(Intent("delete", name), lambda: self.store.delete(name))

    def undelete(self, name: str) -> Version | None:
        return self._mutate(Intent("undelete", name), lambda: self.store.undelete(name))

    def purge(self, name: str) -> Version | None:
        return self._mutate(Intent("purge", name), lambda: self.store.purge(name))

    def replicate(self, name: str) -> Version | None:
        wanted = self.rng.choice((self.world.config.replication, *self.world.plan.replications))
        return self._mutate(Intent("replicate", name), lambda: self.store.replicate(name, wanted))

    def _mutate(self, intent: Intent, run: Callable[[], Version]) -> Version | None:
        """Ask, and hold the answer against what is true. None if it was refused, or nobody knows."""
        since = self._oracle.moment
        self._gateway.intent = intent
        self._note(f"{intent.kind} {intent.name} {len(intent.content)}")
        try:
            version = run()
        except DameError as error:
            self._note(f"{intent.kind} {intent.name}: {type(error).__name__}: {error}")
            self._oracle.refused(intent, error, since)
            self._check_foreseen(error)
            return None
        self._note(f"{intent.kind} {intent.name}: version {version.version}")
        self._oracle.acknowledged(self._gateway.operation, version)
        return version

    def read(self, name: str) -> bytes | None:
        since = self._oracle.moment
        try:
            content = self.store.get(name)
        except DameError as error:
            self._note(f"get {name}: {type(error).__name__}: {error}")
            self._oracle.refused(Intent("get", name), error, since)
            self._check_foreseen(error)
            return None
        self._note(f"get {name}: {len(content)}")
        self._oracle.was_read(name, content, since)
        return content

    def misses(self, name: str) -> bool:
        """Whether it is told that there is no artifact of this name."""
        try:
            self.store.get(name)
        except ArtifactNotFound:
            return True
        except DameError as error:
            self._note(f"get {name}: {type(error).__name__}: {error}")
        return False

    def read_version(self, name: str, version: int) -> bytes | None:
        since = self._oracle.moment
        known = self._oracle.versions()
        try:
            content = self.store.get(name, version)
        except DameError as error:
            self._note(f"get {name} {version}: {type(error).__name__}: {error}")
            self._oracle.version_was_refused(name, version, error, since)
            self._check_foreseen(error)
            return None
        self._note(f"get {name} {version}: {len(content)}")
        self._oracle.version_was_read(name, version, content, known)
        return content

    def read_piece(self, name: str) -> None:
        """Seek in an open stream and read on from there."""
        since = self._oracle.moment
        try:
            with self.store.open(name) as stream:
                first = stream.seek(self.rng.randrange(100))
                piece = stream.read(self.rng.randrange(1, 100))
        except DameError as error:
            self._note(f"open {name}: {type(error).__name__}: {error}")
            self._check_foreseen(error)
            return
        self._note(f"read {len(piece)} of {name} from {first}")
        self._oracle.piece_was_read(name, first, piece, since)

    def look(self) -> None:
        """Everything that only looks."""
        store = self.store
        kind = self.rng.choice(("list", "status", "nodes", "events", "info", "trash", "history"))
        since = self._oracle.moment
        try:
            if kind in ("info", "history"):
                getattr(store, kind)(self.rng.choice(NAMES))
            elif kind == "list":
                self._oracle.was_listed(store.list(), since)
            else:
                getattr(store, kind)()
        except DameError as error:
            self._note(f"{kind}: {type(error).__name__}: {error}")
            self._check_foreseen(error)

    def fsck(self, repair: bool, deep: bool) -> FsckReport | None:
        try:
            return self.store.fsck(repair=repair, deep=deep)
        except DameError as error:
            self._note(f"fsck: {type(error).__name__}: {error}")
            self._check_foreseen(error)
            return None

    def operate(self, verb: str, node: str) -> None:
        self._gateway.intent = Intent(verb, node)
        self._note(f"{verb} {node}")
        try:
            getattr(self.store, verb)(node)
        except DameError as error:
            self._note(f"{verb} {node}: {type(error).__name__}: {error}")
            self._check_foreseen(error)

    def scrub(self) -> None:
        try:
            self.store.scrub()
        except Unavailable as error:
            self._note(f"scrub: {type(error).__name__}")

    def pause(self, low_ms: int, high_ms: int) -> None:
        task = self.world.scheduler.current
        assert task is not None
        task.wait(self.rng.randint(low_ms, high_ms))

    def _note(self, text: str) -> None:
        self.world.trace.note(f"{self.address}: {text}")

    def _check_foreseen(self, error: DameError) -> None:
        require(isinstance(error, (Unavailable, Rejected)), f"{type(error).__name__} reached a client: {error}")


class Workload:
    """The clients of one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: dict[str, Task] = {}
        self._clients: dict[str, Client] = {}
        self._made = 0
        self._run: dict[str, Callable[[Client, int], None]] = {
            "ring": self._ring,
            "storm": self._storm,
            "abandoned": self._abandoned,
            "again": self._again,
        }

    @property
    def addresses(self) -> list[str]:
        return list(self._tasks)

    def begin(self) -> None:
        for seat in range(self._world.plan.clients):
            self._seat(seat)

    def over(self) -> bool:
        return not self._tasks

    def _seat(self, seat: int) -> None:
        """A client takes a seat; another one takes it when it dies."""
        self._made += 1
        client = Client(self._world, f"client{self._made}")
        act = self._run.get(self._world.plan.workload, self._mixed)

        def run() -> None:
            while self._world.stormy:
                act(client, seat)

        def leave() -> None:
            del self._tasks[client.address], self._clients[client.address]
            if self._world.stormy:
                self._world.scheduler.after(200, lambda: self._seat(seat) if self._world.stormy else None)

        self._clients[client.address] = client
        self._tasks[client.address] = self._world.scheduler.spawn(client, run, client.address, leave)

    def kill_client(self, rng: random.Random) -> str | None:
        addresses = [address for address in self._tasks if address.startswith("client")]
        if not addresses:
            return None
        address = rng.choice(addresses)
        self._tasks[address].kill()
        return address

    def stop_client(self, rng: random.Random) -> str | None:
        """Its process is stopped for a while and goes on, unaware (SIGSTOP)."""
        if not self._clients:
            return None
        client = rng.choice(list(self._clients.values()))
        duration_ms = rng.randint(500, 25_000)
        client.paused_until_ms = self._world.now_ms + duration_ms
        return f"{client.address} for {duration_ms} ms"

    # --- What one client does, again and again --------------------------------------------------------------------

    def _mixed(self, client: Client, seat: int) -> None:
        rng = client.rng
        client.pause(1, 1_000)
        name = rng.choice(NAMES)
        live = client.world.oracle.states(name, client.world.oracle.moment)[-1] is not None
        kind = rng.choices(VERBS, WHEN_LIVE if live else WHEN_GONE)[0]
        if client.world.plan.replicates and rng.random() < REPLICATE:
            kind = "replicate"
        if kind in ("upload", "update"):
            client.write(kind, name, client.content())
        elif kind == "get":
            client.read(name)
        elif kind == "version":
            client.read_version(name, rng.randint(1, 4))
        elif kind == "piece":
            client.read_piece(name)
        elif kind == "look":
            client.look()
        elif kind == "fsck":
            client.fsck(repair=rng.random() < 0.5, deep=rng.random() < 0.3)
        elif kind == "scrub":
            client.scrub()
        else:
            getattr(client, kind)(name)

    def _storm(self, client: Client, seat: int) -> None:
        client.pause(1, 1_000)
        kind = client.rng.choices(("update", "get", "version"), (6, 3, 1))[0]
        if kind == "update":
            live = client.world.oracle.states("hot", client.world.oracle.moment)[-1] is not None
            client.write("update" if live else "upload", "hot", client.content(3))
        elif kind == "get":
            client.read("hot")
        else:
            client.read_version("hot", client.rng.randint(1, 10))

    def _abandoned(self, client: Client, seat: int) -> None:
        client.pause(1, 500)
        name = f"large{client.rng.randrange(6)}"
        client.write(client.rng.choice(("upload", "update")), name, client.content(30))

    def _again(self, client: Client, seat: int) -> None:
        """The same content goes and comes back, about when its chunks are collected."""
        grace_ms = client.world.config.garbage_grace_ms
        name, content = f"again{seat}", client.rng.randbytes(2 * client.world.config.chunk_size_bytes)
        for _ in range(3):
            live = client.world.oracle.states(name, client.world.oracle.moment)[-1] is not None
            client.write("update" if live else "upload", name, content)
            client.read(name)
            client.delete(name)
            client.purge(name)
            client.pause(grace_ms, grace_ms + 3_000)

    # --- The ring -------------------------------------------------------------------------------------------------

    def _ring(self, client: Client, seat: int) -> None:
        if seat == 0:
            self._turn_ring(client)
        else:
            self._follow_ring(client)

    def _turn_ring(self, client: Client) -> None:
        """Write all members anew, each naming the one written before it, and then the head."""
        client.pause(1, 4_000)
        order = client.rng.sample(range(RING), RING)
        last: tuple[str, int] = ("", 0)
        for number in order:
            version = self._write_member(client, f"ring{number}", f"{last[0]} {last[1]} {client.rng.randrange(1_000)}")
            if version is None:
                return
            last = (version.name, version.version)
        self._write_member(client, "head", f"{last[0]} {last[1]} {client.rng.randrange(1_000)}")

    def _write_member(self, client: Client, name: str, text: str) -> Version | None:
        live = client.world.oracle.states(name, client.world.oracle.moment)[-1] is not None
        return client.write("update" if live else "upload", name, text.encode())

    def _follow_ring(self, client: Client) -> None:
        """From the head on, every member that is named must be there."""
        client.pause(1, 800)
        content = client.read("head")
        seen = set()
        while content is not None:
            name, version, _ = content.decode().split(" ")
            if not name:
                require(len(seen) == RING, f"the ring has only {sorted(seen)}")
                return
            seen.add(name)
            content = client.read_version(name, int(version))

    # --- Operators ------------------------------------------------------------------------------------------------

    def operate(self, rng: random.Random) -> str | None:
        """An operator fails or drains a node, and takes it back later, or strikes it off the cluster."""
        world = self._world
        free = [address for address in OPERATORS if address not in self._tasks]
        verb, undo = rng.choice((("drain", "undrain"), ("fail", "recover"), ("forget", "")))
        machines = [machine for machine in world.machines if machine.node_id]
        if verb == "forget":
            machines = [machine for machine in machines if machine.process is None]
        if not free or not machines:
            return None
        machine, patience_ms = rng.choice(machines), rng.randint(500, 15_000)
        client, node_id = Client(world, free[0]), machine.node_id

        def run() -> None:
            try:
                client.operate(verb, node_id)
                if undo:
                    client.pause(patience_ms, patience_ms)
                    client.operate(undo, node_id)
            finally:
                del self._tasks[client.address]

        self._tasks[client.address] = world.scheduler.spawn(Nobody(), run, client.address)
        return f"{verb} {machine} for {patience_ms} ms"
