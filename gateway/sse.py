"""Server-sent events, written straight to the ASGI server."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from baton.core.errors import BatonError
from gateway.disconnect import until_disconnect
from gateway.errors import INTERNAL, ErrorReply, reply_to
from gateway.json_text import to_json
from gateway.request_scope import trace_of
from gateway.request_trace import RequestTrace
from gateway.time_limit import TimeLimit

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class EventStream(Response):
    """The response begins with the first event. An error before it is a real status, raised to
    the caller; an error after it is told by what `broken` makes of it. `end` is always last.

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
    ) -> None:
        super().__init__(headers={**headers, **HEADERS})
        del self.headers["content-length"]
        self._events = events
        self._stall = stall
        self._broken = broken or error_event
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = self._write_bounded(send, trace_of(Request(scope)))
        await until_disconnect(receive, writing)

    async def _write_bounded(self, send: Send, trace: RequestTrace | None) -> None:
        """Given up when one event has waited for the client for too long."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as patience:
                limit = TimeLimit(lambda: patience.reschedule(loop.time()))
                try:
                    await self._write(_Bounded(send, limit, self._stall), trace)
                finally:
                    limit.close()
        except TimeoutError as error:
            if not patience.expired():
                raise
            raise ClientDisconnect from error

    async def _write(self, send: Send, trace: RequestTrace | None) -> None:
        async with aclosing(self._events) as events:
            first = await anext(events)
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            await self._send(send, first)
            try:
                async for event in events:
                    await self._send(send, event)
            except BatonError as error:
                logger.warning("the stream broke: %s", error)
                await self._send(send, self._broken_by(reply_to(error), trace))
            except ClientDisconnect:
                raise
            except Exception:  # the client was promised an end
                logger.exception("the stream broke")
                await self._send(send, self._broken_by(INTERNAL, trace))
        await self._send(send, self._end, more=False)

    def _broken_by(self, reply: ErrorReply, trace: RequestTrace | None) -> bytes:
        if trace is not None:
            trace.failed(reply.message)
        return self._broken(reply)

    async def _send(self, send: Send, body: bytes, more: bool = True) -> None:
        """Waits while the client's buffer is full."""
        await send({"type": "http.response.body", "body": body, "more_body": more})


class _Bounded:
    """A `send` whose every wait is bounded."""

    def __init__(self, send: Send, limit: TimeLimit, seconds: float) -> None:
        self._send = send
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, message: Message) -> None:
        self._limit.begin(self._seconds)
        await self._send(message)
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
