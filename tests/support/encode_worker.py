"""A real encode worker inside one process, with real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from baton.core.worker_info import Role
from baton.rpc.channel import open_channel
from baton.rpc.server import bind, make_server
from baton.v1 import encode_pb2, encode_pb2_grpc
from baton.worker.flipping import Flipping
from baton.worker.process import worker_info
from baton.worker.services import add_shared_services
from baton.worker.settings import WorkerSettings
from encode_worker.loaded_encoder import load_encoder
from encode_worker.worker import EncodeWorker


@dataclass(frozen=True, slots=True)
class ServedEncoder:
    """One encode worker and a channel to it."""

    worker: EncodeWorker
    channel: grpc.aio.Channel

    async def until_idle(self) -> None:
        """Returns once nothing is lent, at hand or in line; raises TimeoutError."""
        worker = self.worker
        async with asyncio.timeout(10):
            await worker.board.until(
                lambda: worker.idle and worker.shelf.blocks.free == worker.shelf.blocks.total
            )

    def encode(self, request: encode_pb2.EncodeRequest) -> Any:
        """The call: an async iterator of EncodeResponse with `cancel`."""
        return encode_pb2_grpc.EncodeServiceStub(self.channel).Encode(request)


@asynccontextmanager
async def serving_encoder(settings: WorkerSettings) -> AsyncIterator[ServedEncoder]:
    """Of the settings' model, a folder."""
    loaded = await asyncio.to_thread(load_encoder, settings.model, settings)
    server = make_server(settings.cluster_secret)
    address = f"127.0.0.1:{bind(server, '127.0.0.1', 0, settings.cluster_tls.identity())}"
    info = worker_info(settings, Role.ENCODE, loaded, address, "")
    worker = loaded.serve(info, settings, server, None)
    flipping = Flipping(worker.desk, worker.board, info, (Role.ENCODE,), worker.flips)
    add_shared_services(worker, server, flipping)
    worker.start()
    await server.start()
    try:
        async with open_channel(address, settings.cluster_secret) as channel:
            yield ServedEncoder(worker, channel)
    finally:
        worker.board.close()
        await server.stop(0)
        await worker.close()
        loaded.close()
