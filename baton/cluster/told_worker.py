"""A worker that is told what to do, and followed until it has done it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc

from baton.cluster.cluster_access import ClusterAccess
from baton.core.errors import BatonError, UnavailableError
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad
from baton.rpc import wire
from baton.rpc.channel import open_channel
from baton.rpc.errors import from_rpc_error
from baton.v1 import worker_pb2 as pb
from baton.v1 import worker_pb2_grpc

PATIENCE = 5.0  # seconds


async def tell_to_drain(address: str, access: ClusterAccess) -> None:
    """Returns as soon as the worker has begun. Raises UnavailableError."""
    tls = access.cluster_tls.identity()
    async with open_channel(address, access.cluster_secret, tls) as channel:
        stub: Any = worker_pb2_grpc.WorkerServiceStub(channel)
        try:
            await stub.Drain(pb.DrainRequest(), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            reason = from_rpc_error(error)
            raise UnavailableError(
                f"the worker at {address} cannot be drained: {reason}"
            ) from error


async def tell_to_flip(address: str, role: Role, access: ClusterAccess) -> None:
    """Returns as soon as the worker has begun. Raises UnavailableError."""
    tls = access.cluster_tls.identity()
    async with open_channel(address, access.cluster_secret, tls) as channel:
        stub: Any = worker_pb2_grpc.WorkerServiceStub(channel)
        call = stub.Flip(pb.FlipRequest(role=wire.role_to_pb(role)))
        try:
            async with asyncio.timeout(PATIENCE):
                await call.read()
        except grpc.aio.AioRpcError as error:
            raise _unwilling(address, role, str(from_rpc_error(error))) from error
        except TimeoutError as error:
            raise _unwilling(address, role, f"no answer within {PATIENCE:g} s") from error
        finally:
            call.cancel()


def _unwilling(address: str, role: Role, reason: str) -> UnavailableError:
    return UnavailableError(
        f"the worker at {address} does not become a {role.value} worker: {reason}"
    )


@dataclass(frozen=True, slots=True)
class ToldWorker:
    """`address` and `pid` are the gateway's word."""

    worker_id: str
    address: str
    pid: int

    @classmethod
    def named(cls, worker_id: str, status: dict[str, Any]) -> "ToldWorker":
        """Out of the gateway's status. Raises UnavailableError that lists those there are."""
        workers = status["workers"]
        for worker in workers:
            if worker.get("id") == worker_id:
                return cls(worker_id, str(worker["address"]), int(worker["pid"]))
        known = ", ".join(str(worker.get("id")) for worker in workers) or "none"
        raise UnavailableError(f"there is no worker {worker_id}; the gateway knows {known}")

    async def drain(self, access: ClusterAccess) -> AsyncGenerator[WorkerLoad, None]:
        """What it has when it is told, and whatever changes of that until it has left. Raises
        UnavailableError when it cannot be told, or breaks off.
        """
        tls = access.cluster_tls.identity()
        async with open_channel(self.address, access.cluster_secret, tls) as channel:
            stub: Any = worker_pb2_grpc.WorkerServiceStub(channel)
            try:
                watch = stub.Watch(pb.WatchRequest())
                told = False  # not before it is watched: it may have nothing left, and go at once
                async for message in watch:
                    if not told:
                        told = True
                        await stub.Drain(pb.DrainRequest(), timeout=PATIENCE)
                    if message.HasField("load"):
                        yield wire.worker_load_from_pb(message.load)
            except grpc.aio.AioRpcError as error:
                raise self._reason(
                    error,
                    f"`kill -TERM {self.pid}` on the worker's own host drains it, for "
                    "--shutdown-seconds at most",
                ) from error

    async def flip(
        self, role: Role, access: ClusterAccess
    ) -> AsyncGenerator[int | WorkerInfo, None]:
        """The requests that it still has, then as what it serves in that role. It goes on when this
        is closed. Raises UnavailableError or RefusedError when it does not.
        """
        tls = access.cluster_tls.identity()
        async with open_channel(self.address, access.cluster_secret, tls) as channel:
            stub: Any = worker_pb2_grpc.WorkerServiceStub(channel)
            try:
                async for message in stub.Flip(pb.FlipRequest(role=wire.role_to_pb(role))):
                    if message.HasField("serves"):
                        yield wire.worker_info_from_pb(message.serves)
                    else:
                        yield message.requests_left
            except grpc.aio.AioRpcError as error:
                raise self._reason(
                    error, "its workers keep their roles; give it one of your own to change them"
                ) from error

    def _reason(self, error: grpc.aio.AioRpcError, without_it: str) -> BatonError:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return UnavailableError(
                f"{self.worker_id} takes no orders without the cluster's secret: give it with "
                "--cluster-secret or BATON_CLUSTER_SECRET. Where `baton up` made one by itself, "
                f"{without_it}."
            )
        return UnavailableError(f"{self.worker_id} at {self.address}: {from_rpc_error(error)}")
