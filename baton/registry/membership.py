"""A worker's side of the registry: stay a member for as long as the process lives."""

import asyncio
import logging
import random
import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from baton.core.errors import SettingsError
from baton.core.worker_info import WorkerInfo
from baton.registry.outage import Outage, delay_after
from baton.rpc.channel import open_channel
from baton.rpc.tls_identity import TlsIdentity
from baton.rpc.wire import worker_info_to_pb
from baton.v1 import registry_pb2 as pb
from baton.v1 import registry_pb2_grpc as rpc

logger = logging.getLogger(__name__)

JOIN_TIMEOUT = 5.0  # seconds for a registry to answer that the worker is a member
_TO_ASK_WHY = 1.0  # seconds
QUIET = 2.0  # seconds after a break in which further failures go unsaid


class Membership:
    """`run()` joins and joins again after every break until it is cancelled, which leaves.

    `joined` is set while the registry counts this worker in.
    """

    def __init__(
        self,
        info: WorkerInfo,
        registry_address: str,
        secret: str = "",
        tls: TlsIdentity | None = None,
    ) -> None:
        self._info = info
        self._address = registry_address
        self._secret = secret
        self._tls = tls
        self._outage = Outage(
            logger,
            away=f"not in the registry at {registry_address}",
            back=f"joined the registry at {registry_address}",
        )
        self._quiet_until = 0.0  # on the monotonic clock
        self.joined = asyncio.Event()

    async def run(self) -> None:
        """Returns never. Raises SettingsError where trying again cannot help: the secret is
        wrong, or another process has joined under the same worker id."""
        while True:
            try:
                await self._stay()
                reason = "the registry ended the stream"
            except TimeoutError as error:
                reason = str(error)
            except grpc.aio.AioRpcError as error:
                self._raise_if_hopeless(error)
                reason = error.details() or error.code().name.lower()
            await asyncio.sleep(self._pause_after(reason))

    def _pause_after(self, reason: str) -> float:
        """Seconds. The break of a member is not said at once: the gateway is stopping, which ends
        this process too, or it is being started again, which the next attempts wait for.
        """
        now = time.monotonic()
        if self.joined.is_set():
            self.joined.clear()
            self._quiet_until = now + QUIET
        if now < self._quiet_until:
            return delay_after(1, random.random())
        return self._outage.failed(reason)

    async def _stay(self) -> None:
        """One stream, from its opening to its end."""
        channel = open_channel(self._address, self._secret, self._tls)
        try:
            stub: rpc.RegistryServiceAsyncStub = rpc.RegistryServiceStub(channel)
            request = pb.RegisterRequest(info=worker_info_to_pb(self._info))
            async with asyncio.timeout(JOIN_TIMEOUT) as deadline:
                # A gateway that was started at the same moment is no outage: wait for it.
                async for _ in stub.Register(request, wait_for_ready=True):
                    deadline.reschedule(None)
                    self.joined.set()
                    self._outage.over()
        except TimeoutError as error:
            silence = f"no answer within {JOIN_TIMEOUT:g} s"
            raise TimeoutError(silence + await _why_unreachable(channel)) from error
        finally:
            await channel.close()

    def _raise_if_hopeless(self, error: grpc.aio.AioRpcError) -> None:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise SettingsError(
                f"the registry at {self._address} refused this worker: {error.details()}"
            ) from error
        if error.code() is grpc.StatusCode.ALREADY_EXISTS:
            raise SettingsError(
                f"{error.details()}; give each worker a --worker-id of its own"
            ) from error


async def _why_unreachable(channel: grpc.aio.Channel) -> str:
    """Such as a certificate that is not believed; a call that waits to be connected hears nothing
    of it. Asked of a service that the registry need not have.
    """
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TO_ASK_WHY)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return f": {error.details()}"
    return ""
