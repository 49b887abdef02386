"""HTTP/1.1 on one connection: uvicorn's parser, with bounds and with our error object."""

import asyncio
import re
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from baton.core.handoff import new_id
from gateway.errors import ErrorReply
from gateway.http.corked import Corked
from gateway.http.head_limits import HeadLimits
from gateway.json_text import to_json

HEAD_SECONDS = 60.0  # for them to arrive

MALFORMED = ErrorReply(400, "BadRequestError", "This is not a valid HTTP/1.1 request.")
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
REASONS = {400: "Bad Request", 431: "Request Header Fields Too Large"}


def protocol_with(limits: HeadLimits) -> "type[HttpProtocol]":
    """uvicorn makes one per connection, by itself."""
    return type("LimitedHttpProtocol", (HttpProtocol,), {"limits": limits})


class HttpProtocol(HttpToolsProtocol):
    """What the parser refuses never reaches the application, so it is answered here."""

    limits: ClassVar[HeadLimits] = HeadLimits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Corked(transport, self.loop))
        self._head_bytes = 0
        self._head_count = 0
        self._in_head = True
        self._between = True  # requests
        self._late = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(_without_upgrade(data) if self._between else data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.size:
                self._refuse(_too_large(f"larger than {self.limits.size} bytes"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._head_count = 0
        self._in_head = True
        self._between = False
        self._late.cancel()
        self._late = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_count += 1
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._late.cancel()
        if self._head_count > self.limits.count:
            self._refuse(_too_large(f"more than {self.limits.count}"))
            raise ValueError("too many headers")  # which ends the parsing
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._between = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(MALFORMED)

    def _give_up(self) -> None:
        if not self._answering:
            self.transport.close()

    def _refuse(self, reply: ErrorReply) -> None:
        """An answer that has begun is cut off, for nothing else can be said inside it."""
        self._late.cancel()
        if not self.transport.is_closing() and not self._answering:
            self.transport.write(_encoded(reply))
        self.transport.close()

    @property
    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        return cycle is not None and cycle.response_started and not cycle.response_complete


def _too_large(how: str) -> ErrorReply:
    return ErrorReply(431, "BadRequestError", f"The headers are {how}.")


def _without_upgrade(data: bytes) -> bytes:
    """The start of a request, its offer of another protocol renamed. A server may ignore the offer,
    but the parser would drop the body behind it; Java's client makes it with every request.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"\r\nx-ignored-upgrade:", head) + end + body


def _encoded(reply: ErrorReply) -> bytes:
    body = to_json(reply.body).encode()
    head = (
        f"HTTP/1.1 {reply.status} {REASONS[reply.status]}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {new_id()}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
