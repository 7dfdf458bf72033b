"""Settings fit each other, and the environment can set each of them or is refused in words."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from core.config import Config, write_quorum
from core.errors import ConfigurationFailure

NAMES = [field.name for field in fields(Config)]


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Config.from_environment({}) == Config()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_variable(name: str) -> None:
    default = getattr(Config(), name)
    config = Config.from_environment({f"DAME_{name.upper()}": str(default)})
    assert getattr(config, name) == default
    assert type(getattr(config, name)) is type(default)


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_that_is_no_number_is_named(name: str) -> None:
    variable = f"DAME_{name.upper()}"
    with pytest.raises(ConfigurationFailure) as refused:
        Config.from_environment({variable: "many"})
    assert variable in refused.value.message and "many" in refused.value.message


def test_a_variable_changes_its_setting_and_no_other() -> None:
    config = Config.from_environment({"DAME_CHUNK_SIZE_BYTES": "4", "DAME_ADDRESS": "auto", "CHUNK_SIZE_BYTES": "9"})
    assert config == Config(chunk_size_bytes=4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunk_size_bytes": 0},
        {"chunk_size_bytes": 65 * 2**20},
        {"replication": 0},
        {"replication": 17},
        {"keep_versions": -1},
        {"suspect_after_ms": 1_000},
        {"down_after_ms": 3_000},
        {"mass_failure_share": 0.0},
        {"mass_failure_share": 1.1},
        {"lease_ms": 20_000},
        {"catalog_ballast_bytes": -1},
        {"crashes_max": 0},
        {"operations_max": 0},
        {"leases_max": 0},
        {"straggler_ms": 20_000},
        {"transfer_window_chunks": 0},
        {"transfer_window_chunks": 65},
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationFailure) as refused:
        Config(**wrong)  # type: ignore[arg-type]
    assert refused.value.details["setting"] in refused.value.message


def test_a_setting_of_the_environment_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationFailure):
        Config.from_environment({"DAME_REPLICATION": "0"})


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().replication = 2  # type: ignore[misc]


@pytest.mark.parametrize("replication", range(1, 17))
def test_a_quorum_is_a_majority(replication: int) -> None:
    assert replication < 2 * write_quorum(replication) <= replication + 2
