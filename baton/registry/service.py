"""The registry's door: a worker is a member as long as its Register stream is open."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc

from baton.core.worker_info import WorkerInfo
from baton.registry.store import Registry
from baton.rpc.wire import worker_info_from_pb
from baton.v1 import registry_pb2 as pb
from baton.v1 import registry_pb2_grpc as rpc

logger = logging.getLogger(__name__)


class RegistryServicer(rpc.RegistryServiceServicer):
    """Serves `Register`.

    The newest stream of a `worker_id` counts and ends the older one. A worker whose network was
    cut may be back before its old stream is known to be dead, so the end of an overtaken stream
    must not end the membership, even where both belong to the same instance.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._overtaken: dict[str, asyncio.Event] = {}  # worker_id -> of its newest stream

    async def Register(
        self, request: pb.RegisterRequest, context: Any
    ) -> AsyncIterator[pb.RegisterResponse]:
        info = worker_info_from_pb(request.info)
        overtaken = self._enter(info)
        # A stream can end while its message is written, where no `finally` here would run soon.
        context.add_done_callback(lambda _: self._exit(info, overtaken))
        yield pb.RegisterResponse()
        await overtaken.wait()
        await context.abort(
            grpc.StatusCode.ALREADY_EXISTS,
            f"another process has joined as worker {info.worker_id}",
        )

    def _enter(self, info: WorkerInfo) -> asyncio.Event:
        older = self._overtaken.get(info.worker_id)
        if older is not None:
            older.set()
        mine = self._overtaken[info.worker_id] = asyncio.Event()
        self._registry.join(info)
        logger.info("worker %s joined from %s", info.worker_id, info.address)
        return mine

    def _exit(self, info: WorkerInfo, mine: asyncio.Event) -> None:
        if self._overtaken.get(info.worker_id) is not mine:
            return
        del self._overtaken[info.worker_id]
        self._registry.leave(info)
        logger.info("worker %s left", info.worker_id)
