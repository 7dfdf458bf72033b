"""Who has no token gets nothing, and the token is nowhere but in its file."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest

from tests.compose.conftest import Cluster
from tests.compose.engine import IMAGE, docker, inspect
from tests.compose.test_verbs import same_python

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]

WRONG = "0" * 64
CALLS = {
    "head_port": ["/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", "/ray.rpc.InternalKVGcsService/InternalKVGet"],
    "client_port": ["/ray.rpc.RayletDriver/ClusterInfo", "/ray.rpc.RayletDriver/KVGet"],
}
"""What a stranger would ask each of the ports that speak gRPC; an empty message is a valid request."""
PAGES = [
    "/api/version",
    "/nodes?view=summary",
    "/api/jobs/",
    "/api/v0/actors",
    "/api/cluster_status",
]


def answer_to(
    port: int, call: str, token: str | None, credentials: grpc.ChannelCredentials | None = None
) -> grpc.StatusCode:
    address = f"127.0.0.1:{port}"
    with grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(call)
        try:
            ask(b"", timeout=30, metadata=(("authorization", f"Bearer {token}"),) if token else ())
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def page(port: int, path: str, token: str | None, method: str = "GET") -> int:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} if token else {}
    body = json.dumps({"entrypoint": "true"}).encode() if method == "POST" else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize("port", CALLS)
def test_a_port_of_grpc_answers_only_who_has_the_token(cluster: Cluster, port: str) -> None:
    number, right = getattr(cluster.project, port), cluster.project.token.read_text().strip()
    for call in CALLS[port]:
        assert answer_to(number, call, None) is grpc.StatusCode.UNAUTHENTICATED, call
        assert answer_to(number, call, WRONG) is grpc.StatusCode.UNAUTHENTICATED, call
        assert answer_to(number, call, right) is not grpc.StatusCode.UNAUTHENTICATED, call


def test_rays_dashboard_answers_only_who_has_the_token(cluster: Cluster) -> None:
    port, right = cluster.project.dashboard_port, cluster.project.token.read_text().strip()
    for path in PAGES:
        assert page(port, path, None) in (401, 403), path
        assert page(port, path, WRONG) in (401, 403), path
    assert page(port, "/api/jobs/", None, "POST") in (401, 403)
    assert page(port, "/api/jobs/", WRONG, "POST") in (401, 403)
    assert page(port, "/api/version", right) == 200


@same_python
@pytest.mark.parametrize("given", ["none", "wrong"])
def test_a_client_without_the_token_is_told_what_it_lacks(cluster: Cluster, tmp_path: Path, given: str) -> None:
    file = tmp_path / "auth_token"
    if given == "wrong":
        file.write_text(WRONG)
    done = cluster.project.from_host("list", environment={"RAY_AUTH_TOKEN_PATH": str(file), "HOME": str(tmp_path)})
    assert done.returncode == 1
    assert done.stdout == b""
    assert "token" in done.stderr.decode()


def test_a_container_beside_the_cluster_gets_nothing_with_a_wrong_token(cluster: Cluster) -> None:
    """The network inside is open to whoever joins it: there, too, the token decides."""
    stranger = ["-e", "DAME_ADDRESS=ray://head:10001", "-e", f"RAY_AUTH_TOKEN={WRONG}", "--entrypoint", "dame"]
    done = cluster.project.try_compose("run", "--rm", "-T", *stranger, "tui", "list", timeout_s=600)
    assert done.returncode == 1
    assert done.stdout == b""
    assert "token is missing or wrong" in done.stderr.decode()


def test_the_token_is_in_its_file_alone(cluster: Cluster) -> None:
    token = cluster.project.token.read_text().strip()
    assert len(token) >= 32
    places = {
        "history": docker("history", "--no-trunc", IMAGE),
        "image": docker("image", "inspect", IMAGE),
        "logs": cluster.project.compose("logs", "--no-color"),
        "config": cluster.project.compose("config"),
    }
    for container in [cluster.project.head, *cluster.project.containers("storage")]:
        places[f"inspect {container}"] = docker("inspect", container)
        places[f"top {container}"] = docker("top", container, "-eo", "pid,args")
        rays_logs = ["sh", "-c", "cat /tmp/ray/session_*/logs/* /tmp/ray/session_*/logs/*/* 2>/dev/null; true"]
        places[f"Ray's logs in {container}"] = docker("exec", container, *rays_logs)
    assert [place for place, text in places.items() if token.encode() in text] == []
    mode = docker("exec", cluster.project.head, "stat", "-c", "%a %U", "/var/lib/dame/secrets/auth_token")
    assert mode.decode().strip() == "600 dame"


def test_nothing_of_a_container_is_open(cluster: Cluster) -> None:
    for container in [cluster.project.head, *cluster.project.containers("storage")]:
        told = inspect(container)
        host = told["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"] and not host["Privileged"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] > 0 and host["PidsLimit"] > 0
        published = [place for places in (host["PortBindings"] or {}).values() for place in places]
        assert {place["HostIp"] for place in published} <= {"127.0.0.1"}
        users = docker("top", container, "-eo", "user,pid,args").decode().splitlines()[1:]
        assert users and all(line.split()[0] not in ("root", "0") for line in users), users
        for place in ("/here", "/opt/dame/here", "/opt/dame/lib/here"):
            docker("exec", container, "sh", "-c", f"! touch {place} 2>/dev/null")
        docker("exec", container, "grep", "-q", "CapEff:.0*$", "/proc/self/status")
    for storage in cluster.project.containers("storage"):
        docker("exec", storage, "sh", "-c", "! touch /var/lib/dame/secrets/here 2>/dev/null")
        assert not inspect(storage)["HostConfig"]["PortBindings"]


def test_no_statistics_leave_the_cluster(cluster: Cluster) -> None:
    for container in [cluster.project.head, *cluster.project.containers("storage")]:
        assert docker("exec", container, "printenv", "RAY_USAGE_STATS_ENABLED").strip() == b"0"
