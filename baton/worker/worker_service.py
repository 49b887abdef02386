"""What every worker answers, whatever its role."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from baton.core.errors import UnavailableError
from baton.core.kv_events import KvChange
from baton.core.worker_info import WorkerInfo
from baton.rpc import wire
from baton.v1 import worker_pb2 as pb
from baton.v1 import worker_pb2_grpc
from baton.worker.desk import Desk
from baton.worker.flipping import Flipping
from baton.worker.load import LoadBoard
from baton.worker.news import news

logger = logging.getLogger(__name__)


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    def __init__(
        self,
        info: Callable[[], WorkerInfo],
        desk: Desk,
        board: LoadBoard,
        healthy: Callable[[], bool],
        kv_change: Callable[[int | None], KvChange],
        flipping: Flipping,
    ) -> None:
        """`kv_change`: see `news`."""
        self._info = info
        self._desk = desk
        self._board = board
        self._healthy = healthy
        self._kv_change = kv_change
        self._flipping = flipping

    async def Health(self, request: pb.HealthRequest, context: Any) -> pb.HealthResponse:
        state = wire.state_to_pb(self._desk.state)
        return pb.HealthResponse(healthy=self._healthy(), state=state)

    async def Describe(
        self, request: pb.WorkerServiceDescribeRequest, context: Any
    ) -> pb.WorkerServiceDescribeResponse:
        return pb.WorkerServiceDescribeResponse(info=wire.worker_info_to_pb(self._info()))

    async def Drain(self, request: pb.DrainRequest, context: Any) -> pb.DrainResponse:
        if not self._desk.leaves:
            logger.warning("told to drain: it takes no requests and ends with those it has")
        self._flipping.leave()
        return pb.DrainResponse()

    async def Flip(self, request: pb.FlipRequest, context: Any) -> AsyncIterator[pb.FlipResponse]:
        role = wire.role_from_pb(request.role)
        yield pb.FlipResponse(requests_left=self._flipping.ask(role))
        serves = await self._flipping.until_it_serves(role)
        yield pb.FlipResponse(serves=wire.worker_info_to_pb(serves))

    async def Watch(
        self, request: pb.WatchRequest, context: Any
    ) -> AsyncIterator[pb.WatchResponse]:
        instance = self._info().instance_id
        if request.instance_id not in ("", instance):
            raise UnavailableError("another instance serves here now")

        def same() -> bool:
            return self._info().instance_id == instance

        async with aclosing(news(self._board, self._kv_change, same)) as all_news:
            async for load, change in all_news:
                yield pb.WatchResponse(
                    load=None if load is None else wire.worker_load_to_pb(load),
                    kv=None if change is None else wire.kv_change_to_pb(change),
                )
