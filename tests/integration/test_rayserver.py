"""The entry point of a cluster's machines by its own commands: started, killed, scaled, stopped, shut to strangers."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.integration.machines import Machine, Machines, all_well, living
from tests.integration.processes import assert_same, dame, eventually
from tests.integration.walk import Walk, all_verbs
from tests.integration.wholeness import content

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]  # some thirty processes are started one after the other

CONTENT = bytes(range(256)) * 20_000
NODES = 3

GCS_METHOD = "/ray.rpc.NodeInfoGcsService/GetClusterId"
CLIENT_METHOD = "/ray.rpc.RayletDriver/ClusterInfo"

REFUSED = "Authentication token is missing or incorrect"
"""What Ray's processes say of a head that does not take their token."""


@pytest.fixture(scope="module")
def first_machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """A head and three storage machines, with an artifact of 20 chunks."""
    machines = Machines(tmp_path_factory.mktemp("m"))  # a short name, for Ray's sockets are under it
    try:
        machines.start("head", "head")
        for number in range(NODES):
            machines.start("storage", f"storage-{number + 1}")
        all_well(*machines.started)
        _keep(machines, "kept", CONTENT)
        yield machines
    finally:
        machines.end()


@pytest.fixture
def machines(first_machines: Machines) -> Machines:
    """The cluster with all its storage nodes up and every replica in its place, also after the test before."""
    first_machines.wait_until_whole(NODES)
    return first_machines


def test_machines_make_a_cluster(machines: Machines) -> None:
    assert [machine.health() for machine in machines.started] == [0, 0, 0, 0]
    assert _states(machines) == dict.fromkeys(["storage-1", "storage-2", "storage-3"], "up")
    directories = sorted(path.name for path in (machines.directory / "storage").iterdir())
    assert directories == ["replica-1", "replica-2", "replica-3"], "each its own"


def test_all_verbs_from_outside(machines: Machines) -> None:
    all_verbs(Walk(machines.from_client, "client", NODES))
    assert_same(machines.get("kept", machines.client_address), CONTENT)


def test_verbs_from_inside(machines: Machines) -> None:
    """Each starts Ray's processes of one more machine, and ends them."""
    walk = Walk(machines.from_member, "member", NODES)
    walk.do("upload", "from/member", "--file", "-", stdin=CONTENT)
    assert_same(walk.do("get", "from/member"), CONTENT)
    assert walk.ask("status")["nodes"]["up"] == NODES
    assert "no such artifact" in walk.refuse("get", "no such artifact")
    assert living(machines.environment_of("member")) == []


def test_the_dashboard_opens_as_a_member_of_the_cluster(machines: Machines) -> None:
    terminal = machines.on_terminal()
    try:
        terminal.wait_for("LIVE", timeout_s=240)
        terminal.type(':upload from/dashboard "typed on a terminal"\r')
        terminal.wait_for("Uploaded from/dashboard: version 1")
        terminal.type(":node sn-03\r")
        terminal.wait_for("storage-")  # its host
        assert machines.get("from/dashboard") == b"typed on a terminal"
        terminal.type("q")  # back, from the node
        terminal.wait_for("from/dashboard")
        terminal.type("q")
        eventually(terminal.has_ended)
        assert terminal.process.returncode == 0
        assert living(machines.environment_of("member")) == []
    finally:
        terminal.end()


def test_a_stranger_gets_nothing_from_any_port(machines: Machines) -> None:
    token = machines.token_path.read_text()
    assert machines.token_path.stat().st_mode & 0o777 == 0o600
    for port, method in ((machines.port, GCS_METHOD), (machines.client_port, CLIENT_METHOD)):
        assert _called(port, method, None) == grpc.StatusCode.UNAUTHENTICATED
        assert _called(port, method, "0" * 64) == grpc.StatusCode.UNAUTHENTICATED
        assert _called(port, method, token) != grpc.StatusCode.UNAUTHENTICATED
    for path in ("/api/version", "/api/jobs/", "/nodes?view=summary", "/api/v0/actors"):
        assert _fetched(machines.dashboard_port, path, None) == http.client.UNAUTHORIZED
        assert _fetched(machines.dashboard_port, path, "0" * 64) == http.client.FORBIDDEN
    assert _fetched(machines.dashboard_port, "/api/jobs/", token) == http.client.OK
    assert not _shows(token, machines), "neither in a log nor on a command line"


@pytest.mark.parametrize("given", ["none", "wrong"])
@pytest.mark.parametrize("place", ["client_address", "head_address"])
def test_a_client_without_the_token_is_told_what_it_lacks(
    first_machines: Machines, tmp_path: Path, place: str, given: str
) -> None:
    file = tmp_path / "auth_token"
    if given == "wrong":
        file.write_text("0" * 64)
    environment = {**first_machines.environment, "RAY_AUTH_TOKEN_PATH": str(file), "HOME": str(tmp_path)}
    done = dame("--address", getattr(first_machines, place), "list", environment=environment)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "its token is missing or wrong" in done.stderr.decode()


def test_a_machine_with_a_wrong_token_does_not_join(machines: Machines, tmp_path: Path) -> None:
    before = _ids(machines)
    token = tmp_path / "auth_token"
    token.write_text("0" * 64)
    own = {"RAY_AUTH_TOKEN_PATH": str(token), "DAME_STORAGE_DIR": str(tmp_path / "storage")}
    stranger = machines.start("storage", "stranger", **own)
    try:
        log = stranger.directory / "log"
        eventually(lambda: log.read_text(errors="replace").count(REFUSED) > 2, every_s=0.5)  # it tries again and again
        assert stranger.health() == 1
        assert _ids(machines) == before
    finally:
        stranger.kill()


def test_everything_is_back_after_kills(machines: Machines) -> None:
    head, first, *others = machines.head, *machines.of("storage")
    first.kill_below()
    eventually(lambda: not first.well())
    all_well(first)
    machines.ask("upload", "between", "the kills")

    head.kill_below()
    eventually(lambda: not head.well())
    all_well(head)
    eventually(lambda: _states(machines) == dict.fromkeys(["storage-1", "storage-2", "storage-3"], "up"), every_s=1)
    assert machines.get("between") == b"the kills"
    assert_same(machines.get("kept"), CONTENT)
    eventually(lambda: {row["health"] for row in machines.ask("list")} == {"ok"}, every_s=1)
    all_well(first, *others)


def test_everything_is_back_after_whole_machines_are_killed(machines: Machines) -> None:
    """As by `docker kill`: the entry point's own process as well, so that nothing starts the others again."""
    before = _ids(machines)
    head, first, *others = machines.head, *machines.of("storage")
    first.kill()
    machines.ask("upload", "while a machine is dead", "on the other two")
    first.start_again()
    all_well(first)
    machines.wait_until_whole(NODES)
    assert _ids(machines) == before

    head.kill()
    head.start_again()
    all_well(head)
    machines.wait_until_whole(NODES)
    assert _ids(machines) == before
    assert machines.get("while a machine is dead") == b"on the other two"
    assert_same(machines.get("kept"), CONTENT)
    assert {row["health"] for row in machines.ask("list")} == {"ok"}
    all_well(first, *others)


def test_from_three_to_five_and_back_by_drain(machines: Machines) -> None:
    before = _ids(machines)
    leaving = [machines.start("storage", name) for name in ("storage-4", "storage-5")]
    all_well(*leaving)
    machines.wait_until_whole(NODES + 2)
    assert before.items() <= _ids(machines).items()
    kept = content(61, len(CONTENT))  # in chunks that are all different, and nowhere yet: each node gets some
    _keep(machines, "kept on five", kept)
    # They tell of what they stored with their next heartbeats; there must be something to drain.
    eventually(lambda: all(machines.nodes()[machine.name]["chunks"] for machine in leaving), timeout_s=30, every_s=0.5)

    for machine in leaving:
        machines.ask("drain", machine.name)
    eventually(lambda: {_states(machines)[machine.name] for machine in leaving} == {"drained"}, every_s=0.5)
    assert [machine.health() for machine in leaving] == [0, 0], "a drained node does what it is told to"
    _end_wholly(*leaving)
    eventually(lambda: {_states(machines)[machine.name] for machine in leaving} == {"down"}, every_s=0.5)
    for machine in leaving:
        machines.ask("forget", machine.name)
    machines.wait_until_whole(NODES)
    assert _ids(machines) == before
    assert_same(machines.get("kept"), CONTENT)
    assert_same(machines.get("kept on five"), kept)
    assert {row["health"] for row in machines.ask("list")} == {"ok"}


def test_all_machines_stopped_and_started_again_lose_nothing(machines: Machines) -> None:
    before = sorted(_ids(machines).values())
    machines.ask("upload", "before the stop", "all of it")
    stopped = [machines.head, *machines.of("storage")]
    _end_wholly(*stopped)
    for machine in stopped:
        machine.start_again()
    all_well(*stopped)
    machines.wait_until_whole(NODES)
    assert sorted(_ids(machines).values()) == before, "whichever machine took whichever directory"
    assert_same(machines.get("kept"), CONTENT)
    assert machines.get("before the stop") == b"all of it"


def test_with_tls_a_token_alone_does_not_get_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    machines = Machines(tmp_path_factory.mktemp("t"), DAME_TLS="1", DAME_DASHBOARD_PORT="0")
    try:
        all_well(machines.start("head", "head"), machines.start("storage", "storage-1"))
        uploaded = machines.from_member("upload", "secret", "content")
        assert uploaded.returncode == 0, uploaded.stderr.decode()
        refused = machines.from_member("get", "another")
        assert (refused.returncode, refused.stdout) == (1, b"") and b"another" in refused.stderr

        secrets = machines.token_path.parent
        known = {
            **machines.environment,
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": str(secrets / "client.pem"),
            "RAY_TLS_SERVER_KEY": str(secrets / "client.pem"),
            "RAY_TLS_CA_CERT": str(secrets / "ca.crt"),
        }
        got = dame("--address", machines.client_address, "get", "secret", environment=known)
        assert (got.returncode, got.stdout) == (0, b"content"), got.stderr.decode()
        token = machines.token_path.read_text()
        for port, method in ((machines.port, GCS_METHOD), (machines.client_port, CLIENT_METHOD)):
            assert _called(port, method, token) == grpc.StatusCode.UNAVAILABLE, "it speaks to no one without TLS"
        _end_wholly(*machines.started)
    finally:
        machines.end()


def _keep(machines: Machines, name: str, content: bytes) -> None:
    source = machines.directory / "source"
    source.write_bytes(content)
    machines.ask("upload", name, "--file", str(source), "--chunk-size", "256KiB")


def _states(machines: Machines) -> dict[str, str]:
    """Of the storage nodes, by the names of their machines."""
    return {name: node["state"] for name, node in machines.nodes().items()}


def _ids(machines: Machines) -> dict[str, str]:
    """Of the storage nodes, by the names of their machines."""
    return {name: node["id"] for name, node in machines.nodes().items()}


def _end_wholly(*machines: Machine) -> None:
    """All are told to end at once, and once only; each ends well, and leaves no process."""
    for machine in machines:
        machine.process.terminate()
    for machine in machines:
        assert machine.process.wait(60) == 0, machine.name
        assert machine.living() == [], machine.name


def _called(port: int, method: str, token: str | None) -> grpc.StatusCode:
    """What becomes of a call to one of Ray's ports."""
    headers = [("authorization", f"Bearer {token}")] if token is not None else []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary(method)(b"", metadata=headers, timeout=20)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def _fetched(port: int, path: str, token: str | None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token is not None else {})
        return connection.getresponse().status
    finally:
        connection.close()


def _shows(token: str, machines: Machines) -> list[str]:
    """Where the token can be read by those who may not read its file."""
    patterns = ("log", "run/**/*.json")
    logs = [path for pattern in patterns for path in machines.directory.glob(f"*/{pattern}")]
    logs += [path for path in machines.ray_directory.rglob("*") if path.suffix in (".log", ".out", ".err")]
    assert len(logs) > 10
    lines = [Path(f"/proc/{pid}/cmdline") for machine in machines.started for pid in machine.living()]
    found = []
    for path in {path.resolve() for path in [*logs, *lines]}:
        try:
            content = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if token.encode() in content:
            found.append(os.fspath(path))
    return found
