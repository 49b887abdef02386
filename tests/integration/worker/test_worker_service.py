"""What every worker answers: who it is, whether it is well, and that it takes nothing new."""

import asyncio
from contextlib import aclosing

import grpc
import pytest

from baton.core.errors import RefusedError
from baton.core.worker_info import ANSWERING, Role, WorkerState
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from baton.v1 import types_pb2, worker_pb2, worker_pb2_grpc
from tests.support.engine_works import GREEDY, prompt_of
from tests.support.watched_loads import loads
from tests.support.worker_pair import generate_request, handoff_to, prefill_request, serving


@pytest.mark.parametrize("role", ANSWERING)
async def test_a_worker_describes_itself_and_is_well(role: Role) -> None:
    async with serving(role) as served:
        stub = worker_pb2_grpc.WorkerServiceStub(served.channel)
        described = await stub.Describe(worker_pb2.WorkerServiceDescribeRequest())
        assert wire.worker_info_from_pb(described.info) == served.worker.info
        health = await stub.Health(worker_pb2.HealthRequest())
        assert health.healthy
        assert health.state == types_pb2.WORKER_STATE_READY


async def test_a_worker_whose_engine_has_stopped_is_not_well() -> None:
    async with serving(Role.DECODE) as served:
        served.worker.bridge.engine.stop()
        stub = worker_pb2_grpc.WorkerServiceStub(served.channel)
        assert not (await stub.Health(worker_pb2.HealthRequest())).healthy


@pytest.mark.parametrize("role", ANSWERING)
async def test_a_draining_worker_tells_its_watchers_and_takes_nothing_new(role: Role) -> None:
    async with serving(role) as served:
        stub = worker_pb2_grpc.WorkerServiceStub(served.channel)
        async with asyncio.timeout(10), aclosing(loads(served.worker.board)) as seen:
            assert (await anext(seen)).state is WorkerState.READY
            await stub.Drain(worker_pb2.DrainRequest())
            assert (await anext(seen)).state is WorkerState.DRAINING
        if role is Role.PREFILL:
            call = served.prefill(prefill_request(handoff_to(served), prompt_of(9), GREEDY))
        else:
            call = served.generate(generate_request(None, prompt_of(9), GREEDY))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        refusal = from_rpc_error(caught.value)
        assert isinstance(refusal, RefusedError)
        assert "draining" in str(refusal)
