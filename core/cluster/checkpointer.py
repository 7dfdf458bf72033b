"""Keeps the catalog checkpointed: a thread beside the NameNode, which is a client of the store like any other."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from core.checkpoint.save import Checkpointer
from core.cluster.remote import RayGateway
from core.config import Config
from core.errors import DameError

log = logging.getLogger("dame")

LOOK_MS = 1_000
"""How often it looks whether a checkpoint is due."""
PAUSE_MS = 20
"""After each MiB, which makes a checkpoint's pace 50 MiB/s at most."""


class OwnSession:
    """The connection of an actor's process: Ray made it, and it ends with the process."""

    description = "inside the cluster"

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def alive(self) -> bool:
        return True


def keep_checkpoints(directory: Path, config: Config) -> None:
    """For ever. The catalog in this directory is that of the NameNode of this process."""
    gateway = RayGateway(OwnSession(), config)
    checkpointer = Checkpointer(gateway, config, directory, pause=lambda: time.sleep(PAUSE_MS / 1000))
    while True:
        time.sleep(LOOK_MS / 1000)
        try:
            checkpointer.step()
        except DameError as error:
            log.warning("no checkpoint now: %s", error)
