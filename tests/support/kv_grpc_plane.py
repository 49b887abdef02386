"""The gRPC data plane for tests that have no loop: a server on a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from baton.rpc.server import bind, make_server, stop
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer.memory import Memory
from kv_transfer.transports.base import Endpoint
from kv_transfer.transports.grpc_export import GrpcExporter
from kv_transfer.transports.grpc_protocol import pack_data

AddTo = Callable[[grpc.aio.Server, str], Callable[[], None]]  # with its address; gives its end


@contextmanager
def server_thread(add_to: AddTo, secret: str = "") -> Iterator[None]:
    """`add_to` and what it gives run on the server's loop."""
    up, loop, over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        server = make_server(secret)
        end = add_to(server, f"127.0.0.1:{bind(server, '127.0.0.1', 0)}")
        await server.start()
        up.set()
        await over.wait()
        end()
        await stop(server, 0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert up.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@contextmanager
def lent_over_grpc(memory: Memory, secret: str = "") -> Iterator[Endpoint]:
    endpoints: list[Endpoint] = []

    def add_to(server: grpc.aio.Server, address: str) -> Callable[[], None]:
        exporter = GrpcExporter(memory, address)
        exporter.add_to(server)
        endpoints.append(exporter.start())
        return exporter.close

    with server_thread(add_to, secret):
        yield endpoints[0]


class FakeSilentExporter(GrpcExporter):
    """Answers a read with its first half, then says nothing more; tells when it has come so far."""

    def __init__(self, memory: Memory, address: str, asked: threading.Event) -> None:
        super().__init__(memory, address)
        self._asked = asked

    async def read(self, request: pb.ReadRequest, context: Any) -> AsyncIterator[bytes]:
        yield pb.ReadResponse(pool_bytes=self._memory.size).SerializeToString()
        if request.lengths:
            yield pack_data([self._memory.view[: request.lengths[0] // 2]])
            self._asked.set()
            await asyncio.Event().wait()


@contextmanager
def silent_grpc_peer(memory: Memory) -> Iterator[tuple[Endpoint, threading.Event]]:
    asked, endpoints = threading.Event(), []

    def add_to(server: grpc.aio.Server, address: str) -> Callable[[], None]:
        exporter = FakeSilentExporter(memory, address, asked)
        exporter.add_to(server)
        endpoints.append(exporter.start())
        return exporter.close

    with server_thread(add_to):
        yield endpoints[0], asked
