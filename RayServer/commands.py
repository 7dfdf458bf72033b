"""What the entry point does: head, storage, run, health."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import core
from core.cluster.logs import start_logging
from core.directory import lock_directory, make_directory
from core.errors import ConfigurationFailure
from core.host import host_name
from core.token_file import make_token
from RayServer import claim, condition, processes
from RayServer.keeper import Keeper
from RayServer.raystart import HEAD, MEMBER, STORAGE, Part, ray_environment, storage_part
from RayServer.secrets import AUTHORITY
from RayServer.settings import Settings

STEP_S = 0.2
JOIN_PATIENCE_S = 120.0
DONE = 0
FAILED = 1
INTERRUPTED = 130

log = logging.getLogger("RayServer")


def head(settings: Settings) -> int:
    """Be the head until told to end."""
    if settings.tls:
        from RayServer import tls  # takes a while to import, and few need it

        if tls.make_authority(settings.secrets):
            log.info("made the cluster's authority of certificates: %s", settings.secrets / AUTHORITY)
    environment = ray_environment(settings)
    if not environment.get("RAY_AUTH_TOKEN") and make_token(settings.token_path):
        log.info("made the cluster's token: %s", settings.token_path)
    return _keep(HEAD, settings, environment, None)


def storage(settings: Settings) -> int:
    """Be a storage node until told to end, or all those whose directories are here already."""
    name = _container_name(settings)
    claimed = claim.claim(settings.storage_root, _number(settings, name))
    environment = ray_environment(settings)
    environment["DAME_STORAGE_DIR"] = str(claimed.directory)
    environment.setdefault("DAME_HOST", name or host_name())
    log.info("storage directory %s, as host %s", claimed.directory, environment["DAME_HOST"])
    try:
        return _keep(storage_part(claim.slots(claimed.directory)), settings, environment, claimed.directory)
    finally:
        claimed.lock.release()


def health(settings: Settings) -> int:
    """0 only if every part that runs on this machine does its work; says what it found."""
    found = []
    for part in (HEAD, STORAGE):
        path = settings.run_directory / part.role / condition.FILE_NAME
        if path.exists():
            found.append(condition.believed(condition.read(path)))
            sys.stdout.write(f"{part.role}: {found[-1].sentence}\n")
    if not found:
        sys.stdout.write(f"neither head nor storage runs here, by {settings.run_directory}\n")
    return DONE if found and all(seen.well for seen in found) else FAILED


def run(settings: Settings, words: Sequence[str]) -> int:
    """Join as a member without storage, run main.py on this terminal, and leave; its exit code is the answer."""
    place = _own_place(settings.run_directory, f"run-{os.getpid()}")
    with (place / "log").open("ab") as output, (place / "log").open("a") as log_lines:
        start_logging("RayServer/run", "RayServer", stream=log_lines)
        processes.adopt_orphans()
        keeper = Keeper(MEMBER, settings, ray_environment(settings), place, output=output.fileno())
        stop = _stop_signals(signal.SIGTERM, signal.SIGINT)
        try:
            if _join(keeper, place, stop):
                return _run_main(keeper, settings, words, stop)
            return INTERRUPTED if stop.is_set() else FAILED
        finally:
            keeper.stop()
            shutil.rmtree(place, ignore_errors=True)


def _join(keeper: Keeper, place: Path, stop: threading.Event) -> bool:
    """Until this machine is a member; says on standard error what it waits for. False if that is not to be."""
    deadline_s = time.monotonic() + JOIN_PATIENCE_S
    told = ""
    while not stop.is_set():
        keeper.step()
        seen = condition.read(place / condition.FILE_NAME)
        if seen.well:
            return True
        if seen.sentence != told:
            told = seen.sentence
            sys.stderr.write(f"dame: {told}\n")
        if time.monotonic() > deadline_s:
            sys.stderr.write(f"dame: not joined within {JOIN_PATIENCE_S:.0f} s. The end of Ray's log:\n")
            sys.stderr.write("".join((place / "log").read_text(errors="replace").splitlines(keepends=True)[-20:]))
            return False
        stop.wait(STEP_S)
    return False


def _run_main(keeper: Keeper, settings: Settings, words: Sequence[str], stop: threading.Event) -> int:
    """main.py in the foreground: Ctrl-C reaches it from the terminal, SIGTERM is passed on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    script = Path(core.__file__).resolve().parents[1] / "main.py"
    command = [sys.executable, str(script), "--address", settings.head, *words]
    main = subprocess.Popen(command, env=keeper.environment, preexec_fn=_heed_interrupts)  # noqa: PLW1509 - one thread
    spare = frozenset({main.pid})
    while main.poll() is None:
        if stop.is_set():
            main.terminate()
        keeper.step(spare)
        try:
            main.wait(STEP_S)
        except subprocess.TimeoutExpired:
            continue
    return main.returncode if main.returncode >= 0 else 128 - main.returncode


def _heed_interrupts() -> None:
    """A signal that is ignored stays so in a new program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _keep(part: Part, settings: Settings, environment: dict[str, str], directory: Path | None) -> int:
    """Keep a part running until SIGTERM or Ctrl-C, then end all that was started."""
    place = _own_place(settings.run_directory, part.role)
    lock = lock_directory(place)
    processes.adopt_orphans()
    stop = _stop_signals(signal.SIGTERM, signal.SIGINT)
    keeper = Keeper(part, settings, environment, place, directory)
    try:
        while not stop.is_set():
            keeper.step()
            stop.wait(STEP_S)
        log.info("told to end")
    finally:
        keeper.stop()
        lock.release()
    return DONE


def _own_place(run_directory: Path, name: str) -> Path:
    """A directory for what only matters while this process runs. Raises DirectoryFailure, ConfigurationFailure.

    By default it is in /tmp, where anybody could have put a directory of that name first.
    """
    make_directory(run_directory / name)
    if run_directory.stat().st_uid != os.geteuid():
        raise ConfigurationFailure(
            f"{run_directory} belongs to another user, who could replace what is in it; set DAME_RUN_DIR to a directory"
            " of your own."
        )
    return run_directory / name


def _stop_signals(*signals: signal.Signals) -> threading.Event:
    stop = threading.Event()
    for number in signals:
        signal.signal(number, lambda *_: stop.set())
    return stop


def _container_name(settings: Settings) -> str | None:
    if settings.replica != "auto":
        return None
    address = claim.own_address(settings.head_host, settings.gcs_port) or claim.main_address()
    name = claim.container_name(address)
    if name is None:
        log.warning("the DNS knows no name for this container; it takes the first storage directory that is free")
    return name


def _number(settings: Settings, name: str | None) -> int | None:
    if settings.replica.isdecimal():
        return int(settings.replica)
    return claim.number_of(name) if name is not None else None
