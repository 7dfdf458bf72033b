"""Entering a Ray cluster: what a busy machine does to Ray's own processes is tried again, anything else is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.cluster import launch
from core.errors import ClusterUnreachable

pytestmark = pytest.mark.usefixtures("unconnected")

ADDRESS = "ray://127.0.0.1:10001"


class Ray:
    """Refuses with these sentences, one after the other, then lets in."""

    def __init__(self, *sentences: str) -> None:
        self.sentences = list(sentences)
        self.asked = 0
        self.left = 0

    def init(self, **_: object) -> None:
        self.asked += 1
        if self.sentences:
            raise ConnectionError(self.sentences.pop(0))

    def leave(self) -> None:
        self.left += 1


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ray], None]:
    def enter(ray: Ray) -> None:
        monkeypatch.setattr(launch, "knock", lambda _: None)
        monkeypatch.setattr(launch, "check_token", lambda _: None)
        monkeypatch.setattr(launch, "_init_ray", ray.init)
        monkeypatch.setattr(launch, "leave_ray", ray.leave)
        launch.enter_ray(address=ADDRESS)

    return enter


@pytest.mark.parametrize(
    "sentence",
    [
        "The current node timed out during startup. This could happen because",
        "Traceback\nRuntimeError: Starting Ray client server failed. See ray_client_server_23000.err",
        "Traceback\npsutil.ZombieProcess: PID still exists but it's a zombie (pid=28389)",
        "Failed during this or a previous request. Exception that broke the connection: <_MultiThreadedRendezvous\n>",
    ],
)
def test_processes_of_ray_that_did_not_start_are_tried_again(enter: Callable[[Ray], None], sentence: str) -> None:
    ray = Ray(sentence, sentence)
    enter(ray)
    assert (ray.asked, ray.left) == (3, 2), "what was half made is let go before"


def test_it_is_not_tried_for_ever(enter: Callable[[Ray], None]) -> None:
    ray = Ray(*["The current node timed out during startup."] * 10)
    with pytest.raises(ClusterUnreachable, match="timed out during startup"):
        enter(ray)
    assert ray.asked == launch.START_ATTEMPTS


def test_another_refusal_is_told_at_once(enter: Callable[[Ray], None]) -> None:
    ray = Ray("Version mismatch: the cluster was started with Ray 1.0")
    with pytest.raises(ClusterUnreachable, match="another version"):
        enter(ray)
    assert ray.asked == 1
