"""What every worker answers, whatever its role."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from baton.core.worker_info import WorkerInfo, WorkerState
from baton.rpc import wire
from baton.v1 import worker_pb2 as pb
from baton.v1 import worker_pb2_grpc
from baton.worker.desk import Desk
from baton.worker.load import LoadBoard

logger = logging.getLogger(__name__)


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    def __init__(
        self, info: WorkerInfo, desk: Desk, board: LoadBoard, healthy: Callable[[], bool]
    ) -> None:
        self._info = info
        self._desk = desk
        self._board = board
        self._healthy = healthy

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
        async for load in self._board.watch():
            yield pb.WatchResponse(load=wire.worker_load_to_pb(load))
