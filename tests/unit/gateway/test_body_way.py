"""The pieces of a stream pass by those that look at heads alone, and by nobody else."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.body_way import BodyWay
from gateway.http.sse import DONE, EventStream


class Noting:
    """Middleware that notes what an answer sends through it."""

    def __init__(self, app: ASGIApp) -> None:
        self.types: list[str] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            self.types.append(message["type"].rpartition(".")[2])
            await send(message)

        await self._app(scope, receive, note)


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"a"

    await EventStream(events(), {}, 5.0)(scope, receive, send)


async def test_whoever_stands_within_meets_the_head_alone() -> None:
    within = Noting(CORSMiddleware(stream, allow_origins=["*"]))
    around = Noting(BodyWay(within))
    sent: list[Message] = []

    async def receive() -> Message:
        return await asyncio.Future[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "headers": [(b"origin", b"http://x")]}
    await around(scope, receive, send)
    assert within.types == ["start"]
    assert around.types == ["start", "body", "body"]
    assert (b"access-control-allow-origin", b"*") in sent[0]["headers"]
    assert [message["body"] for message in sent[1:]] == [b"a", DONE]
