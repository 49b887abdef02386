"""What is said of a worker that falls silent and comes back."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from baton.core.errors import UnavailableError
from baton.core.kv_events import KvChange
from baton.core.worker_info import Role, WorkerLoad
from gateway.members.worker import Worker
from gateway.members.worker_client import WorkerClient
from gateway.placing.fleet import Fleet
from gateway.placing.learned import Learned
from tests.support.gateway_members import make_info, make_load


class FlickeringClient(WorkerClient):
    """Its first stream of loads breaks when told to; there is nobody for the next three."""

    def __init__(self) -> None:
        self.streams = 0
        self.breaks = asyncio.Event()

    async def watch(self, instance_id: str) -> AsyncGenerator[WorkerLoad, None]:
        self.streams += 1
        if 1 < self.streams < 5:
            raise UnavailableError("connection refused")
        yield make_load()
        await self.breaks.wait()
        if self.streams == 1:
            raise UnavailableError("ping timeout")
        await asyncio.Event().wait()

    def converse(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def test_an_outage_of_a_worker_is_one_line_and_its_end_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changed = asyncio.Event()
    client = FlickeringClient()
    worker = Worker(
        make_info("d0", Role.DECODE),
        client,
        changed.set,
        0,
        lambda change: True,
        Learned(),
        Fleet(),
    )

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
    told = [r.getMessage() for r in caplog.records if r.name == "gateway.members.worker"]
    assert told == ["lost touch with d0: ping timeout", "in touch with d0 again"]


class LoudClient(WorkerClient):
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.words: asyncio.Queue[WorkerLoad | KvChange] = asyncio.Queue()
        self.streams = 0

    async def watch(self, instance_id: str) -> AsyncGenerator[WorkerLoad | KvChange, None]:
        self.streams += 1
        while True:
            yield await self.words.get()
            self.words.task_done()

    def converse(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def test_a_line_is_our_own_requests_and_what_others_have_there() -> None:
    client = LoudClient()
    worker = Worker(
        make_info("p0", Role.PREFILL),
        client,
        lambda: None,
        0,
        lambda change: True,
        Learned(),
        Fleet(),
    )

    async def hear(unread: int) -> None:
        client.words.put_nowait(replace(make_load(), unread_tokens=unread))
        async with asyncio.timeout(20):
            await client.words.join()

    worker.take(unread=300)
    await hear(300)
    assert worker.candidate.unread == 300, "the load tells of the same request"
    worker.has_read(300)
    assert worker.candidate.unread == 0
    await hear(300)
    assert worker.candidate.unread == 0, "its word was late"
    worker.take(unread=100)
    await hear(500)
    assert worker.candidate.unread == 500
    worker.give_back(unread=100)
    assert worker.candidate.unread == 400
    await worker.close()


async def test_lost_events_open_a_new_stream_and_the_load_stands() -> None:
    client, heard, told = LoudClient(), list[int](), asyncio.Event()

    def hear(change: KvChange) -> bool:
        heard.append(change.upto)
        told.set()
        return change.snapshot

    async def until(numbers: list[int]) -> None:
        async with asyncio.timeout(20):
            while heard != numbers:
                told.clear()
                await told.wait()

    worker = Worker(
        make_info("p0", Role.PREFILL), client, lambda: None, 0, hear, Learned(), Fleet()
    )
    words = (make_load(), KvChange(0, 1, True), KvChange(5, 6), KvChange(0, 7, True))
    for word in words:
        client.words.put_nowait(word)
    await until([1, 6, 7])
    assert client.streams == 2
    assert worker.load == make_load()
    worker.hear_anew()
    client.words.put_nowait(KvChange(0, 8, True))
    await until([1, 6, 7, 8])
    assert client.streams == 3
    await worker.close()
