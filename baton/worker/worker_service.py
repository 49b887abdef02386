"""What every worker answers, whatever its role."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from baton.core.kv_events import KvChange
from baton.core.worker_info import WorkerInfo, WorkerState
from baton.rpc import wire
from baton.v1 import worker_pb2 as pb
from baton.v1 import worker_pb2_grpc
from baton.worker.desk import Desk
from baton.worker.load import LoadBoard
from baton.worker.news import news

logger = logging.getLogger(__name__)


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    def __init__(
        self,
        info: WorkerInfo,
        desk: Desk,
        board: LoadBoard,
        healthy: Callable[[], bool],
        kv_change: Callable[[int | None], KvChange],
    ) -> None:
        """`kv_change`: see `news`."""
        self._info = info
        self._desk = desk
        self._board = board
        self._healthy = healthy
        self._kv_change = kv_change

    async def Health(self, request: pb.HealthRequest, context: Any) -> pb.HealthResponse:
        state = wire.state_to_pb(self._desk.state)
        return pb.HealthResponse(healthy=self._healthy(), state=state)

    async def Describe(
        self, request: pb.WorkerServiceDescribeRequest, context: Any
    ) -> pb.WorkerServiceDescribeResponse:
        return pb.WorkerServiceDescribeResponse(info=wire.worker_info_to_pb(self._info))

    async def Drain(self, request: pb.DrainRequest, context: Any) -> pb.DrainResponse:
        if self._desk.state is not WorkerState.DRAINING:
            logger.warning("told to drain: it takes no requests and ends with those it has")
        self._desk.drain()
        return pb.DrainResponse()

    async def Watch(
        self, request: pb.WatchRequest, context: Any
    ) -> AsyncIterator[pb.WatchResponse]:
        async with aclosing(news(self._board, self._kv_change)) as all_news:
            async for load, change in all_news:
                yield pb.WatchResponse(
                    load=None if load is None else wire.worker_load_to_pb(load),
                    kv=None if change is None else wire.kv_change_to_pb(change),
                )
