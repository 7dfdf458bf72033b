"""Ray's own refusals, made by Ray's own code, become one sentence that says what to do."""

from __future__ import annotations

import platform

import pytest

from core.cluster.advice import advice
from core.cluster.examine import RAY_VERSION

HERE = {"ray_version": RAY_VERSION, "python_version": platform.python_version()}


def refusal(level: str, **of_the_cluster: str) -> RuntimeError:
    """What Ray raises where the cluster differs; level: how much of Python's version must be the same."""
    from ray._private.utils import check_version_info  # not before core.cluster has set Ray's environment

    with pytest.raises(RuntimeError) as raised:
        check_version_info({**HERE, **of_the_cluster}, "Ray Client", python_version_match_level=level)
    return raised.value


def test_another_minor_version_of_python_over_ray_client() -> None:
    cause, told = advice(refusal("minor", python_version="3.99.4"))
    assert cause == "versions"
    assert told == (
        f"it runs Python 3.99.4 and Ray {RAY_VERSION}, and this machine Python {platform.python_version()} and Ray"
        f" {RAY_VERSION}. Install the same Ray here, and the same Python 3.99 (the very same for `auto` and"
        " HOST:PORT), or run the command inside the cluster."
    )


def test_another_patch_of_python_for_a_member_of_the_cluster() -> None:
    other = f"{platform.python_version().rpartition('.')[0]}.99"
    assert f"it runs Python {other} and Ray" in advice(refusal("patch", python_version=other)).sentence


def test_another_ray() -> None:
    cause, told = advice(refusal("minor", ray_version="2.1.0"))
    assert cause == "versions"
    assert "and Ray 2.1.0, and this machine" in told
    assert "\n" not in told and "Traceback" not in told


def test_versions_that_ray_tells_in_other_words() -> None:
    text = "Ray version mismatch: cluster has Ray version 2.1.0 but local Ray version is 2.2.0"
    assert advice(RuntimeError(text)).sentence.endswith(f"{RAY_VERSION}. {text}")


def test_a_token_that_is_missing_or_wrong() -> None:
    from ray._private.authentication import authentication_constants as ray_texts

    for text in (
        ray_texts.TOKEN_AUTH_ENABLED_BUT_NO_TOKEN_FOUND_ERROR_MESSAGE,
        ray_texts.TOKEN_INVALID_ERROR_MESSAGE,
        "rpc error: Unauthenticated",
    ):
        cause, told = advice(RuntimeError(text))
        assert cause == "token" and told.startswith("its token is missing or wrong.")
