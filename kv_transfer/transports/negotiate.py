"""Finds the data plane that works between two workers, by reading the canary through it."""

import hmac
import logging
from collections.abc import Callable, Iterable

from baton.core.errors import TransferError, UnavailableError
from baton.rpc.tls_identity import TlsIdentity
from kv_transfer.memory import Memory
from kv_transfer.transports import grpc_protocol, nixl_agent, shm, tcp_export
from kv_transfer.transports.base import Endpoint, LinkLimits, Reader
from kv_transfer.transports.grpc_read import connect_grpc
from kv_transfer.transports.nixl_read import connect_nixl
from kv_transfer.transports.shm import connect_shm
from kv_transfer.transports.tcp_read import connect_tcp

logger = logging.getLogger(__name__)

AUTO = "auto"
CHOICES = (AUTO, shm.NAME, tcp_export.NAME, grpc_protocol.NAME, nixl_agent.NAME)

# Given an endpoint, this process's pool, bounds, the cluster's secret and this side's certificate.
Connect = Callable[[Endpoint, Memory, LinkLimits, str, TlsIdentity | None], Reader]
CONNECT: dict[str, Connect] = {
    shm.NAME: lambda endpoint, memory, limits, *_: connect_shm(endpoint, memory, limits),
    tcp_export.NAME: lambda endpoint, memory, limits, *_: connect_tcp(endpoint, memory, limits),
    grpc_protocol.NAME: connect_grpc,
    nixl_agent.NAME: lambda endpoint, memory, limits, *_: connect_nixl(endpoint, memory, limits),
}


def negotiate(
    endpoints: Iterable[Endpoint],
    memory: Memory,
    choice: str,
    limits: LinkLimits,
    secret: str = "",
    tls: TlsIdentity | None = None,
) -> Reader:
    """The first of the peer's endpoints that reads the canary; blocks meanwhile.

    `choice` is "auto" or the name of the one transport that may be used; `secret` is the cluster's
    and `tls` this side's certificate, shown where the plane goes over gRPC. Raises UnavailableError
    that tells why each endpoint failed.
    """
    failures: list[str] = []
    for endpoint in endpoints:
        if choice not in (AUTO, endpoint.transport):
            continue
        try:
            reader = _connect(endpoint, memory, limits, secret, tls)
        except TransferError as error:
            failures.append(f"{endpoint.transport}: {error}")
            continue
        for failure in failures:
            logger.info("A data plane cannot be used, %s; using %s", failure, endpoint.transport)
        return reader
    reasons = "; ".join(failures) or f"it offers none that {choice!r} allows"
    raise UnavailableError(f"no data plane reaches the peer's memory: {reasons}")


def _connect(
    endpoint: Endpoint, memory: Memory, limits: LinkLimits, secret: str, tls: TlsIdentity | None
) -> Reader:
    connect = CONNECT.get(endpoint.transport)
    if connect is None:
        raise TransferError("this worker does not speak it")
    reader = connect(endpoint, memory, limits, secret, tls)
    try:
        seen = reader.probe(endpoint.canary_offset, len(endpoint.canary))
    except TransferError:
        reader.close()
        raise
    if not endpoint.canary or not hmac.compare_digest(seen, endpoint.canary):
        reader.close()
        raise TransferError("another memory answers there")
    return reader
