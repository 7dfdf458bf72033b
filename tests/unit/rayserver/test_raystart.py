"""The command that starts Ray, and what its processes are told."""

from __future__ import annotations

from pathlib import Path

import core
from RayServer.raystart import HEAD, MEMBER, RAY_SETTINGS, STORAGE, ray_environment, ray_start
from RayServer.settings import settings_of


def test_the_head_listens_where_it_is_told() -> None:
    words = ray_start(
        HEAD, settings_of({"DAME_HEAD": "head:7000", "DAME_CLIENT_PORT": "7001", "DAME_DASHBOARD_PORT": "7002"})
    )
    for word in (
        "--head",
        "--port=7000",
        "--ray-client-server-port=7001",
        "--include-dashboard=true",
        "--dashboard-port=7002",
        '--resources={"dame_head": 1}',
    ):
        assert word in words
    assert not any(word.startswith("--address") for word in words)


def test_a_dashboard_that_is_not_wanted_has_no_port() -> None:
    words = ray_start(HEAD, settings_of({"DAME_DASHBOARD_PORT": "0"}))
    assert "--include-dashboard=false" in words
    assert not any(word.startswith(("--dashboard-host", "--dashboard-port")) for word in words)


def test_a_storage_machine_offers_one_slot_to_the_head_it_joins() -> None:
    words = ray_start(STORAGE, settings_of({"DAME_HEAD": "head:7000"}))
    assert "--address=head:7000" in words and '--resources={"storage_slot": 1}' in words
    assert not any(word.startswith(("--head", "--port", "--include-dashboard")) for word in words)


def test_a_member_offers_nothing() -> None:
    assert "--resources={}" in ray_start(MEMBER, settings_of({}))


def test_fixed_ports_are_all_within_their_range_and_different() -> None:
    words = ray_start(STORAGE, settings_of({"DAME_PORTS": "20000-20099"}))
    ports = [int(word.partition("=")[2]) for word in words if "-port=" in word]
    assert len(set(ports)) == len(ports) == 8
    assert min(ports) == 20000 and max(ports) == 20099


def test_the_token_is_named_by_its_file_and_never_given_away(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame-open")
    settings = settings_of({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")})
    environment = ray_environment(settings, {})
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "sesame-open" not in " ".join([*ray_start(HEAD, settings), *environment.values()])


def test_processes_of_ray_import_this_very_core() -> None:
    environment = ray_environment(settings_of({}), {"PYTHONPATH": "/elsewhere"})
    root = str(Path(core.__file__).resolve().parents[1])
    assert environment["PYTHONPATH"] == f"{root}:/elsewhere"


def test_ray_gets_the_settings_that_are_for_it_alone() -> None:
    environment = ray_environment(settings_of({}))
    assert {name: environment[name] for name in RAY_SETTINGS} == RAY_SETTINGS
