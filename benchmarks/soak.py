"""Clients at work on real Ray while faults are injected, with an oracle that knows every byte; then a reckoning.

    python benchmarks/soak.py [--minutes 5] [--seed 1] [--clients 3] [--nodes 4] [--data-dir DIR]

Writes progress to standard error and one JSON document to standard output: what was done, faults by kind with the
times until they were seen and mended, the rate of repair beside a plain copy on the same disk, memory over time,
processes and open files before and after. The exit code is 1 if anything acknowledged was lost or changed, if
something leaked, or if the cluster did not become whole again; `failures` says which.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.incidents import Chaos, Incident, summary  # noqa: E402 - the project's root comes first on the path
from benchmarks.processes import Census, Sampler, Samples, family, identities, take_census  # noqa: E402
from benchmarks.workload import Clients, Load  # noqa: E402
from core import ArtifactStore, DameError, connect  # noqa: E402

MIB = 1024 * 1024
PROGRESS_EVERY_S = 15.0
GARBAGE_TIMEOUT_S = 240.0
COPY_BYTES = 256 * MIB
SETTINGS = {
    "DAME_TRASH_RETENTION_MS": "60000",
    "DAME_GARBAGE_GRACE_MS": "30000",
    "DAME_UNKNOWN_GRACE_MS": "60000",
    "DAME_LEASE_MS": "60000",
}
"""What is deleted goes within minutes, so that an hour's writing fits on the disk and its removal is part of the test.
The last is for NameNodes that are killed: each waits that long for uploads of the one before, and keeps garbage
meanwhile; at its default of an hour no garbage would ever go."""

PROCESSES_SPARE = 3
"""Ray keeps a few idle workers, more or fewer."""
DESCRIPTORS_SPARE = 64
"""Connections between processes that have met only during the soak."""
DESCRIPTORS_BOUND = {"log_monitor": 200}
"""Ray's log monitor keeps both files of each process that has ended open, until it has so many."""
SLOPE_MAX_BYTES_PER_HOUR = 64 * MIB
SLOPE_MAX_DESCRIPTORS_PER_HOUR = 64
"""More growth of one process is a leak."""
GROWTH_SHOWS_AFTER_MINUTES = 60
"""In so long a soak each process that is spared lives long enough to tell."""
REFUSED_SHARE_MAX = 0.01
"""Of the operations: clients wait for what comes back, so more than this is a cluster that takes nothing."""


@dataclass
class Soak:
    """One run, and what came of it."""

    options: argparse.Namespace
    directory: Path
    started: float = field(default_factory=time.monotonic)
    report: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        self.report["plain_copy_mb_per_s"] = plain_copy_mb_per_s(self.directory)
        with (
            connect(data_dir=self.directory, nodes=self.options.nodes) as store,
            Sampler(self.directory) as sampler,
        ):
            before = take_census()
            catalog_before = catalog_bytes(self.directory)
            clients, chaos = self._work(store)
            self._reckon(store, clients, chaos)
            after = take_census()
            self._compare(before, after)
            processes = identities(family(os.getpid())[1:])
            self.report["catalog_bytes"] = {"before": catalog_before, "after": catalog_bytes(self.directory)}
        self._judge_growth(sampler)
        self._judge_leftovers(after, processes)
        self.report["seconds"] = round(time.monotonic() - self.started, 1)

    # --- Under load ---------------------------------------------------------------------------------------------

    def _work(self, store: ArtifactStore) -> tuple[Clients, Chaos]:
        load = Load(seed=self.options.seed, clients=self.options.clients)
        clients = Clients(store, load)
        enough = threading.Event()
        seconds = self.options.minutes * 60
        deadline = time.monotonic() + seconds
        chaos = Chaos(
            store, self.directory, random.Random(f"{self.options.seed}/faults"), self.tell, deadline - seconds / 2
        )
        injector = threading.Thread(target=chaos.run, args=(enough,), name="faults")
        with clients:
            injector.start()
            try:
                while time.monotonic() < deadline and injector.is_alive():
                    time.sleep(min(PROGRESS_EVERY_S, max(0.1, deadline - time.monotonic())))
                    self._tell_progress(clients, chaos)
            finally:  # the fault of the moment is undone, and none is injected into what comes after
                enough.set()
                injector.join()
        return clients, chaos

    def _tell_progress(self, clients: Clients, chaos: Chaos) -> None:
        tally = clients.tally
        self.tell(
            f"{sum(tally.done.values())} operations, {tally.written_bytes // MIB} MiB written,"
            f" {tally.read_bytes // MIB} MiB read, {sum(tally.refused.values())} refused, {len(tally.lost)} lost,"
            f" {len(chaos.incidents)} faults"
        )

    # --- The end ------------------------------------------------------------------------------------------------

    def _reckon(self, store: ArtifactStore, clients: Clients, chaos: Chaos) -> None:
        if chaos.until_whole() is None:
            self.failures.append("not every node is up with every replica in its place")
        self.tell("reading everything back")
        lost = clients.verify()
        self.failures += [f"lost: {what}" for what in lost]
        tally = clients.tally
        self.report["workload"] = {
            "done": dict(tally.done),
            "written_bytes": tally.written_bytes,
            "read_bytes": tally.read_bytes,
            "refused": dict(tally.refused),
            "sentences": tally.sentences,
        }
        done, refused = sum(tally.done.values()), sum(tally.refused.values())
        if refused > done * REFUSED_SHARE_MAX:
            self.failures.append(f"{refused} operations were refused, and {done} done")
        self.report["faults"] = summary(chaos.incidents)
        self.report["repair_under_load"] = self._repair_rate(chaos.incidents)
        self.tell("measuring a repair without load")
        self.report["repair_alone"] = self._repair_rate([chaos.inject(chaos.fail_and_recover)])
        self.failures += chaos.failures
        self._await_removal(store)
        self._check_disks(store)

    def _repair_rate(self, incidents: list[Incident]) -> dict[str, float | int | None]:
        """Of the faults that took a whole node away."""
        repaired = sum(incident.repaired_bytes for incident in incidents)
        seconds = sum(incident.repair_s for incident in incidents if incident.repaired_bytes)
        rate = repaired / 1e6 / seconds if seconds else None
        plain = self.report["plain_copy_mb_per_s"]
        return {
            "bytes": repaired,
            "seconds": round(seconds, 1),
            "mb_per_s": None if rate is None else round(rate, 1),
            "of_plain_copy": None if rate is None else round(rate / plain, 2),
        }

    def _await_removal(self, store: ArtifactStore) -> None:
        """What was deleted must leave the disks as well."""
        self.tell("waiting until what was deleted is gone")
        deadline = time.monotonic() + GARBAGE_TIMEOUT_S
        status = store.status()
        while (status.garbage_bytes or status.trash) and time.monotonic() < deadline:
            time.sleep(0.5)
            status = store.status()
        self.report["garbage_bytes"], self.report["trash"] = status.garbage_bytes, status.trash
        if status.garbage_bytes or status.trash:
            self.failures.append(
                f"leaked: {status.garbage_bytes} bytes of garbage and {status.trash} artifacts in the trash"
            )

    def _check_disks(self, store: ArtifactStore) -> None:
        try:
            found = store.fsck()
        except DameError as error:
            self.failures.append(f"fsck: {error}")
            return
        self.report["fsck"] = {
            name: getattr(found, name)
            for name in ("clean", "chunks", "missing", "under", "surplus", "orphaned", "orphaned_bytes", "corrupt")
        }
        if not found.clean or found.orphaned:
            self.failures.append(f"fsck found the disks not as they should be: {found}")

    # --- Leaks --------------------------------------------------------------------------------------------------

    def _compare(self, before: Census, after: Census) -> None:
        self.report["census"] = {"before": asdict(before), "after": asdict(after)}
        if sum(after.processes.values()) > sum(before.processes.values()) + PROCESSES_SPARE:
            self.failures.append(f"leaked processes: {before.processes} before, {after.processes} after")
        for kind in ("NameNodeActor", "StorageNodeActor"):
            if after.processes.get(kind) != before.processes.get(kind):
                self.failures.append(
                    f"{after.processes.get(kind)} processes of {kind}, {before.processes.get(kind)} before"
                )
        for kind, count in after.descriptors.items():
            if count > DESCRIPTORS_BOUND.get(kind, before.descriptors.get(kind, count)) + DESCRIPTORS_SPARE:
                self.failures.append(f"leaked open files: {kind} has {count}, {before.descriptors[kind]} before")

    def _judge_growth(self, sampler: Sampler) -> None:
        self.report["processes"] = {role: samples.report() for role, samples in sorted(sampler.roles.items())}
        node = max(role for role in sampler.roles if role.startswith("slot-"))
        for role in ("namenode", node, "this"):  # the others are killed again and again
            self._judge_growth_of(role, sampler.roles[role])

    def _judge_growth_of(self, role: str, samples: Samples) -> None:
        memory, descriptors = samples.slope_bytes_per_hour(), samples.slope_descriptors_per_hour()
        if memory is None or descriptors is None:
            self.tell(f"no process lived long enough to tell how {role} grows")
            if self.options.minutes >= GROWTH_SHOWS_AFTER_MINUTES:
                self.failures.append(f"the growth of {role} could not be told")
            return
        if memory > SLOPE_MAX_BYTES_PER_HOUR:
            self.failures.append(f"memory of {role} grows by {memory / MIB:.0f} MiB per hour")
        if descriptors > SLOPE_MAX_DESCRIPTORS_PER_HOUR:
            self.failures.append(f"open files of {role} grow by {descriptors:.0f} per hour")

    def _judge_leftovers(self, running: Census, before: set[tuple[int, str]]) -> None:
        """With the cluster closed, nothing of it may be left, whoever its parent is now."""
        processes = identities(pid for pid, _ in before) & before | identities(family(os.getpid())[1:])
        shared = [name for name in running.shared_names if Path(name).exists()]
        self.report["left_after_close"] = {"processes": len(processes), "shared_memory": len(shared)}
        if processes:
            self.failures.append(f"{len(processes)} processes outlived the cluster")
        if shared:
            self.failures.append(f"shared memory outlived the cluster: {', '.join(shared)}")

    def tell(self, text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self.started:7.1f} s  {text}\n")
        sys.stderr.flush()


def plain_copy_mb_per_s(directory: Path) -> float:
    """One file copied to another on the same disk and fsynced, in pieces of a chunk."""
    source, target = directory / "copy-source", directory / "copy-target"
    _write_durably(source, lambda: [os.urandom(MIB) * 8] * (COPY_BYTES // (8 * MIB)))
    started = time.monotonic()
    with source.open("rb", buffering=0) as file:
        _write_durably(target, lambda: iter(lambda: file.read(8 * MIB), b""))
    seconds = time.monotonic() - started
    source.unlink()
    target.unlink()
    return round(COPY_BYTES / 1e6 / seconds, 1)


def _write_durably(path: Path, pieces: Callable[[], Any]) -> None:
    with path.open("wb", buffering=0) as file:
        for piece in pieces():
            file.write(piece)
        os.fsync(file.fileno())


def catalog_bytes(directory: Path) -> int:
    """Of SQLite's files, without the room that is kept beside them."""
    return sum(path.stat().st_size for path in (directory / "namenode").glob("catalog.sqlite*"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=5, help="how long clients work and faults are injected")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--data-dir", type=Path, help="a new directory; a temporary one unless told otherwise")
    options = parser.parse_args()
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray's native code writes to standard output what belongs to the errors
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory(prefix="dame-soak-", ignore_cleanup_errors=True) as temporary:
        directory = (options.data_dir or Path(temporary)).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        soak = Soak(options, directory)
        soak.run()
    document = {"seed": options.seed, "minutes": options.minutes, **soak.report, "failures": soak.failures}
    print(json.dumps(document), file=stdout, flush=True)
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
