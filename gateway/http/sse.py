"""Server-sent events, written straight to the ASGI server."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from baton.core.errors import BatonError
from gateway.errors import INTERNAL, ErrorReply, reply_to
from gateway.http.body_way import body_way
from gateway.http.disconnect import until_disconnect
from gateway.http.request_scope import trace_of
from gateway.json_text import to_json
from gateway.telemetry.request_trace import RequestTrace
from gateway.time_limit import TimeLimit

logger = logging.getLogger(__name__)

_START, _PIECE = "http.response.start", "http.response.body"
DONE = b"data: [DONE]\n\n"
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class EventStream(Response):
    """The response begins with the first event. An error before it is a real status, raised to
    the caller; an error after it is told by what `broken` makes of it. `end` is always last, and
    goes out together with what `last` makes of a whole answer.

    `events` yields encoded events, several at once if they are ready together. A client that
    reads nothing for `stall` seconds is given up.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        headers: Mapping[str, str],
        stall: float,
        broken: Callable[[ErrorReply], bytes] | None = None,
        end: bytes = DONE,
        last: Callable[[], bytes] = bytes,
    ) -> None:
        super().__init__(headers={**headers, **HEADERS})
        del self.headers["content-length"]
        self._events = events
        self._stall = stall
        self._broken = broken or error_event
        self._end = end
        self._last = last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = self._write_bounded(send, body_way(scope, send), trace_of(Request(scope)))
        await until_disconnect(receive, writing)

    async def _write_bounded(self, send: Send, way: Send, trace: RequestTrace | None) -> None:
        """Given up when one event has waited for the client for too long."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as patience:
                limit = TimeLimit(lambda: patience.reschedule(loop.time()))
                try:
                    await self._write(_Out(send, way, limit, self._stall), trace)
                finally:
                    limit.close()
        except TimeoutError as error:
            if not patience.expired():
                raise
            raise ClientDisconnect from error

    async def _write(self, out: "_Out", trace: RequestTrace | None) -> None:
        async with aclosing(self._events) as events:
            first = await anext(events)
            await out.head({"type": _START, "status": 200, "headers": self.raw_headers})
            await out.piece(first)
            end = self._end
            try:
                async for event in events:
                    await out.piece(event)
                end = self._last() + end
            except BatonError as error:
                logger.warning("the stream broke: %s", error)
                await out.piece(self._broken_by(reply_to(error), trace))
            except ClientDisconnect:
                raise
            except Exception:  # the client was promised an end
                logger.exception("the stream broke")
                await out.piece(self._broken_by(INTERNAL, trace))
        await out.piece(end, more=False)

    def _broken_by(self, reply: ErrorReply, trace: RequestTrace | None) -> bytes:
        if trace is not None:
            trace.failed(reply.message)
        return self._broken(reply)


class _Out:
    """To the client, whose buffer may be full: every wait for it is bounded."""

    def __init__(self, send: Send, way: Send, limit: TimeLimit, seconds: float) -> None:
        """`way`: of what comes behind the head."""
        self._send = send
        self._way = way
        self._limit = limit
        self._seconds = seconds

    async def head(self, message: Message) -> None:
        self._limit.begin(self._seconds)
        await self._send(message)
        self._limit.end()

    async def piece(self, body: bytes, more: bool = True) -> None:
        self._limit.begin(self._seconds)
        await self._way({"type": _PIECE, "body": body, "more_body": more})
        self._limit.end()


def error_event(reply: ErrorReply) -> bytes:
    return f"data: {to_json(reply.body)}\n\n".encode()


def data_of(events: bytes) -> list[bytes]:
    """Of whole events that have one line each; comments have none."""
    lines = events.split(b"\n\n")
    return [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]


def named_event(event: Mapping[str, object]) -> bytes:
    """One that says its type twice, as newer APIs have it."""
    return f"event: {event['type']}\ndata: {to_json(event)}\n\n".encode()
