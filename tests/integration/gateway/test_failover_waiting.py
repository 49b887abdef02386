"""An answer whose worker broke off waits for another one: in vain, with success, or for a client that leaves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from baton.core.worker_info import Role
from baton.v1 import decode_pb2
from tests.support.gateway_cluster import running_gateway
from tests.support.gateway_fake_workers import RESERVED, decoded
from tests.support.gateway_mortal_workers import FakeModel, MortalWorkers
from tests.support.gateway_reading import TEXT, events
from tests.support.mortal_pairs import (
    SEED,
    STREAM,
)

pytestmark = pytest.mark.usefixtures("soon_forgotten")


async def hanging(request: Any) -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield None


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n", [1, 2])
async def test_without_another_worker_it_ends_with_the_reason(
    model_folder: Path, stream: bool, n: int
) -> None:
    async with running_gateway(model_folder, failover_timeout=0.05) as gateway:
        await gateway.pair()
        workers = MortalWorkers(FakeModel({SEED: [40, 41, 42], SEED + 1: [50, 51, 52]}))
        workers.serve(gateway)
        workers.decode_deaths.append(2)
        body = {"prompt": [5], "stream": stream, "n": n, "seed": SEED}
        response = await gateway.client.post(TEXT, json=body)
        told = events(response.text)[-1] if stream else response.json()
        assert response.status_code == (200 if stream else 503)
        assert told["error"]["code"] == 503
        assert "within 0.05 s" in told["error"]["message"]
        await gateway.until_idle()


async def test_an_answer_waits_for_the_next_worker(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        workers = MortalWorkers(FakeModel({SEED: [40, 41, 42]}))
        workers.serve(gateway)
        prefill, decode = gateway.workers

        async def dying(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
            yield RESERVED
            yield decoded(workers.rows(request)[0])
            await asyncio.Event().wait()

        decode.decode_script = dying
        async with gateway.client.stream(
            "POST", TEXT, json={"prompt": [5], "seed": SEED, "return_token_ids": True, **STREAM}
        ) as response:
            lines = response.aiter_text()
            text = await anext(lines)
            await prefill.stop()
            await decode.stop()
            await gateway.until_queued(1)
            other = await gateway.join("d1", Role.DECODE)
            other.decode_script = workers.decode
            async for more in lines:
                text += more
        told = [t for e in events(text) for c in e["choices"] for t in c["token_ids"] or []]
        assert told == [40, 41, 42]
        assert list(other.calls.all[0].request.answered_token_ids) == [40]


@pytest.mark.parametrize("waiting", [True, False])
@pytest.mark.parametrize("n", [1, 2])
async def test_a_client_that_leaves_meanwhile_cancels_everything(
    model_folder: Path, waiting: bool, n: int
) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        workers = MortalWorkers(FakeModel({SEED: [40, 41, 42], SEED + 1: [50, 51, 52]}))
        workers.serve(gateway)
        workers.decode_deaths.append(1)
        first = gateway.workers[1]
        asking = asyncio.create_task(
            gateway.client.post(TEXT, json={"prompt": [5], "seed": SEED, "n": n})
        )
        if waiting:
            await gateway.until_queued(n)
        else:
            other = await gateway.join("d1", Role.DECODE)
            other.decode_script = hanging
            calls = [await other.calls.number(i) for i in range(n)]
        asking.cancel()
        await gateway.until_queued(0)
        if not waiting:
            for call in calls:
                async with asyncio.timeout(10):
                    await call.cancelled.wait()
        await gateway.until_idle()
        assert len(first.calls.all) == 1
