"""Whether a cluster takes this process's token, found out in a moment.

Ray itself tries for half a minute, and then says no more than that it got no connection.
"""

from __future__ import annotations

from contextlib import closing

from ray._private import services

ASK_TIMEOUT_S = 5.0

ASK_CLIENT_SERVER = "/ray.rpc.RayletDriver/ClusterInfo"
ASK_GCS = "/ray.rpc.InternalKVGcsService/InternalKVGet"
"""Questions that change nothing, and to which an empty message is a valid request."""


def head_address(address: str) -> str:
    """HOST:PORT of what `auto` means on this machine; any other address as it is. Empty if there is nothing."""
    if address != "auto":
        return address
    try:
        return services.canonicalize_bootstrap_address("auto") or ""
    except (ConnectionError, ValueError, OSError):
        return ""


def check_token(address: str) -> None:
    """Raises PermissionError if the head at this address refuses the token; anything else is Ray's to tell.

    Speaks as Ray's own clients do: with its token, and by TLS where that is set.
    """
    target = head_address(address)
    place = target.removeprefix("ray://")
    if not place.rpartition(":")[2].isdecimal():
        return
    import grpc  # a tenth of a second, which who starts an embedded cluster need not wait for
    from ray._private.grpc_utils import init_grpc_channel

    method = ASK_CLIENT_SERVER if target.startswith("ray://") else ASK_GCS
    with closing(init_grpc_channel(place)) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=ASK_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise PermissionError(f"Unauthenticated: {place} refuses the token") from error
