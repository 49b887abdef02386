"""A call with a stream of its own: told as it comes, as long as it is not paused, up to its end."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from baton.core.errors import BatonError, InternalError, RefusedError, UnavailableError
from baton.v1 import decode_pb2 as pb
from gateway.call_events import CallEvent, Lent, Released
from gateway.members.calls import HandOverCall, StreamCall, hand_over_event

LENT = pb.HandOverResponse(lent=pb.HandOverLent())
RELEASED = pb.HandOverResponse(released=pb.HandOverReleased(confirmed=True))


class FakeStream:
    """Of gRPC's: messages as they are put, then what it ends with."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[pb.HandOverResponse | BaseException | None] = asyncio.Queue()
        self.read = 0  # messages that were asked for
        self.cancelled = False

    async def __aiter__(self) -> AsyncIterator[pb.HandOverResponse]:
        while True:
            self.read += 1
            said = await self.says.get()
            if said is None:
                return
            if isinstance(said, BaseException):
                raise said
            yield said

    def cancel(self) -> None:
        self.cancelled = True


class Listener:
    def __init__(self, call: HandOverCall) -> None:
        self.heard: list[CallEvent] = []
        self.last: asyncio.Future[BatonError | None] = asyncio.get_running_loop().create_future()
        call.tell(self.heard.append, self.last.set_result)

    async def until_last(self) -> BatonError | None:
        return await asyncio.wait_for(self.last, 20)


def begun() -> tuple[FakeStream, HandOverCall, Listener]:
    stream = FakeStream()
    call: HandOverCall = StreamCall(stream, hand_over_event)
    return stream, call, Listener(call)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_events_are_told_in_order_and_then_the_end() -> None:
    stream, _, listener = begun()
    for said in (LENT, pb.HandOverResponse(), RELEASED, None):  # the second: of a newer worker
        stream.says.put_nowait(said)
    assert await listener.until_last() is None
    assert listener.heard == [Lent(), Released(True)]


async def test_while_it_is_paused_nothing_more_is_read() -> None:
    stream, call, listener = begun()
    call.pause()
    for said in (LENT, RELEASED, None):
        stream.says.put_nowait(said)
    await settled()
    assert (listener.heard, stream.read) == ([Lent()], 1)  # the one that was on its way
    call.resume()
    assert await listener.until_last() is None
    assert listener.heard == [Lent(), Released(True)]


def broken(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, "x")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (broken(grpc.StatusCode.RESOURCE_EXHAUSTED), RefusedError),
        (broken(grpc.StatusCode.UNAVAILABLE), UnavailableError),
        (asyncio.CancelledError(), UnavailableError),  # its channel was closed
        (ValueError("x"), InternalError),
    ],
)
async def test_what_breaks_it_is_told_last(how: BaseException, told: type[BatonError]) -> None:
    stream, _, listener = begun()
    stream.says.put_nowait(LENT)
    stream.says.put_nowait(how)
    assert isinstance(await listener.until_last(), told)
    assert listener.heard == [Lent()]


async def test_once_cancelled_it_tells_nothing_more() -> None:
    stream, call, listener = begun()
    await settled()
    call.cancel()
    stream.says.put_nowait(LENT)
    await settled()
    assert stream.cancelled
    assert not listener.heard
    assert not listener.last.done()
