"""A real server and a real channel: the secret, the errors, the end of a cancelled stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from baton.core.address import join_address
from baton.core.errors import (
    InternalError,
    NotFoundError,
    RefusedError,
    RequestError,
    SettingsError,
    UnavailableError,
)
from baton.rpc.channel import open_channel
from baton.rpc.errors import from_rpc_error
from baton.rpc.server import bind, make_server, stop
from baton.v1 import worker_pb2, worker_pb2_grpc
from tests.support.network import has_ipv6
from tests.support.silent_relay import SilentRelay


class ScriptedWorker(worker_pb2_grpc.WorkerServiceServicer):
    """Raises what it is told to; its Watch never ends by itself."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.watch_ended = asyncio.Event()

    async def Health(self, request: Any, context: Any) -> worker_pb2.HealthResponse:
        if self.error:
            raise self.error
        return worker_pb2.HealthResponse(healthy=True)

    async def Describe(self, request: Any, context: Any) -> Any:
        raise AssertionError("not called")

    async def Drain(self, request: Any, context: Any) -> Any:
        raise AssertionError("not called")

    async def Flip(self, request: Any, context: Any) -> AsyncIterator[worker_pb2.FlipResponse]:
        raise AssertionError("not called")
        yield worker_pb2.FlipResponse()

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[worker_pb2.WatchResponse]:
        try:
            while True:
                yield worker_pb2.WatchResponse()
                await asyncio.Event().wait()
        finally:
            self.watch_ended.set()


@asynccontextmanager
async def serving(
    worker: ScriptedWorker, server_secret: str = "", client_secret: str = ""
) -> AsyncIterator[Any]:
    server = make_server(server_secret)
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(worker, server)
    port = bind(server, "127.0.0.1", 0)
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", client_secret) as channel:
        yield worker_pb2_grpc.WorkerServiceStub(channel)
    await server.stop(0)


@pytest.mark.parametrize(
    "error",
    [
        RequestError("too long", "messages"),
        NotFoundError("no such", "model"),
        RefusedError("full"),
        InternalError("two different tokens"),
    ],
)
async def test_a_named_error_arrives_as_itself(error: Exception) -> None:
    async with serving(ScriptedWorker(error)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Health(worker_pb2.HealthRequest())
    arrived = from_rpc_error(caught.value)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert getattr(arrived, "param", None) == getattr(error, "param", None)


async def test_an_unexpected_error_tells_nothing_of_the_inside() -> None:
    async with serving(ScriptedWorker(ValueError("a path"))) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Health(worker_pb2.HealthRequest())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error"
    assert isinstance(from_rpc_error(caught.value), InternalError)


class GivenUp(ScriptedWorker):
    """Its handlers wait for what another task gave up."""

    def __init__(self) -> None:
        super().__init__(asyncio.CancelledError())

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[worker_pb2.WatchResponse]:
        yield worker_pb2.WatchResponse()
        raise asyncio.CancelledError


async def test_a_handler_that_was_cancelled_by_itself_does_not_leave_its_caller_waiting() -> None:
    async with serving(GivenUp()) as stub, asyncio.timeout(20):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Health(worker_pb2.HealthRequest())
        assert isinstance(from_rpc_error(caught.value), UnavailableError)
        watch = stub.Watch(worker_pb2.WatchRequest())
        await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert isinstance(from_rpc_error(caught.value), UnavailableError)


@pytest.mark.parametrize("status", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
async def test_what_no_handler_of_ours_raised_is_a_broken_call(status: grpc.StatusCode) -> None:
    """gRPC and proxies make such a status of a stream that was reset, or ended without one."""

    class Resetting(ScriptedWorker):
        async def Health(self, request: Any, context: Any) -> Any:
            context.set_code(status)
            context.set_details("Received RST_STREAM with error code 2")
            return worker_pb2.HealthResponse()

    async with serving(Resetting()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Health(worker_pb2.HealthRequest())
    assert isinstance(from_rpc_error(caught.value), UnavailableError)


async def test_without_the_clusters_secret_no_call_is_served() -> None:
    async with serving(ScriptedWorker(), "right", "wrong") as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Health(worker_pb2.HealthRequest())
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.Watch(worker_pb2.WatchRequest()):
                pass
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_with_the_secret_calls_and_streams_are_served() -> None:
    async with serving(ScriptedWorker(), "right", "right") as stub:
        assert (await stub.Health(worker_pb2.HealthRequest())).healthy
        watch = stub.Watch(worker_pb2.WatchRequest())
        assert await watch.read() is not grpc.aio.EOF
        watch.cancel()


async def test_cancelling_a_stream_ends_its_handler_at_once() -> None:
    worker = ScriptedWorker()
    async with serving(worker) as stub:
        watch = stub.Watch(worker_pb2.WatchRequest())
        await watch.read()
        watch.cancel()
        await asyncio.wait_for(worker.watch_ended.wait(), 20)


async def test_a_silent_peer_is_given_up_on_both_sides_within_seconds() -> None:
    worker = ScriptedWorker()
    server = make_server()
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(worker, server)
    port = bind(server, "127.0.0.1", 0)
    await server.start()
    async with (
        SilentRelay(port).running() as relay,
        open_channel(f"127.0.0.1:{relay.port}") as channel,
    ):
        stub: Any = worker_pb2_grpc.WorkerServiceStub(channel)
        watch = stub.Watch(worker_pb2.WatchRequest())
        await watch.read()
        relay.silence()
        async with asyncio.timeout(10):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await watch.read()
            await worker.watch_ended.wait()
        assert isinstance(from_rpc_error(caught.value), UnavailableError)
    await server.stop(0)


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("no-such-host.invalid", 0, "cannot listen on no-such-host.invalid:0: "),
        ("127.0.0.1", 99999, "65535"),
    ],
)
async def test_an_address_that_cannot_be_listened_on_says_why(
    host: str, port: int, reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        bind(make_server(), host, port)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_a_host_may_be_an_ipv6_address() -> None:
    server = make_server()
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(ScriptedWorker(), server)
    port = bind(server, "::1", 0)
    await server.start()
    try:
        async with open_channel(join_address("::1", port)) as channel:
            stub: Any = worker_pb2_grpc.WorkerServiceStub(channel)
            assert (await stub.Health(worker_pb2.HealthRequest())).healthy
        with pytest.raises(SettingsError, match=rf"cannot listen on \[::1\]:{port}: "):
            bind(make_server(), "::1", port)
    finally:
        await server.stop(0)


async def test_an_occupied_port_is_said_in_a_sentence() -> None:
    first, second = make_server(), make_server()
    port = bind(first, "127.0.0.1", 0)
    with pytest.raises(SettingsError, match=f"127.0.0.1:{port}"):
        bind(second, "127.0.0.1", port)
    await first.stop(0)
    await second.stop(0)


class SlowToLeave(ScriptedWorker):
    """Its Watch has something to settle when it is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.settled = False

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[worker_pb2.WatchResponse]:
        try:
            yield worker_pb2.WatchResponse()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)  # what the settling takes
            self.settled = True


async def test_a_stopped_server_has_let_its_handlers_settle() -> None:
    worker, server = SlowToLeave(), make_server()
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(worker, server)
    port = bind(server, "127.0.0.1", 0)
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        watch = worker_pb2_grpc.WorkerServiceStub(channel).Watch(worker_pb2.WatchRequest())
        await watch.read()
        watch.cancel()
        await stop(server, 0)
        assert worker.settled
