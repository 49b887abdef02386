"""The standard health question, as Kubernetes and load balancers ask it."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from baton.core.worker_info import ANSWERING, Role
from baton.rpc.channel import open_channel
from baton.v1 import worker_pb2, worker_pb2_grpc
from baton.worker.settings import WorkerSettings
from tests.support.worker_pair import Served, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
OWN = {Role.PREFILL: "baton.v1.PrefillService", Role.DECODE: "baton.v1.DecodeService"}


def asked(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def status(served: Served, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(served.channel)
    return int((await stub.Check(asked(service))).status)


@pytest.mark.parametrize("role", ANSWERING)
async def test_a_worker_serves_as_a_whole_and_by_each_of_its_services(role: Role) -> None:
    async with serving(role) as served:
        for service in ("", "baton.v1.WorkerService", "baton.v1.KvTransferService", OWN[role]):
            assert await status(served, service) == SERVING


async def test_a_service_of_the_other_role_is_not_found() -> None:
    async with serving(Role.DECODE) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await status(served, OWN[Role.PREFILL])
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = stub.Watch(asked(OWN[Role.PREFILL]))
        assert (await watch.read()).status == UNKNOWN
        watch.cancel()


async def test_a_watcher_hears_that_the_worker_drains(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Role.PREFILL) as served, asyncio.timeout(10):
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watches = [stub.Watch(asked(name)) for name in ("", OWN[Role.PREFILL])]
        assert [(await watch.read()).status for watch in watches] == [SERVING] * 2
        for _ in range(2):
            await worker_pb2_grpc.WorkerServiceStub(served.channel).Drain(worker_pb2.DrainRequest())
        assert [(await watch.read()).status for watch in watches] == [NOT_SERVING] * 2
        assert await status(served) == NOT_SERVING
        for watch in watches:
            watch.cancel()
    assert caplog.text.count("told to drain") == 1


async def test_a_worker_whose_engine_has_stopped_serves_nothing() -> None:
    async with serving(Role.DECODE) as served:
        served.worker.bridge.engine.stop()
        assert await status(served) == NOT_SERVING


async def test_health_is_told_without_the_clusters_secret_and_nothing_else_is() -> None:
    settings = WorkerSettings(
        model="test", worker_id="d0", cluster_secret="the secret", kv_cache_memory_bytes=1 << 20
    )
    async with (
        serving(Role.DECODE, settings=settings) as served,
        open_channel(served.worker.info.address) as stranger,
    ):
        stub: Any = health_pb2_grpc.HealthStub(stranger)
        assert (await stub.Check(asked(""))).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker_pb2_grpc.WorkerServiceStub(stranger).Health(worker_pb2.HealthRequest())
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
