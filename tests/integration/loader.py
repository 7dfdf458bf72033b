"""Clients in a process of their own: `python -m tests.integration.loader WHERE` joins the embedded cluster in that
directory, or the one at that `ray://` address, works until its standard input ends, waits until the cluster is whole,
verifies, and prints what happened as one JSON document."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.workload import Clients, small
from core import connect
from core.cluster.launch import log_directory
from tests.integration.wholeness import wait_until_replicated


def main(where: str) -> int:
    outside = where.startswith("ray://")
    with connect(where) if outside else connect(data_dir=where) as store:
        with Clients(store, small(4)) as clients:
            sys.stdin.read()
        wait_until_replicated(store)
        lost = clients.verify()
        tally = clients.tally
        log = "" if outside else next(Path(log_directory()).glob(f"python-core-driver-*_{os.getpid()}.log")).read_text()
    told = {
        "done": tally.done,
        "refused": tally.refused,
        "sentences": tally.sentences,
        "lost": lost,
        "injected": log.count("Inject RPC"),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
