"""A membership of one: the worker at an address, whoever answers there."""

import asyncio
from collections.abc import AsyncIterator

import grpc

from baton.core.worker_info import WorkerInfo
from baton.rpc.channel import open_channel
from baton.rpc.errors import from_rpc_error
from baton.rpc.tls_identity import TlsIdentity
from baton.rpc.wire import worker_info_from_pb
from baton.v1 import worker_pb2, worker_pb2_grpc

EVERY = 1.0  # seconds between two questions
PATIENCE = 5.0  # for an answer


class LoneWorker:
    """It need not be registered anywhere; one that restarts is found again."""

    def __init__(self, address: str, secret: str, tls: TlsIdentity | None = None) -> None:
        self._address = address
        self._secret = secret
        self._tls = tls
        self.trouble: str | None = None

    async def subscribe(self) -> AsyncIterator[tuple[WorkerInfo, ...]]:
        known: tuple[WorkerInfo, ...] | None = None
        async with open_channel(self._address, self._secret, self._tls) as channel:
            stub: worker_pb2_grpc.WorkerServiceAsyncStub = worker_pb2_grpc.WorkerServiceStub(
                channel
            )
            while True:
                found = await self._described(stub)
                if known is None or (found is not None and (found,) != known):
                    known = () if found is None else (found,)
                    yield known
                await asyncio.sleep(EVERY)

    async def _described(self, stub: "worker_pb2_grpc.WorkerServiceAsyncStub") -> WorkerInfo | None:
        """None, and trouble, while nobody answers."""
        request = worker_pb2.WorkerServiceDescribeRequest()
        try:
            answer = await stub.Describe(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            self.trouble = f"The worker at {self._address} does not answer: {from_rpc_error(error)}"
            return None
        self.trouble = None
        return worker_info_from_pb(answer.info)
