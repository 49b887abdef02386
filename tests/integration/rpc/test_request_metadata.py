"""Which request a call between workers is made for, as it goes over the wire."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from baton.rpc.channel import open_channel
from baton.rpc.request_metadata import adopt_request, request_metadata
from baton.rpc.server import bind, make_server
from baton.telemetry.request_context import RequestContext, apart, begin_request, current_request


class Asked(health_pb2_grpc.HealthServicer):
    """Notes for which request it is asked."""

    def __init__(self) -> None:
        self.requests: list[RequestContext | None] = []

    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        adopt_request(context)
        self.requests.append(current_request())
        return health_pb2.HealthCheckResponse()


@asynccontextmanager
async def serving(worker: Asked) -> AsyncIterator[Any]:
    server = make_server("")
    health_pb2_grpc.add_HealthServicer_to_server(worker, server)
    port = bind(server, "127.0.0.1", 0)
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", "") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop(0)


async def ask(stub: Any, *request: str) -> None:
    if request:
        begin_request(*request)
    await stub.Check(health_pb2.HealthCheckRequest(), metadata=request_metadata())


@pytest.mark.parametrize("request_id", ["abc", 'a"},{"b: %0d%0aEvil: 1 é', "依頼 🏃", "x" * 256])
@pytest.mark.parametrize("trace_id", ["", "ab" * 16])
async def test_a_request_is_known_by_whatever_its_client_calls_it(
    request_id: str, trace_id: str
) -> None:
    worker = Asked()
    async with serving(worker) as stub:
        await apart(ask(stub, request_id, trace_id))
    assert worker.requests == [RequestContext(request_id, trace_id)]


async def test_a_call_for_no_request_is_for_none() -> None:
    worker = Asked()
    async with serving(worker) as stub:
        await apart(ask(stub))
    assert worker.requests == [None]
