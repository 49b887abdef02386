"""Lends the pool over the worker's own gRPC port: for where nothing else gets through."""

import hmac
import logging
import secrets
from collections.abc import AsyncIterator
from typing import Any

import grpc

from baton.core.errors import RequestError, TransferError, UnavailableError
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer.memory import Memory
from kv_transfer.transports.base import TOKEN_BYTES, Endpoint, endpoint_for
from kv_transfer.transports.grpc_protocol import (
    CHUNK,
    MAX_RANGES,
    METHOD,
    NAME,
    SERVICE,
    cut,
    pack_data,
)
from kv_transfer.transports.tcp_protocol import within

logger = logging.getLogger(__name__)


class GrpcExporter:
    """Has no port: `add_to` the worker's server. `address` is what peers reach that server at.

    `start` and `close` on the server's loop.
    """

    def __init__(self, memory: Memory, address: str) -> None:
        self._memory = memory
        self._address = address
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._open = False

    def start(self) -> Endpoint:
        self._open = True
        return endpoint_for(NAME, self._address, self._token, self._memory)

    def close(self) -> None:
        """Reads that run end at their next chunk, and touch the memory no more."""
        self._open = False

    def add_to(self, server: grpc.aio.Server) -> None:
        """By hand, because the generated code would serialise each message once more."""
        read: Any = grpc.unary_stream_rpc_method_handler(
            self.read, request_deserializer=pb.ReadRequest.FromString
        )
        handler = grpc.method_handlers_generic_handler(SERVICE, {METHOD: read})
        server.add_generic_rpc_handlers((handler,))

    async def read(self, request: pb.ReadRequest, context: Any) -> AsyncIterator[bytes]:
        ranges = self._checked(request)
        yield pb.ReadResponse(pool_bytes=self._memory.size).SerializeToString()
        for part in cut(ranges, CHUNK):
            if not self._open:
                raise UnavailableError("the worker stops")
            view = self._memory.view
            yield pack_data([view[offset : offset + length] for offset, length in part])

    def _checked(self, request: pb.ReadRequest) -> list[tuple[int, int]]:
        if not self._open:
            raise UnavailableError("the pool is not lent")
        if not hmac.compare_digest(request.token, self._token):
            logger.warning("A process asked for the KV pool with a wrong token; refused")
            raise TransferError("the token does not fit")
        if len(request.offsets) != len(request.lengths) or len(request.offsets) > MAX_RANGES:
            raise RequestError(f"offsets and lengths must be as many, at most {MAX_RANGES}")
        ranges = list(zip(request.offsets, request.lengths, strict=True))
        if not within(ranges, self._memory.size):
            logger.warning("A reader asked for bytes outside the KV pool; refused")
            raise TransferError("a range leaves the pool")
        return ranges
