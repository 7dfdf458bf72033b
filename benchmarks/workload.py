"""Clients that upload, update, read, delete and undelete at random, and know what they must find.

Everything comes from a seed. A client owns its names, so that what it was told of them is all that can have happened
to them: that makes it the oracle. Contents are recipes, made anew when they are needed and compared by their hash.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from blake3 import blake3

from core import ArtifactStore, DameError
from core.errors import ArtifactNotFound, ClusterUnreachable, Unavailable

KIB, MIB = 1024, 1024 * 1024
CHUNK_SIZES_BYTES = (None, None, 64 * KIB, MIB)
SHARED_CONTENTS = 8
"""Contents that all clients draw from now and then: the same chunks, wanted and given up by several artifacts."""
REFUSALS_KEPT = 20


@dataclass(frozen=True)
class Load:
    """How hard, and on what."""

    seed: int = 1
    clients: int = 3
    names: int = 12
    """Artifacts each client has at a time."""
    sizes_bytes: tuple[int, ...] = (0, 1, 100, 10 * KIB, 100 * KIB, MIB, 5 * MIB, 20 * MIB, 50 * MIB)
    """Upper bounds of the classes of sizes."""
    weights: tuple[int, ...] = (2, 2, 10, 25, 25, 20, 10, 4, 2)
    live_bytes_max: int = 300 * MIB
    """For each client: above it, it deletes until there is room."""
    pause_s: float = 0.05
    """Between two operations of one client."""
    undelete_within_s: float = 30.0
    """Later than this after its deletion, an artifact may have left the trash."""


def small(seed: int) -> Load:
    """For tests. Names and contents follow from the seed, so each test has one of its own."""
    return Load(seed, clients=2, sizes_bytes=(0, 100, 10 * KIB, 100 * KIB, 2 * MIB), weights=(1, 2, 4, 4, 2))


@dataclass(frozen=True)
class Content:
    """Two contents with the same key begin alike."""

    key: str
    size_bytes: int

    def data(self) -> bytes:
        return random.Random(self.key).randbytes(self.size_bytes)


@dataclass
class Artifact:
    """What its owner knows of one name."""

    name: str
    versions: list[Content] = field(default_factory=list)
    """Acknowledged, oldest first."""
    deleted_s: float | None = None
    """When it was deleted, while it is; monotonic."""
    doubt: list[Content] | None = None
    """Set by an operation that had no answer: the versions as they are if it took effect. The name is retired then."""

    @property
    def live(self) -> bool:
        return bool(self.versions) and self.deleted_s is None

    @property
    def size_bytes(self) -> int:
        return sum(content.size_bytes for content in self.versions)


@dataclass
class Tally:
    """What happened. Shared by all clients; `add` and `refuse` may be called from any thread."""

    done: Counter[str] = field(default_factory=Counter)
    """Operations that were answered, by kind."""
    written_bytes: int = 0
    read_bytes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Refusals, by operation and kind of error."""
    sentences: list[str] = field(default_factory=list)
    """The first of them."""
    lost: list[str] = field(default_factory=list)
    """Acknowledged, and then not found as it was."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, operation: str, *, written_bytes: int = 0, read_bytes: int = 0) -> None:
        with self._lock:
            self.done[operation] += 1
            self.written_bytes += written_bytes
            self.read_bytes += read_bytes

    def refuse(self, operation: str, name: str, error: DameError) -> None:
        with self._lock:
            self.refused[f"{operation}: {type(error).__name__}"] += 1
            if len(self.sentences) < REFUSALS_KEPT:
                self.sentences.append(f"{operation} {name}: {error}")

    def lose(self, what: str) -> None:
        with self._lock:
            self.lost.append(what)


class Client:
    """One client and its artifacts."""

    def __init__(self, store: ArtifactStore, load: Load, number: int, tally: Tally) -> None:
        self._store = store
        self._load = load
        self._number = number
        self._tally = tally
        self._rng = random.Random(f"{load.seed}/client-{number}")
        self._made = 0
        self.artifacts = [self._fresh() for _ in range(load.names)]
        self.retired: list[Artifact] = []

    def step(self) -> None:
        """One operation, whatever fits the artifact that the dice choose."""
        artifact = self._rng.choice(self.artifacts)
        if not artifact.live:
            operation = self._undelete if artifact.versions and self._rng.random() < 0.5 else self._upload
        elif sum(other.size_bytes for other in self.artifacts if other.live) > self._load.live_bytes_max:
            artifact = max((other for other in self.artifacts if other.live), key=lambda other: other.size_bytes)
            operation = self._delete
        else:
            operation = self._rng.choices((self._update, self._get, self._delete), (4, 5, 1))[0]
        operation(artifact)

    # --- Operations ---------------------------------------------------------------------------------------------

    def _upload(self, artifact: Artifact) -> None:
        content = self._draw(None)
        chunk_size = self._rng.choice(CHUNK_SIZES_BYTES)
        self._mutate(
            "upload",
            artifact,
            [content],
            lambda: self._store.upload(artifact.name, content.data(), chunk_size_bytes=chunk_size),
        )

    def _update(self, artifact: Artifact) -> None:
        content = self._draw(artifact.versions[-1])
        chunk_size = self._rng.choice(CHUNK_SIZES_BYTES)
        self._mutate(
            "update",
            artifact,
            [*artifact.versions, content],
            lambda: self._store.update(artifact.name, content.data(), chunk_size_bytes=chunk_size),
        )

    def _delete(self, artifact: Artifact) -> None:
        self._mutate("delete", artifact, [], lambda: self._store.delete(artifact.name))

    def _undelete(self, artifact: Artifact) -> None:
        assert artifact.deleted_s is not None
        late = time.monotonic() - artifact.deleted_s > self._load.undelete_within_s
        try:
            self._mutate(
                "undelete", artifact, list(artifact.versions), lambda: self._store.undelete(artifact.name), late
            )
        except ArtifactNotFound:
            artifact.versions, artifact.deleted_s = [], None

    def _mutate(
        self,
        operation: str,
        artifact: Artifact,
        after: list[Content],
        call: Callable[[], object],
        may_be_gone: bool = False,
    ) -> None:
        """Change an artifact whose versions are then `after`; none for one that is in the trash."""
        try:
            call()
        except ClusterUnreachable as error:
            self._tally.refuse(operation, artifact.name, error)
            artifact.doubt = after
            self.retired.append(artifact)
            self.artifacts[self.artifacts.index(artifact)] = self._fresh()
        except Unavailable as error:
            self._tally.refuse(operation, artifact.name, error)
        except DameError as error:
            if may_be_gone and isinstance(error, ArtifactNotFound):
                raise
            self._tally.lose(f"{operation} of {artifact.name} was refused: {error}")
        else:
            new = operation in ("upload", "update")
            self._tally.add(operation, written_bytes=after[-1].size_bytes if new else 0)
            artifact.deleted_s = None if after else time.monotonic()
            artifact.versions = after or artifact.versions

    def _get(self, artifact: Artifact) -> None:
        number = self._rng.choice((None, self._rng.randint(1, len(artifact.versions))))
        expected = artifact.versions[-1 if number is None else number - 1]
        try:
            data = self._store.get(artifact.name, number)
        except Unavailable as error:
            self._tally.refuse("get", artifact.name, error)
        except DameError as error:
            self._tally.lose(f"{artifact.name} version {number or 'newest'}: {error}")
        else:
            self._tally.add("get", read_bytes=len(data))
            if _digest(data) != _digest(expected.data()):
                self._tally.lose(f"{artifact.name} version {number or 'newest'} has other content")

    def _draw(self, before: Content | None) -> Content:
        load, rng = self._load, self._rng
        size_bytes = rng.choices(load.sizes_bytes, load.weights)[0]
        size_bytes = rng.randint(size_bytes // 2, size_bytes)
        if before is not None and rng.random() < 0.3:
            return Content(before.key, size_bytes)
        if rng.random() < 0.2:
            return Content(f"{load.seed}/shared-{rng.randrange(SHARED_CONTENTS)}", size_bytes)
        return Content(f"{load.seed}/{self._number}/{rng.getrandbits(64)}", size_bytes)

    def _fresh(self) -> Artifact:
        self._made += 1
        return Artifact(f"soak/{self._load.seed}/client-{self._number}/{self._made}")

    # --- The end ------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Read back every version of every artifact; what was deleted must be gone."""
        for artifact in self.artifacts:
            self._check(artifact, [artifact.versions if artifact.live else []])
        for artifact in self.retired:
            assert artifact.doubt is not None
            self._check(artifact, [artifact.versions if artifact.live else [], artifact.doubt])

    def _check(self, artifact: Artifact, possible: list[list[Content]]) -> None:
        found = self._read_back(artifact.name)
        if found not in [[_digest(content.data()) for content in versions] for versions in possible]:
            wanted = " or ".join(f"{len(versions)} versions" for versions in possible)
            self._tally.lose(f"{artifact.name}: {found if isinstance(found, str) else len(found)} instead of {wanted}")

    def _read_back(self, name: str) -> list[str] | str:
        """The hashes of all versions, oldest first; none for what is not there; a sentence if they can't be read."""
        try:
            history = self._store.history(name)
            return [_digest(self._store.get(name, version.version)) for version in reversed(history)]
        except ArtifactNotFound:
            return []
        except DameError as error:
            return str(error)


class Clients:
    """Clients at work, each in a thread of its own, from `__enter__` to `stop`."""

    def __init__(self, store: ArtifactStore, load: Load) -> None:
        self.tally = Tally()
        self._load = load
        self._clients = [Client(store, load, number, self.tally) for number in range(load.clients)]
        self._enough = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(client,)) for client in self._clients]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client end what it does. Raises what ended a client before."""
        self._enough.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def verify(self) -> list[str]:
        """What is not as it was acknowledged, once the clients have stopped and the cluster is whole."""
        for client in self._clients:
            client.verify()
        return self.tally.lost

    def _run(self, client: Client) -> None:
        try:
            while not self._enough.wait(self._load.pause_s):
                client.step()
        except BaseException as error:  # noqa: BLE001 - raised where the clients are stopped
            self._failures.append(error)


def _digest(data: bytes) -> str:
    return blake3(data).hexdigest()
