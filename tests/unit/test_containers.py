"""What the files of the cluster of containers repeat of others agrees with them. None of this needs an engine."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from core.config import Config
from RayServer import secrets, tls
from RayServer.settings import settings_of

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SETTINGS = {f"DAME_{field.name.upper()}": field.default for field in fields(Config)}


def compose() -> Any:
    return yaml.safe_load(COMPOSE)


def examples() -> dict[str, str]:
    """Variables of .env.example with the values shown there."""
    return dict(re.findall(r"^#(DAME_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def without_value() -> set[str]:
    """Variables that the containers get only if somebody sets them."""
    return {name for name, value in compose()["x-environment"].items() if value is None}


def test_requirements_of_the_image_are_the_dependencies_of_the_project() -> None:
    lines = (ROOT / "RayServer" / "requirements.txt").read_text().splitlines()
    (declared,) = re.findall(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    assert [line for line in lines if not line.startswith("#")] == re.findall(r'"(.+?)"', declared)


def test_the_example_shows_each_setting_with_its_default() -> None:
    defaults = dict(re.findall(r"\$\{(DAME_\w+):-(.*?)\}", COMPOSE))
    assert set(examples()) == set(defaults) | without_value()
    assert {name: examples()[name] for name in defaults} == defaults
    for name in without_value() & set(SETTINGS):
        assert float(examples()[name]) == SETTINGS[name], name


def test_each_setting_that_README_lists_reaches_the_containers() -> None:
    (table,) = re.findall(r"^## Settings$(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    listed = set(re.findall(r"`(DAME_\w+)`", table))
    assert listed
    assert listed <= without_value()


def test_a_verb_in_a_running_container_finds_the_certificates_that_were_made_there() -> None:
    given = compose()["x-environment"]
    made = settings_of({"RAY_AUTH_TOKEN_PATH": "/var/lib/dame/secrets/auth_token"})
    assert given["RAY_TLS_CA_CERT"] == str(made.secrets / secrets.AUTHORITY)
    assert given["RAY_TLS_SERVER_CERT"] == given["RAY_TLS_SERVER_KEY"] == str(made.run_directory / tls.OWN)
    assert given["RAY_USE_TLS"] == given["DAME_TLS"]


def test_every_service_is_closed_and_bounded() -> None:
    for name, service in compose()["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert service["mem_limit"] and service["shm_size"] and service["pids_limit"], name
        written = [
            volume for volume in service["volumes"] if volume.startswith("secrets:") and not volume.endswith(":ro")
        ]
        assert bool(written) == (name == "head"), "only the head writes the secrets"
        for port in service.get("ports", []):
            assert port.startswith("${DAME_PUBLISH:-127.0.0.1}:"), port
