"""What is said of a worker that falls silent and comes back."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from baton.core.errors import UnavailableError
from baton.core.worker_info import Role, WorkerLoad
from gateway.worker import Worker
from gateway.worker_client import WorkerClient
from tests.support.gateway_members import make_info, make_load


class FlickeringClient(WorkerClient):
    """Its first stream of loads breaks when told to; there is nobody for the next three."""

    def __init__(self) -> None:
        self.streams = 0
        self.breaks = asyncio.Event()

    async def watch(self) -> AsyncGenerator[WorkerLoad, None]:
        self.streams += 1
        if 1 < self.streams < 5:
            raise UnavailableError("connection refused")
        yield make_load()
        await self.breaks.wait()
        if self.streams == 1:
            raise UnavailableError("ping timeout")
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


async def test_an_outage_of_a_worker_is_one_line_and_its_end_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changed = asyncio.Event()
    client = FlickeringClient()
    worker = Worker(make_info("d0", Role.DECODE), client, changed.set, 0, lambda change: True)

    async def until(is_heard: bool) -> None:
        async with asyncio.timeout(20):
            while (worker.load is not None) is not is_heard:
                changed.clear()
                await changed.wait()

    await until(True)
    client.breaks.set()
    await until(False)
    await until(True)
    await worker.close()
    assert client.streams == 5
    told = [r.getMessage() for r in caplog.records if r.name == "gateway.worker"]
    assert told == ["lost touch with d0: ping timeout", "in touch with d0 again"]
