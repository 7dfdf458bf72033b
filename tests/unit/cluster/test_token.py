"""A token that is refused is told of at once, by a server that speaks gRPC as Ray's do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from core.cluster import launch
from core.cluster.token import ASK_CLIENT_SERVER, ASK_GCS, check_token
from core.errors import ClusterUnreachable
from core.token_file import ensure_token

pytestmark = pytest.mark.usefixtures("unconnected", "own_token")

Serve = Callable[[grpc.StatusCode], str]


class Head(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call with one status, and remembers what was asked."""

    def __init__(self, status: grpc.StatusCode, asked: list[str]) -> None:
        self._status = status
        self._asked = asked

    def service(self, details: Any) -> Any:
        self._asked.append(details.method)

        def answer(_: bytes, context: Any) -> bytes:
            if self._status is not grpc.StatusCode.OK:
                context.abort(self._status, "as the test says")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def own_token() -> None:
    """As after the first start of a cluster in this home, which other tests may have been or not."""
    ensure_token()


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def serve(asked: list[str]) -> Iterator[Serve]:
    servers = []

    def start(status: grpc.StatusCode) -> str:
        server = grpc.server(ThreadPoolExecutor(1), handlers=(Head(status, asked),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


def test_a_token_that_is_refused(serve: Serve, asked: list[str]) -> None:
    place = serve(grpc.StatusCode.UNAUTHENTICATED)
    for address in (place, f"ray://{place}"):
        with pytest.raises(PermissionError, match="refuses the token"):
            check_token(address)
    assert asked == [ASK_GCS, ASK_CLIENT_SERVER]


@pytest.mark.parametrize("status", [grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL])
def test_whatever_else_the_head_answers_is_left_to_ray(serve: Serve, status: grpc.StatusCode) -> None:
    check_token(f"ray://{serve(status)}")


def test_where_nobody_answers_or_no_port_is_named_ray_has_the_word() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        check_token(f"127.0.0.1:{unused.getsockname()[1]}")
    check_token("local")


def test_entering_says_what_to_do_about_it_without_ray_trying_for_half_a_minute(serve: Serve) -> None:
    address = f"ray://{serve(grpc.StatusCode.UNAUTHENTICATED)}"
    started = time.monotonic()
    with pytest.raises(ClusterUnreachable, match="its token is missing or wrong") as refusal:
        launch.enter_ray(address=address)
    assert refusal.value.details["cause"] == "token"
    assert time.monotonic() - started < 25, "Ray itself was not asked"
