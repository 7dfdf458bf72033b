"""The doctor's visit: gather, look, judge. Importing it imports ray."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from platformdirs import user_data_path

from core.cluster import OBJECT_STORE_BYTES
from core.cluster import examine as cluster
from core.config import Config
from core.doctor import access, disks, gather, health, identities, machines
from core.doctor.facts import ClusterFacts, Directory, Facts, Link, LinkState, Port, Token
from core.doctor.finding import DoctorReport, Finding, report
from core.errors import ClusterUnreachable


@dataclass(frozen=True)
class Place:
    """Which cluster is meant, and where it is."""

    description: str
    embedded: bool
    state: LinkState
    session: str
    """Ray's address, to enter by; empty if there is none."""
    head: str
    """The same as `ray://HOST:PORT` or `HOST:PORT`."""
    directories: tuple[Directory, ...]


def examine(address: str | None = None, data_dir: PathLike[str] | str | None = None) -> DoctorReport:
    """Look at everything that can be looked at from here. The arguments are those of `connect`.

    No cluster is started, and none need be reachable. Raises ConfigurationFailure for a setting that can't be used.
    """
    config = Config.from_environment()
    if address is None:
        place = _embedded((Path(data_dir) if data_dir is not None else user_data_path("dame")).expanduser().absolute())
    else:
        place = _elsewhere(address)
    token = gather.token_facts(os.environ, Path.home())
    ports = gather.knocked(gather.head_ports(place.head, place.embedded))
    link, answers = _visit(place, token, ports)
    facts = Facts(
        here=gather.process_facts(cluster.RAY_VERSION),
        token=token,
        ports=ports,
        directories=place.directories,
        link=link,
        cluster=answers,
        object_store_bytes=OBJECT_STORE_BYTES if place.embedded else 0,
    )
    return report(diagnose(facts, config))


def diagnose(facts: Facts, config: Config) -> list[Finding]:
    """Every check, in the order in which a person would ask."""
    return [
        *access.check_link(facts),
        *access.check_token(facts),
        *access.check_ports(facts),
        *machines.check_versions(facts),
        *health.check_namenode(facts),
        *health.check_nodes(facts, config),
        *health.check_replicas(facts),
        *health.check_checkpoint(facts, config),
        *disks.check_storage_disks(facts, config),
        *disks.check_catalog_disk(facts),
        *machines.check_shared_memory(facts),
        *machines.check_clocks(facts),
        *identities.check_identities(facts),
    ]


def _embedded(root: Path) -> Place:
    session = gather.running_session(root / "run")
    return Place(
        description=f"embedded in {root}",
        embedded=True,
        state="stopped" if session is None else "reached" if session else "starting",
        session=session or "",
        head=session or "",
        directories=gather.directories(root / "namenode", root / "storage"),
    )


def _elsewhere(address: str) -> Place:
    """Only directories that the environment names are looked at: the user's data directory may be another cluster's."""
    namenode, storage = (os.environ.get(name) for name in ("DAME_NAMENODE_DIR", "DAME_STORAGE_DIR"))
    return Place(
        description=f"at {address}",
        embedded=False,
        state="reached",
        session=address,
        head=cluster.head_address(address),
        directories=gather.directories(Path(namenode) if namenode else None, Path(storage) if storage else None),
    )


def _visit(place: Place, token: Token, ports: Sequence[Port]) -> tuple[Link, ClusterFacts]:
    """Enter, if nothing that is known already stands in the way, and ask."""
    link = Link(place.description, place.embedded, place.state)
    if place.state != "reached":
        return link, ClusterFacts()
    refused = None if cluster.inside() else _obstacle(link, place, token, ports)
    if refused is not None:
        return refused, ClusterFacts()
    try:
        with cluster.entered(place.session, place.embedded):
            return link, cluster.look()
    except ClusterUnreachable as error:
        cause = error.details.get("cause", "other")
        return Link(link.place, link.embedded, "refused", str(error), cause), ClusterFacts()


def _obstacle(link: Link, place: Place, token: Token, ports: Sequence[Port]) -> Link | None:
    """What would keep Ray busy for minutes, or make it end this process."""
    if token.mode == "token" and token.state != "there" and (token.named or not place.embedded):
        return Link(link.place, link.embedded, "refused", f"There is no token to show: {token.source}.", "token")
    if not place.head:
        return Link(link.place, link.embedded, "refused", "No Ray process runs on this machine.", "other")
    for port in ports:
        if port.needed and port.trouble:
            told = f"Nothing answers at {port.place} ({port.what}): {port.trouble}."
            return Link(link.place, link.embedded, "refused", told, "other")
    return None
