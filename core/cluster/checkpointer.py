"""Keeps the catalog checkpointed: a thread beside the NameNode, which is a client of the store like any other."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path

from core.checkpoint.save import LAST_COPY_NAME, Checkpointer
from core.cluster.remote import LOST, RayGateway, ask_namenode
from core.cluster.threads import within
from core.config import Config
from core.errors import DameError

log = logging.getLogger("dame.checkpoints")

LOOK_MS = 1_000
"""How often it looks whether a checkpoint is due."""
PAUSE_MS = 20
"""After each MiB, which makes a checkpoint's pace 50 MiB/s at most."""
LAST_TIMEOUT_MS = 3_000
"""What the end of a cluster may be held up by a last checkpoint; it takes about a tenth of it."""


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
        except Exception as error:  # whatever it is, it is no reason to end the NameNode's process
            log.exception("making a checkpoint failed inside")
            with suppress(DameError):
                gateway.namenode.checkpoint_failed(f"it failed inside ({error!r}). Please report it.")


def last_checkpoint(directory: Path, config: Config) -> None:
    """One for a cluster that is about to end, if its catalog changed since the last one. Takes seconds at most, and
    what goes wrong is only written down: the next start makes one anyway."""
    cancel = threading.Event()
    try:
        status = ask_namenode("status", timeout_ms=LAST_TIMEOUT_MS)
        if status.checkpoint_edits_behind != 0 and status.nodes["up"] and not status.safe_mode:
            gateway = RayGateway(OwnSession(), config)
            last = Checkpointer(gateway, config, directory, lambda: None, LAST_COPY_NAME, cancel)
            within(LAST_TIMEOUT_MS / 1000, last.save)
    except (DameError, *LOST) as error:
        log.info("no last checkpoint: %s", error)
    finally:
        cancel.set()  # its thread may be left behind, and this process may connect to another cluster soon
