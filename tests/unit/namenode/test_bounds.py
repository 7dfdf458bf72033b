"""Nothing in a NameNode grows without bound, however long it runs and whatever it is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import NotReady
from core.model import CopyChunk, FullReport, SendFullReport
from core.namenode import healing, reports
from tests.unit.namenode.conftest import MakeDriver
from tests.unit.namenode.driver import Driver, FakeNode, key_of

TEXT = b"one two three four five!"


def test_operations_are_remembered_by_count(make_driver: MakeDriver) -> None:
    driver = make_driver(operations_max=5)
    for number in range(20):
        driver.put(f"a{number}", b"data")
        driver.run(1_000)
    driver.run(12_000)
    remembered = [driver.catalog.done(f"operation-{number}") is not None for number in range(1, 21)]
    assert remembered == [False] * 15 + [True] * 5


def test_so_many_uploads_at_a_time_and_no_more(make_driver: MakeDriver) -> None:
    driver = make_driver(leases_max=3)
    leases = [driver.begin(f"a{number}", b"data") for number in range(3)]
    with pytest.raises(NotReady, match="3 uploads are under way"):
        driver.begin("one more", b"data")
    driver.namenode.commit(driver.now_ms, driver.send(leases[0], b"data"))
    driver.put("one more", b"data")


def test_uploads_of_the_former_namenode_count(make_driver: MakeDriver) -> None:
    driver = make_driver(leases_max=2)
    leases = [driver.begin(f"a{number}", b"data") for number in range(2)]
    driver.restart_namenode()
    driver.run(3_000)
    driver.begin("another", b"data")
    driver.send(leases[0], b"data")
    with pytest.raises(NotReady):
        driver.send(leases[1], b"data")


def test_failed_copies_are_remembered_to_a_bound(make_driver: MakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "FAILURES_MAX", 2)
    driver = make_driver(6)
    driver.put("a", TEXT)
    driver.run(2_000)
    obey = driver.obey

    def fail_copies(node: FakeNode, command: object) -> None:
        if isinstance(command, CopyChunk):
            node.failed_copies.append(command.chunk.id)
        else:
            obey(node, command)

    monkeypatch.setattr(driver, "obey", fail_copies)
    healer = driver.namenode._state.healer
    driver[1].kill()
    most = 0
    for _ in range(30):
        driver.run(1_000)
        most = max(most, len(healer._failures))
    assert most == 2


def test_a_report_that_never_comes_keeps_no_endless_list_of_changes(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "CHANGES_MAX", 50)
    driver.ignored = (SendFullReport,)
    driver[1].start()
    driver.run(1_000)
    session = driver.namenode._state.members[driver[1].id].session
    for number in range(40):
        for part in range(5):
            driver[1].store(key_of(bytes([number, part])))
        driver.run(1_000)
        assert len(session.changes) <= 51
    driver.ignored = ()
    driver.run(40_000)
    assert session.verified, "a report that comes at last puts everything right"
    assert driver.namenode.nodes(driver.now_ms)[0].chunks == 200


def test_a_page_that_its_report_has_not_is_ignored(driver: Driver) -> None:
    node = driver[1]
    report = FullReport(node.id, node.incarnation, 99, 7, 2, (key_of(b"data"),))
    session = driver.namenode._state.members[node.id].session
    for page in (7, 2, -1):
        driver.namenode.full_report(driver.now_ms, replace(report, page=page))
    assert session.pages == {}
