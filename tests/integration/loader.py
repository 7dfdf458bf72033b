"""Clients in a process of their own: `python -m tests.integration.loader DIRECTORY` joins the embedded cluster there,
works until its standard input ends, waits until the cluster is whole, verifies, and prints what happened as one JSON
document."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.workload import Clients, small
from core import connect
from core.cluster.launch import log_directory
from tests.integration.processes import eventually


def main(directory: str) -> int:
    with connect(data_dir=directory) as store:
        with Clients(store, small(4)) as clients:
            sys.stdin.read()
        eventually(lambda: not store.status().under_replicated)
        lost = clients.verify()
        tally = clients.tally
        log = next(Path(log_directory()).glob(f"python-core-driver-*_{os.getpid()}.log")).read_text()
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
