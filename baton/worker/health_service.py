"""grpc.health.v1: the standard question of Kubernetes, load balancers and grpc_health_probe."""

from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from typing import Any

from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from baton.core.errors import NotFoundError
from baton.worker.load import LoadBoard

Status = pb.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):
    """All services of a worker are well or unwell together; the empty name asks for the whole.

    Not the package's own servicer: that one must be told of every change, while whether a worker
    takes requests is a fact that its board announces anyway.
    """

    def __init__(
        self,
        services: Callable[[], Collection[str]],
        board: LoadBoard,
        serving: Callable[[], bool],
    ) -> None:
        """`services`: those of its role, and `serving`: whether the worker takes new requests; both
        asked after each touch of the board.
        """
        self._services = services
        self._board = board
        self._serving = serving

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:
        """Raises NotFoundError for a service that is not here, as the protocol wants it."""
        if not self._has(request.service):
            raise NotFoundError(f"there is no service {request.service!r} here")
        return Status(status=self._status(request.service))

    async def Watch(
        self, request: pb.HealthCheckRequest, context: Any
    ) -> AsyncGenerator[pb.HealthCheckResponse, None]:
        """The status at once, then whenever it changes; a service that is not here is UNKNOWN."""
        last = None
        async with aclosing(self._board.touches()) as touches:
            async for _ in touches:
                status = self._status(request.service)
                if status != last:
                    last = status
                    yield Status(status=status)

    def _status(self, service: str) -> int:
        if not self._has(service):
            return Status.SERVICE_UNKNOWN
        return Status.SERVING if self._serving() else Status.NOT_SERVING

    def _has(self, service: str) -> bool:
        return not service or service in self._services()
