"""Tickets that open nothing, shown to a real worker, and what its metrics page says of them."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from baton.core.handoff import Handoff, new_ticket
from baton.core.worker_info import Role
from baton.telemetry.metrics import MetricsServer, WorkerCollector
from baton.v1 import kv_transfer_pb2_grpc
from kv_transfer.sender_events import SenderLimits
from tests.support.engine_works import GREEDY, prompt_of
from tests.support.kv_pair import opened
from tests.support.worker_pair import (
    Served,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

PROMPT = prompt_of(50)


@asynccontextmanager
async def page_of(served: Served) -> AsyncIterator[MetricsServer]:
    registry = CollectorRegistry()
    registry.register(WorkerCollector("test", served.worker.reading))
    page = MetricsServer(registry, "127.0.0.1")
    page.start()
    try:
        yield page
    finally:
        page.close()


async def refused(page: MetricsServer) -> float:
    def read() -> str:
        with urllib.request.urlopen(page.url, timeout=5) as response:
            return str(response.read().decode())

    lines = (await asyncio.to_thread(read)).splitlines()
    (line,) = [line for line in lines if 'result="refused_ticket"' in line]
    return float(line.rpartition(" ")[2])


async def pull(served: Served, handoff: Handoff) -> str:
    """The words of the refusal."""
    stub: Any = kv_transfer_pb2_grpc.KvTransferServiceStub(served.channel)
    call = await opened(stub, handoff)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call.read(), 20)
    return str(caught.value.details())


async def drained(call: Any) -> None:
    async for _ in call:
        pass


async def test_a_forged_ticket_is_refused_and_counted() -> None:
    async with serving(Role.PREFILL) as prefill, page_of(prefill) as page:
        handoff = handoff_to(prefill)
        reading = prefill.prefill(prefill_request(handoff, PROMPT, GREEDY))
        await reading.read()
        assert await refused(page) == 0
        assert "does not fit" in await pull(prefill, replace(handoff, ticket=new_ticket()))
        assert await refused(page) == 1
        reading.cancel()
        await prefill.until_idle()


async def test_a_replayed_ticket_is_refused_and_counted() -> None:
    async with (
        serving(Role.PREFILL) as prefill,
        serving(Role.DECODE) as decode,
        page_of(prefill) as page,
    ):
        handoff = handoff_to(prefill)
        reading = prefill.prefill(prefill_request(handoff, PROMPT, GREEDY))
        await asyncio.wait_for(
            asyncio.gather(
                drained(decode.generate(generate_request(handoff, PROMPT, GREEDY))),
                drained(reading),
            ),
            30,
        )
        assert await refused(page) == 0
        assert "is over" in await pull(prefill, handoff)
        assert await refused(page) == 1


async def test_an_expired_ticket_is_refused_and_counted() -> None:
    brief = SenderLimits(ttl_s=0.01)
    async with serving(Role.PREFILL, lease_limits=brief) as prefill, page_of(prefill) as page:
        handoff = handoff_to(prefill)
        await drained_but_given_up(prefill.prefill(prefill_request(handoff, PROMPT, GREEDY)))
        assert await refused(page) == 0
        assert "is over" in await pull(prefill, handoff)
        assert await refused(page) == 1
        await prefill.until_idle()


async def drained_but_given_up(call: Any) -> None:
    responses = [response async for response in call]
    assert not responses[-1].released.confirmed
