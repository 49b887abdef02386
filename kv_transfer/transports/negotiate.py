"""Finds the data plane that works between two workers, by reading the canary through it."""

import hmac
import logging
from collections.abc import Callable, Iterable

from baton.core.errors import TransferError, UnavailableError
from kv_transfer.memory import Memory
from kv_transfer.transports import shm, tcp_export
from kv_transfer.transports.base import Endpoint, LinkLimits, Reader
from kv_transfer.transports.shm import connect_shm
from kv_transfer.transports.tcp_read import connect_tcp

logger = logging.getLogger(__name__)

AUTO = "auto"
CHOICES = (AUTO, shm.NAME, tcp_export.NAME)

CONNECT: dict[str, Callable[[Endpoint, Memory, LinkLimits], Reader]] = {
    shm.NAME: connect_shm,
    tcp_export.NAME: connect_tcp,
}


def negotiate(
    endpoints: Iterable[Endpoint], memory: Memory, choice: str, limits: LinkLimits
) -> Reader:
    """The first of the peer's endpoints that reads the canary; blocks meanwhile.

    `choice` is "auto" or the name of the one transport that may be used. Raises UnavailableError
    that tells why each endpoint failed.
    """
    failures: list[str] = []
    for endpoint in endpoints:
        if choice not in (AUTO, endpoint.transport):
            continue
        try:
            reader = _connect(endpoint, memory, limits)
        except TransferError as error:
            failures.append(f"{endpoint.transport}: {error}")
            continue
        for failure in failures:
            logger.info("A data plane cannot be used, %s; using %s", failure, endpoint.transport)
        return reader
    reasons = "; ".join(failures) or f"it offers none that {choice!r} allows"
    raise UnavailableError(f"no data plane reaches the peer's memory: {reasons}")


def _connect(endpoint: Endpoint, memory: Memory, limits: LinkLimits) -> Reader:
    connect = CONNECT.get(endpoint.transport)
    if connect is None:
        raise TransferError("this worker does not speak it")
    reader = connect(endpoint, memory, limits)
    try:
        seen = reader.probe(endpoint.canary_offset, len(endpoint.canary))
    except TransferError:
        reader.close()
        raise
    if not endpoint.canary or not hmac.compare_digest(seen, endpoint.canary):
        reader.close()
        raise TransferError("another memory answers there")
    return reader
