"""SIGTERM to a worker that nobody supervises, as Kubernetes sends it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from baton.core.sampling_params import SamplingParams
from baton.rpc.channel import open_channel
from baton.v1 import decode_pb2_grpc
from tests.support.worker_pair import generate_request

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def lone_worker(
    model: Path,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel]]:
    """A decode worker that is ready, and a channel to it."""
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "decode_worker", f"--model={model}", f"--ready-fd={writer}"),
        *("--kv-cache-memory-bytes=8388608", "--shutdown-seconds=3600"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[writer],
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as ready:
            line = json.loads(await asyncio.to_thread(ready.readline))
        async with open_channel(line["address"]) as channel:
            yield process, channel
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def begun(channel: grpc.aio.Channel, tokens: int) -> Any:
    """A generation under way, its first token read."""
    params = SamplingParams(tokens, seed=1, ignore_eos=True)
    stub: Any = decode_pb2_grpc.DecodeServiceStub(channel)
    call = stub.Generate(generate_request(None, (1, 2, 3), params))
    while not (await call.read()).HasField("tokens"):
        pass
    return call


async def last_of(call: Any) -> Any:
    """Its last message."""
    last = None
    while (response := await call.read()) is not grpc.aio.EOF:
        last = response
    return last


async def told_to_stop(process: asyncio.subprocess.Process, channel: grpc.aio.Channel) -> None:
    """SIGTERM; until its health says so."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    process.send_signal(signal.SIGTERM)
    assert (await watch.read()).status == NOT_SERVING
    watch.cancel()


@pytest.mark.timeout(120)
async def test_it_finishes_what_it_has_and_leaves_in_good_order(slow_hash_model: Path) -> None:
    async with lone_worker(slow_hash_model) as (process, channel), asyncio.timeout(90):
        call = await begun(channel, tokens=150)
        await told_to_stop(process, channel)
        assert (await last_of(call)).HasField("finished")
        assert await process.wait() == 0


@pytest.mark.timeout(120)
async def test_told_twice_it_ends_at_once(slow_hash_model: Path) -> None:
    async with lone_worker(slow_hash_model) as (process, channel), asyncio.timeout(90):
        call = await begun(channel, tokens=3000)
        await told_to_stop(process, channel)
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await last_of(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
