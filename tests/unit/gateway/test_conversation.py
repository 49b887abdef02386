"""A worker's shared stream at the gateway: opened once, left aside where it is not known."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from baton.core.errors import BatonError, RefusedError, UnavailableError
from baton.rpc import wire
from baton.v1 import decode_pb2 as pb
from gateway.members.conversation import Conversation


class FakeStub:
    """Says what it is told to; an exception breaks the stream."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[pb.ConverseResponse | Exception] = asyncio.Queue()
        self.calls = 0
        self.wanted: list[pb.ConverseRequest] = []
        self._reading: list[asyncio.Task[None]] = []

    def Converse(self, wants: AsyncIterator[pb.ConverseRequest]) -> "FakeStub":
        self.calls += 1
        self._reading.append(asyncio.create_task(self._read(wants)))
        return self

    async def _read(self, wants: AsyncIterator[pb.ConverseRequest]) -> None:
        async for want in wants:
            self.wanted.append(want)

    async def wanted_all(self) -> None:
        """Nobody waits for another one of them."""
        async with asyncio.timeout(20):
            await asyncio.gather(*self._reading)

    async def __aiter__(self) -> AsyncIterator[pb.ConverseResponse]:
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


async def opened(stub: FakeStub) -> Conversation:
    conversation = Conversation(stub)
    conversation.open()
    assert not conversation.is_open
    stub.says.put_nowait(pb.ConverseResponse())
    await settled()
    assert conversation.is_open
    conversation.open()  # it is
    return conversation


class Asking:
    """Of the call `name`; what is heard goes to `heard`."""

    def __init__(self, conversation: Conversation, name: str, heard: list[str]) -> None:
        request = pb.GenerateRequest(request_id=name)
        self.call = conversation.ask(request, {"traceparent": "00-1"})
        self._last: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call.tell(lambda response: heard.append(name), self._end)

    async def until_last(self) -> None:
        await asyncio.wait_for(self._last, 20)

    def _end(self, error: BatonError | None) -> None:
        if error is None:
            self._last.set_result(None)
        else:
            self._last.set_exception(error)


def tokens(call: int, last: bool = False, fault: pb.Fault | None = None) -> pb.ConverseResponse:
    event = pb.GenerateResponse(tokens=pb.GenerateTokens())
    told = pb.Told(call=call, events=[event], last=last, fault=fault)
    return pb.ConverseResponse(told=[told])


async def test_each_call_hears_its_own_until_its_last() -> None:
    stub, heard = FakeStub(), list[str]()
    conversation = await opened(stub)
    one, two = Asking(conversation, "one", heard), Asking(conversation, "two", heard)
    await settled()
    assert [want.ask.request.request_id for want in stub.wanted] == ["one", "two"]
    assert stub.wanted[0].ask.metadata == {"traceparent": "00-1"}
    first, second = (want.ask.call for want in stub.wanted)
    stub.says.put_nowait(tokens(first))
    stub.says.put_nowait(tokens(second))
    stub.says.put_nowait(tokens(first, last=True))
    await one.until_last()
    assert heard == ["one", "two", "one"]
    stub.says.put_nowait(tokens(first))  # nobody hears it, and nothing breaks
    one.call.cancel()  # it is over
    two.call.pause()
    two.call.resume()
    two.call.cancel()
    stub.says.put_nowait(tokens(second))
    await settled()
    assert heard == ["one", "two", "one"]
    assert [want.WhichOneof("want") for want in stub.wanted[2:]] == ["pause", "resume", "cancel"]
    assert {want.pause + want.resume + want.cancel for want in stub.wanted[2:]} == {second}
    await conversation.close()
    await stub.wanted_all()
    assert stub.calls == 1


async def test_a_call_ends_with_the_workers_error_and_the_others_go_on() -> None:
    stub, heard = FakeStub(), list[str]()
    conversation = await opened(stub)
    refused, other = Asking(conversation, "refused", heard), Asking(conversation, "other", heard)
    fault = wire.fault_to_pb(RefusedError("no room"))
    stub.says.put_nowait(tokens(1, last=True, fault=fault))
    with pytest.raises(RefusedError, match="no room"):
        await refused.until_last()
    stub.says.put_nowait(tokens(2, last=True))
    await other.until_last()
    await conversation.close()


async def test_what_breaks_it_breaks_what_is_told_there_and_it_opens_again() -> None:
    stub, heard = FakeStub(), list[str]()
    conversation = await opened(stub)
    lost, ended = Asking(conversation, "lost", heard), Asking(conversation, "ended", heard)
    stub.says.put_nowait(tokens(2, last=True))
    stub.says.put_nowait(broken(grpc.StatusCode.UNAVAILABLE))
    with pytest.raises(UnavailableError):
        await lost.until_last()
    await ended.until_last()
    await stub.wanted_all()
    assert not conversation.is_open
    conversation.open()
    stub.says.put_nowait(pb.ConverseResponse())
    await settled()
    Asking(conversation, "new", heard)
    await settled()
    assert stub.wanted[-1].ask.call == 3  # names are never used again
    await conversation.close()


async def test_a_worker_that_does_not_know_it_is_asked_once() -> None:
    stub = FakeStub()
    conversation = Conversation(stub)
    conversation.open()
    stub.says.put_nowait(broken(grpc.StatusCode.UNIMPLEMENTED))
    await settled()
    conversation.open()
    assert not conversation.is_open
    await settled()
    assert stub.calls == 1
    await conversation.close()
