"""What to do when Ray does not let us in: its errors, which are written for programmers, as one sentence each."""

from __future__ import annotations

import platform
import re
from typing import NamedTuple

import ray

from core.doctor.facts import Cause

CLUSTER_VERSIONS = re.compile(r"cluster was started with:\s+Ray: (\S+)\s+Python: (\S+)")
"""Where Ray says what the cluster runs, when it refuses a process of other versions."""


class Advice(NamedTuple):
    cause: Cause
    sentence: str
    """How it goes on after "... can't be reached: "."""


def advice(error: BaseException) -> Advice:
    """What stands in the way, and what to do about it."""
    text = " ".join((str(error).strip().splitlines() or [type(error).__name__])[-1].split())  # the end of a traceback
    lowered = str(error).lower()
    if "token" in lowered or "unauthenticated" in lowered:
        return Advice(
            "token",
            "its token is missing or wrong. Copy ~/.ray/auth_token from the head, or name a copy of it by"
            " RAY_AUTH_TOKEN_PATH.",
        )
    if "version" in lowered and "mismatch" in lowered:
        return Advice("versions", _other_versions(str(error), text))
    return Advice(
        "other",
        f"{text[:300].rstrip('.')}. Check the address, that the cluster runs, and that ~/.ray/auth_token is its head's;"
        " `doctor` looks at all three.",
    )


def _other_versions(told: str, last_line: str) -> str:
    """What to do about a cluster of another Ray or Python, which can't read what this process sends."""
    here = f"Python {platform.python_version()} and Ray {ray.__version__}"
    there = CLUSTER_VERSIONS.search(told)
    if there is None:
        return f"it runs another version of Ray or Python than this machine, which has {here}. {last_line[:300]}"
    ray_there, python_there = there.groups()
    minor = ".".join(python_there.split(".")[:2])
    return (
        f"it runs Python {python_there} and Ray {ray_there}, and this machine {here}. Install the same Ray here, and"
        f" the same Python {minor} (the very same for `auto` and HOST:PORT), or run the command inside the cluster."
    )
