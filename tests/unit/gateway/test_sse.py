"""What a streaming response sends, in which order, and when it begins."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from baton.core.errors import UnavailableError
from gateway.http.sse import DONE, EventStream, data_of, named_event

SCOPE: Scope = {"type": "http", "state": {"request_id": "r"}}


async def never() -> Message:
    return await asyncio.Future[Message]()


class Wire:
    """Keeps what is sent; `full` after so many messages."""

    def __init__(self, capacity: int = 100) -> None:
        self.sent: list[Message] = []
        self._capacity = capacity

    async def send(self, message: Message) -> None:
        if len(self.sent) == self._capacity:
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent if "body" in message]


async def two(error: Exception | None = None) -> AsyncGenerator[bytes, None]:
    yield b"a"
    yield b"b"
    if error is not None:
        raise error


async def test_events_then_done() -> None:
    wire = Wire()
    await EventStream(two(), {"x-own": "1"}, 5.0)(SCOPE, never, wire.send)
    assert wire.bodies == [b"a", b"b", DONE]
    assert wire.sent[0]["status"] == 200
    assert (b"x-own", b"1") in wire.sent[0]["headers"]
    assert [message.get("more_body") for message in wire.sent[1:]] == [True, True, False]


async def test_an_error_before_the_first_event_sends_nothing() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        raise UnavailableError("x")
        yield b""

    wire = Wire()
    with pytest.raises(UnavailableError):
        await EventStream(broken(), {}, 5.0)(SCOPE, never, wire.send)
    assert wire.sent == []


@pytest.mark.parametrize(("error", "code"), [(UnavailableError("x"), 503), (ValueError("x"), 500)])
async def test_an_error_later_is_one_event_before_done(error: Exception, code: int) -> None:
    wire = Wire()
    await EventStream(two(error), {}, 5.0)(SCOPE, never, wire.send)
    *_, event, done = wire.bodies
    assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == code
    assert done == DONE


@pytest.mark.parametrize("error", [None, UnavailableError("x")])
async def test_what_a_whole_answer_ends_with_goes_out_with_the_end(
    error: Exception | None,
) -> None:
    wire = Wire()
    stream = EventStream(two(error), {}, 5.0, last=lambda: b"usage ")
    await stream(SCOPE, never, wire.send)
    assert wire.bodies[-1] == (DONE if error else b"usage " + DONE)
    assert wire.sent[-1]["more_body"] is False


async def test_a_client_that_takes_nothing_is_given_up_and_the_source_closed() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    wire = Wire(capacity=4)
    with pytest.raises(ClientDisconnect):
        await EventStream(endless(), {}, 0.02)(SCOPE, never, wire.send)
    assert closed.is_set()
    assert len(wire.sent) == 4


async def test_a_client_that_leaves_closes_the_source() -> None:
    closed, waiting = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncGenerator[bytes, None]:
        try:
            yield b"x"
            waiting.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def leaves() -> Message:
        await waiting.wait()
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        await EventStream(slow(), {}, 5.0)(SCOPE, leaves, Wire().send)
    assert closed.is_set()


def test_the_data_of_events_is_read_back() -> None:
    assert data_of(b'data: {"a":1}\n\n: keep-alive\n\ndata: {}\n\n') == [b'{"a":1}', b"{}"]
    assert named_event({"type": "ping"}) == b'event: ping\ndata: {"type":"ping"}\n\n'
