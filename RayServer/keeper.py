"""Keeps Ray's processes of this machine running, and the attendant beside them.

Nothing is mended in place: when one of Ray's processes ends, or the head that they belong to is no more, all of them
are ended and started anew on the same directories. Single-threaded; `step` is called a few times a second.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from core.token_file import has_token
from RayServer import condition, processes, sessions
from RayServer.raystart import HEAD, Part, ray_start
from RayServer.secrets import has_authority
from RayServer.settings import Settings

RAY_GRACE_S = 15.0
"""How long Ray's processes may take to end when told to."""
ATTENDANT_GRACE_S = 3.0
KNOCK_TIMEOUT_S = 2.0
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 15.0
LONG_RUN_S = 30.0
"""Ray that has run for so long is started again at once when it ends."""

log = logging.getLogger("RayServer")


class Keeper:
    """Ray's processes and the attendant, of one part. Call `stop` at the end, whatever happened."""

    def __init__(
        self,
        part: Part,
        settings: Settings,
        environment: dict[str, str],
        place: Path,
        directory: Path | None = None,
        output: int = 2,
    ) -> None:
        """The environment is what Ray's processes get. `place` is where the condition is written down, `directory` a
        storage machine's own. What the processes say goes to the descriptor `output`."""
        self.environment = environment
        self._part = part
        self._settings = settings
        self._condition = place / condition.FILE_NAME
        self._directory = directory
        self._output = output
        self._ray: subprocess.Popen[bytes] | None = None
        self._attendant: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._not_before_s = 0.0
        self._backoff_s = BACKOFF_FIRST_S
        self._waiting_for = ""
        self._tell("Ray's processes are being started")

    def step(self, spare: frozenset[int] = frozenset()) -> None:
        """Start what does not run and may, end what is of no use. `spare` are children of the caller's own."""
        processes.reap(spare | self._pids())
        if self._ray is None:
            self._start_ray(spare)
        elif (code := self._ray.poll()) is not None:
            log.warning("Ray's processes ended (exit code %d); they are started again", code)
            self._end_ray(spare)
            self._slow_down()
        elif self._attendant is None:
            self._start_attendant()
        elif (code := self._attendant.poll()) is not None:
            self._attendant = None
            if code == condition.STALE:
                log.warning("the head is another one now; Ray's processes here are started again for it")
                self._end_ray(spare)
            else:
                self._not_before_s = time.monotonic() + 1.0

    def stop(self, spare: frozenset[int] = frozenset()) -> None:
        """End all that was started here."""
        self._end_ray(spare)
        self._condition.unlink(missing_ok=True)

    # --- Ray ----------------------------------------------------------------------------------------------------

    def _start_ray(self, spare: frozenset[int]) -> None:
        if time.monotonic() < self._not_before_s or not self._may_start():
            return
        if self._part is HEAD:
            # Ray takes the address in it for a head that runs, if any of its processes on this machine knows it.
            (self._settings.ray_directory / "ray_current_cluster").unlink(missing_ok=True)
        log.info("starting Ray's processes: %s", self._part.role)
        if self._settings.tls:
            from RayServer import tls  # takes a while to import, and few need it

            self.environment.update(tls.certify(self._settings))
        sessions.prune(self._settings.ray_directory)
        self._started_s = time.monotonic()
        self._ray = processes.start(ray_start(self._part, self._settings), self.environment, self._output)

    def _may_start(self) -> bool:
        """A machine joins when there is a head, and a token to show it. Ray itself would fail after long tries."""
        waiting_for = ""
        if not self.environment.get("RAY_AUTH_TOKEN") and not has_token(self._settings.token_path):
            waiting_for = f"the token in {self._settings.token_path}"
        elif self._settings.tls and not has_authority(self._settings.secrets):
            waiting_for = f"the authority of certificates in {self._settings.secrets}"
        elif self._part is not HEAD:
            try:
                socket.create_connection((self._settings.head_host, self._settings.gcs_port), KNOCK_TIMEOUT_S).close()
            except OSError as error:
                waiting_for = f"the head at {self._settings.head} ({error.strerror or error})"
        if waiting_for and waiting_for != self._waiting_for:
            log.info("waiting for %s", waiting_for)
        if waiting_for:
            self._tell(f"waiting for {waiting_for}")
        self._waiting_for = waiting_for
        return not waiting_for

    def _slow_down(self) -> None:
        """Ray that ends again and again is started less and less often."""
        long_run = time.monotonic() - self._started_s > LONG_RUN_S
        if long_run:
            self._backoff_s = BACKOFF_FIRST_S
        else:
            self._not_before_s = time.monotonic() + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, BACKOFF_MAX_S)

    def _end_ray(self, spare: frozenset[int]) -> None:
        if self._attendant is not None:
            processes.end(self._attendant, ATTENDANT_GRACE_S)
        if self._ray is not None:
            processes.end(self._ray, RAY_GRACE_S)
        self._attendant = self._ray = None
        processes.end_descendants(spare)
        self._tell("Ray's processes are being started")

    # --- The attendant ------------------------------------------------------------------------------------------

    def _start_attendant(self) -> None:
        if time.monotonic() < self._not_before_s:
            return
        words = [sys.executable, "-m", "RayServer", "attend", self._part.role, str(self._condition)]
        if self._directory is not None:
            words.append(str(self._directory))
        self._attendant = processes.start(words, self.environment, self._output)

    def _tell(self, sentence: str) -> None:
        with suppress(OSError):  # a full or missing run directory makes `health` fail, as it should
            condition.write(self._condition, False, sentence)

    def _pids(self) -> frozenset[int]:
        return frozenset(child.pid for child in (self._ray, self._attendant) if child is not None)
