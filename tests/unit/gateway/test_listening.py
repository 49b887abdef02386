"""A worker's shared stream at the gateway: opened once, left aside where it is not known."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from baton.core.errors import UnavailableError
from baton.v1 import decode_pb2 as pb
from gateway.listening import Ear, Listening


class FakeStub:
    """Says what it is told to; an exception breaks the stream."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[pb.ListenResponse | Exception] = asyncio.Queue()
        self.calls = 0
        self.asked: list[pb.ListenRequest] = []
        self._reading: list[asyncio.Task[None]] = []

    def Listen(self, asked: AsyncIterator[pb.ListenRequest]) -> "FakeStub":
        self.calls += 1
        self._reading.append(asyncio.create_task(self._read(asked)))
        return self

    async def _read(self, asked: AsyncIterator[pb.ListenRequest]) -> None:
        async for ask in asked:
            self.asked.append(ask)

    async def asked_all(self) -> None:
        """Nobody waits for another one of them."""
        async with asyncio.timeout(20):
            await asyncio.gather(*self._reading)

    async def __aiter__(self) -> AsyncIterator[pb.ListenResponse]:
        while True:
            message = await self.says.get()
            if isinstance(message, Exception):
                raise message
            yield message

    def cancel(self) -> None:
        """As gRPC has it: of a call that has broken, its requests are waited for."""


def broken(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, "x")


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def opened(stub: FakeStub) -> Listening:
    listening = Listening(stub)
    listening.open()
    assert listening.ear() is None
    stub.says.put_nowait(pb.ListenResponse())
    await settled()
    listening.open()  # it is
    return listening


def tokens(call: int, last: bool = False) -> pb.ListenResponse:
    event = pb.GenerateResponse(tokens=pb.GenerateTokens())
    return pb.ListenResponse(told=[pb.Told(call=call, events=[event], last=last)])


def ear_of(listening: Listening) -> Ear:
    ear = listening.ear()
    assert ear is not None
    return ear


async def test_each_call_hears_its_own_and_what_came_early_comes_first() -> None:
    stub = FakeStub()
    listening = await opened(stub)
    one, two = ear_of(listening), ear_of(listening)
    assert one.place.listener_id == two.place.listener_id == stub.asked[0].listener_id
    assert one.place.call != two.place.call
    heard: list[Any] = []
    stub.says.put_nowait(tokens(one.place.call))
    await settled()
    one.begin(lambda response: heard.append(1), lambda: None)
    two.begin(lambda response: heard.append(2), lambda: None)
    stub.says.put_nowait(tokens(two.place.call))
    stub.says.put_nowait(tokens(one.place.call, last=True))
    await asyncio.wait_for(one.until_last(), 20)
    assert heard == [1, 2, 1]
    one.close()
    stub.says.put_nowait(tokens(one.place.call))  # nobody hears it, and nothing breaks
    await settled()
    one.pause()
    await settled()
    assert stub.asked[-1].pause == one.place.call
    await listening.close()
    await stub.asked_all()
    assert stub.calls == 1


async def test_what_breaks_it_breaks_what_is_told_there_and_it_opens_again() -> None:
    stub = FakeStub()
    listening = await opened(stub)
    ear, ended = ear_of(listening), ear_of(listening)
    lost: list[str] = []
    ear.begin(lambda response: None, lambda: lost.append("ear"))
    ended.begin(lambda response: None, lambda: lost.append("ended"))
    stub.says.put_nowait(tokens(ended.place.call, last=True))
    stub.says.put_nowait(broken(grpc.StatusCode.UNAVAILABLE))
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(ear.until_last(), 20)
    await ended.until_last()
    assert lost == ["ear"]
    await stub.asked_all()
    assert listening.ear() is None
    listening.open()
    stub.says.put_nowait(pb.ListenResponse())
    await settled()
    assert ear_of(listening).place.listener_id != ear.place.listener_id
    await listening.close()


async def test_a_worker_that_does_not_know_it_is_asked_once() -> None:
    stub = FakeStub()
    listening = Listening(stub)
    listening.open()
    stub.says.put_nowait(broken(grpc.StatusCode.UNIMPLEMENTED))
    await settled()
    listening.open()
    assert listening.ear() is None
    await settled()
    assert stub.calls == 1
    await listening.close()
