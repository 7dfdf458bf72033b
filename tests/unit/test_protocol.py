"""Releases that do not understand each other say so, and nothing else is said."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest

from core import protocol
from core.config import Config
from core.errors import DirectoryFailure, ProtocolMismatch
from core.protocol import PROTOCOL_OLDEST, PROTOCOL_VERSION, RELEASE
from tests.inprocess import Cluster
from tests.unit.namenode.driver import Driver

NEWER = PROTOCOL_VERSION + 1
OLDER = PROTOCOL_OLDEST - 1


def test_the_release_is_that_of_the_package() -> None:
    project = (Path(protocol.__file__).parents[1] / "pyproject.toml").read_text()
    assert re.findall(r'^version = "(.*)"$', project, re.MULTILINE) == [RELEASE]
    assert 1 <= PROTOCOL_OLDEST <= PROTOCOL_VERSION


@pytest.mark.parametrize("number", [PROTOCOL_OLDEST, PROTOCOL_VERSION])
def test_a_client_that_is_understood_is_told_what_it_talks_to(number: int) -> None:
    assert protocol.meet(number, "0.0.9") == (PROTOCOL_VERSION, RELEASE)


def test_a_client_of_a_later_release_waits_for_the_head() -> None:
    with pytest.raises(ProtocolMismatch) as refusal:
        protocol.meet(NEWER, "9.0.0")
    assert refusal.value.message == (
        f"This client is DAME 9.0.0 (protocol {NEWER}), and the NameNode is DAME {RELEASE} (protocol"
        f" {PROTOCOL_VERSION}); upgrade the head first, or use DAME {RELEASE} there."
    )
    assert refusal.value.details["namenode_protocol"] == PROTOCOL_VERSION


def test_a_client_that_is_too_old_is_told_what_to_install() -> None:
    with pytest.raises(ProtocolMismatch, match=f"upgrade it to DAME {RELEASE}, as it is too old"):
        protocol.meet(OLDER, "0.0.1")


def test_clients_are_met_also_by_a_namenode_that_can_not_open_its_catalog(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, Config(), count=0)
    try:
        cluster.service.close()
        cluster.service.refusal = DirectoryFailure("no")
        assert cluster.service.ask(cluster.now_ms, "meet", PROTOCOL_VERSION, RELEASE) == (PROTOCOL_VERSION, RELEASE)
        with pytest.raises(ProtocolMismatch):
            cluster.service.ask(cluster.now_ms, "meet", NEWER, "9.0.0")
    finally:
        cluster.close()


def test_a_storage_node_of_another_release_does_not_take_part_and_is_told_of_once(tmp_path: Path) -> None:
    driver = Driver(tmp_path, nodes=1)
    try:
        stranger = replace(
            driver[1].registration(), node_id="stranger", directory="/data/new", protocol=NEWER, release="9.0.0"
        )
        for _ in range(2):
            with pytest.raises(ProtocolMismatch, match=r"The storage node in /data/new on host-1 is DAME 9\.0\.0"):
                driver.namenode.register(driver.now_ms, stranger)
        assert [node.name for node in driver.namenode.nodes(driver.now_ms)] == ["sn-01"]
        assert len([text for text in driver.texts() if "9.0.0" in text]) == 1
        driver.namenode.register(driver.now_ms, replace(stranger, protocol=PROTOCOL_VERSION, release=RELEASE))
        assert len(driver.namenode.nodes(driver.now_ms)) == 2, "once upgraded it joins"
    finally:
        driver.close()


def test_a_registration_carries_the_numbers_of_the_process_that_made_it(tmp_path: Path) -> None:
    """Also where it is unpickled by a process whose defaults are others."""
    driver = Driver(tmp_path, nodes=1)
    try:
        sent = pickle.dumps(driver[1].registration())
        assert vars(pickle.loads(sent))["protocol"] == PROTOCOL_VERSION
        assert vars(pickle.loads(sent))["release"] == RELEASE
    finally:
        driver.close()
