"""Ways into a cluster: start the embedded one, join one that runs, bring up the actors, leave no process behind."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import ray
from platformdirs import user_data_path
from ray._private import ray_constants
from ray.exceptions import RayError

import core
from core.cluster import KEPT_HEAD, OBJECT_STORE_BYTES, STORAGE_SLOT, remote, with_this_code
from core.cluster.actors import NAMENODE
from core.cluster.advice import advice
from core.cluster.checkpointer import last_checkpoint
from core.cluster.head import incarnation, knock
from core.cluster.threads import LastingThread, within
from core.cluster.token import check_token
from core.config import Config
from core.directory import DirectoryLock, lock_directory, make_directory, numbered, write_durably
from core.errors import ClusterUnreachable, ConfigurationFailure, Defect, DirectoryFailure, DirectoryInUse, NotReady
from core.protocol import PROTOCOL_VERSION, RELEASE
from core.token_file import ensure_token

OnStage = Callable[[str], None]

NODES_DEFAULT = 4
NODES_MAX = 64
"""Storage nodes in one embedded cluster: each is a process of about 80 MB."""

RAY_THREAD = LastingThread()

START_TIMEOUT_MS = 60_000
FIRST_NODE_TIMEOUT_MS = 180_000
"""For the first storage node: without any there is nothing to go on with, and the machine may be busy."""
START_ATTEMPTS = 4
SLOW_START = (
    "timed out during startup",
    "failed to start gcs",
    "starting ray client server failed",
    "proxy failed to connect to backend",
    "zombieprocess",
    "that broke the connection",
)
"""How Ray says that processes of its own did not start, or took longer than the 20 to 30 s it waits: another attempt is
all it takes. The last four are of `ray://`: its proxy forks a process for each client while gRPC's threads run, and on
a busy machine about every tenth of them crashes at once, or, under TLS, garbles the connection that it shares."""
HEAD_RESOURCE = "node:__internal_head__"


class Session(Protocol):
    """A connection to Ray that can be made, dropped and made anew."""

    description: str

    def open(self) -> None: ...
    def close(self) -> None: ...

    def alive(self) -> bool:
        """Whether Ray itself still answers, so that only what runs in it need be waited for."""


def open_gateway(
    address: str | None, data_dir: PathLike[str] | str | None, nodes: int | None, config: Config, on_stage: OnStage
) -> tuple[remote.RayGateway, str]:
    """Connect, and wait until the cluster can serve. Raises ClusterUnreachable, DirectoryFailure,
    ConfigurationFailure, ProtocolMismatch."""
    session: Session
    if address is None:
        directory = Path(data_dir) if data_dir is not None else user_data_path("dame")
        session = EmbeddedSession(directory.expanduser().absolute(), nodes, config, on_stage)
    elif data_dir is not None or nodes is not None:
        raise ConfigurationFailure(
            "A data directory and a number of nodes are for the embedded cluster; drop them or the address."
        )
    else:
        session = RemoteSession(address, config, on_stage)
    session.open()
    return remote.RayGateway(session, config), session.description


# --- The embedded cluster ---------------------------------------------------------------------------------------


class EmbeddedSession:
    """One Ray node on this machine, living as long as the process that started it. Others on the same directory join
    it.

    The directory holds `namenode/`, `storage/slot-N/` and `run/`: a lock held by the process that runs the cluster, and
    `session.json`, which tells others where it is.
    """

    def __init__(self, directory: Path, nodes: int | None, config: Config, on_stage: OnStage) -> None:
        if nodes is not None and not 1 <= nodes <= NODES_MAX:
            raise ConfigurationFailure(f"{nodes} storage nodes can't be started here; ask for 1 to {NODES_MAX}.")
        self.description = f"embedded in {directory}"
        self._directory = directory
        self._nodes = nodes
        self._config = config
        self._on_stage = on_stage
        self._lock: DirectoryLock | None = None

    def open(self) -> None:
        stay_on_loopback()
        run = self._directory / "run"
        make_directory(run)
        deadline = time.monotonic() + START_TIMEOUT_MS / 1000
        while True:
            try:
                self._lock = lock_directory(run)
            except DirectoryInUse:
                if self._join(run):
                    return
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                self._start_or_clean_up(run)
                return

    def close(self) -> None:
        try:
            if self._lock is not None:
                last_checkpoint(self._directory / "namenode", self._config)
                (self._directory / "run" / "session.json").unlink(missing_ok=True)
        finally:
            try:
                leave_ray()
            finally:
                if self._lock is not None:
                    self._lock.release()
                    self._lock = None

    def alive(self) -> bool:
        """Who started Ray's processes knows for sure; who joined asks, and on a busy machine may be wrong."""
        return ray_answers() if self._lock is None else ray_processes_live()

    # --- Joining ------------------------------------------------------------------------------------------------

    def _join(self, run: Path) -> bool:
        """Connect to the cluster that another process runs here. False while it is still starting or just ending."""
        try:
            session = json.loads((run / "session.json").read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            self._on_stage("waiting for the cluster that another process is starting here")
            return False
        self._on_stage("joining the running cluster")
        try:
            enter_ray(address=session["address"])
            wait_for_namenode()
        except (ClusterUnreachable, NotReady):
            leave_ray()
            return False
        except BaseException:
            leave_ray()
            raise
        return True

    # --- Starting -----------------------------------------------------------------------------------------------

    def _start_or_clean_up(self, run: Path) -> None:
        try:
            self._start(run)
        except BaseException:
            self.close()
            raise

    def _start(self, run: Path) -> None:
        (run / "session.json").unlink(missing_ok=True)  # of a process that was killed
        slots = self._slots()
        self._refuse_lost_catalog()
        self._on_stage("starting Ray")
        share_code_with_workers()
        ensure_token()
        enter_ray(
            address="local",
            num_cpus=0,
            resources={STORAGE_SLOT: slots},
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
        )
        self._on_stage("starting the NameNode")
        bring_up(str(self._directory / "namenode"), str(self._directory / "storage"), self._config)
        wait_for_namenode()
        self._wait_for_nodes(slots)
        address = ray.get_runtime_context().gcs_address
        write_durably(run / "session.json", json.dumps({"address": address, "pid": os.getpid()}).encode())

    def _slots(self) -> int:
        """As many as asked for, and never fewer than there are directories: what they hold must be served."""
        here = max(numbered(self._directory / "storage", "slot"), default=-1) + 1
        return max(here, self._nodes if self._nodes is not None else (here or NODES_DEFAULT))

    def _refuse_lost_catalog(self) -> None:
        """Chunks without their catalog: a new one would disown them."""
        catalog = self._directory / "namenode" / "catalog.sqlite"
        identities = list((self._directory / "storage").glob("slot-*/identity.json"))
        if identities and not catalog.exists():
            raise DirectoryFailure(
                f"{catalog} is gone, but {self._directory / 'storage'} holds the chunks it knew. "
                "`restore-catalog` puts the newest checkpoint in its place and says what may be missing; or give "
                "another --data-dir.",
                directory=str(self._directory),
            )

    def _wait_for_nodes(self, slots: int) -> None:
        """Until all storage nodes are up, or those that can be are and time has passed for the others."""
        started = time.monotonic()
        up = -1
        while time.monotonic() - started < (START_TIMEOUT_MS if up > 0 else FIRST_NODE_TIMEOUT_MS) / 1000:
            try:
                status = remote.ask_namenode("status")
            except (ClusterUnreachable, NotReady):
                continue  # busy starting; the deadline decides
            except Defect:
                return
            count = status.nodes["up"] + status.nodes["draining"] + status.nodes["drained"]
            if count != up:
                up = count
                self._on_stage(f"storage nodes {up}/{slots}")
            if up + status.nodes["failed"] >= slots and not status.safe_mode:
                return
            time.sleep(0.05)
        if up <= 0:
            raise ClusterUnreachable(
                f"None of the {slots} storage nodes came up within {FIRST_NODE_TIMEOUT_MS // 60_000} minutes; see"
                f" {log_directory()}."
            )


# --- A cluster that runs elsewhere ------------------------------------------------------------------------------


class RemoteSession:
    """A Ray cluster that somebody else runs; DAME's actors are started in it if they are not there yet."""

    def __init__(self, address: str, config: Config, on_stage: OnStage) -> None:
        self.description = address
        self._address = address
        self._config = config
        self._on_stage = on_stage
        self._head: tuple[str, str | None] | None = None
        """Address and incarnation of the head that this process is connected to; None by `ray://`."""

    def open(self) -> None:
        self._on_stage(f"connecting to {self._address}")
        try:
            enter_ray(address=self._address, runtime_env={"py_modules": [str(Path(core.__file__).parent)]})
            if not self._address.startswith("ray://"):
                gcs = ray.get_runtime_context().gcs_address
                self._head = gcs, incarnation(gcs)
            self._on_stage("looking for the NameNode")
            with remote.translated():
                if KEPT_HEAD not in ray.cluster_resources():
                    bring_up(None, None, self._config)
            wait_for_namenode()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        leave_ray()

    def alive(self) -> bool:
        """Ray ends a process that asks another head than its own for the nodes."""
        return (self._head is None or incarnation(self._head[0]) == self._head[1]) and ray_answers()


# --- What both need ---------------------------------------------------------------------------------------------


def stay_on_loopback() -> None:
    """Make Ray listen on 127.0.0.1 only: closed to strangers, and unmoved when a laptop changes its network.

    Ray takes 127.0.0.1 for "find a reachable address" unless it believes itself on a system without clusters. Its
    processes read the variable; this one has read it already if it imported ray before.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def share_code_with_workers() -> None:
    """Let the processes that Ray starts on this machine import this very copy of core."""
    os.environ["PYTHONPATH"] = with_this_code(os.environ.get("PYTHONPATH", ""))


def enter_ray(**arguments: Any) -> None:
    """`ray.init` with our settings. Raises ClusterUnreachable with what to do."""
    if ray.is_initialized():
        raise ConfigurationFailure("This process is connected to Ray already; call ray.shutdown() before connect().")
    ray._raylet.Config.initialize("")  # whoever imported ray before us had it read an environment without our settings
    for attempts_left in reversed(range(START_ATTEMPTS)):
        try:
            knock(arguments["address"])
            check_token(arguments["address"])
            RAY_THREAD.run(lambda: _init_ray(**arguments))
            return
        except Exception as error:
            if attempts_left and any(sentence in str(error).lower() for sentence in SLOW_START):
                leave_ray()
                continue
            cause, sentence = advice(error)
            where = _where(arguments["address"])
            raise ClusterUnreachable(f"{where} can't be reached: {sentence}", cause=cause) from error


def _init_ray(**arguments: Any) -> None:
    ray.init(namespace=remote.NAMESPACE, log_to_driver=False, logging_level=logging.ERROR, **arguments)


def ray_answers() -> bool:
    """Whether Ray's head answers and has a node that is alive."""
    try:
        nodes = within(remote.LOOKUP_TIMEOUT_S, ray.nodes)
    except remote.LOST:
        return False
    return any(node["Alive"] for node in nodes)


def ray_processes_live() -> bool:
    """Whether the GCS and the raylet that this process started both run."""
    node = ray._private.worker._global_node
    if node is None:
        return False
    dead = {kind for kind, _ in node.dead_processes()}
    return not dead & {ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET}


def leave_ray() -> None:
    remote.forget_all()
    with suppress(RayError, ConnectionError):  # the other side may be gone, which is why we leave
        ray.shutdown()


def bring_up(namenode_directory: str | None, storage_root: str | None, config: Config) -> None:
    """Start the NameNode on the head if it does not run yet; it starts the storage nodes.

    Directories that are None are each machine's own business: its environment says, or its user data directory is used.
    """
    NAMENODE.options(
        name=remote.NAMENODE_NAME,
        namespace=remote.NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        resources={HEAD_RESOURCE: 0.001},
    ).remote(namenode_directory, storage_root, config)


def wait_for_namenode() -> None:
    """Until it answers. Raises its refusal (DirectoryFailure), ProtocolMismatch, or ClusterUnreachable."""
    deadline = time.monotonic() + START_TIMEOUT_MS / 1000
    while True:
        try:
            remote.ask_namenode("meet", PROTOCOL_VERSION, RELEASE)
            remote.ask_namenode("status")
            return
        except Defect:
            return  # who can't connect can't `resume`
        except ClusterUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def log_directory() -> str:
    """Where Ray writes the logs of this cluster's processes."""
    return str(Path(ray._private.worker._global_node.get_logs_dir_path()))


def _where(address: str) -> str:
    return "The embedded Ray cluster" if address == "local" else f"The Ray cluster at {address}"
