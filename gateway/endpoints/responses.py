"""POST /v1/responses, and what was stored of it: GET, DELETE, POST .../cancel"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import Request, Response

from baton.core.errors import RequestError
from baton.core.handoff import new_id
from gateway.caller import Caller, caller_of
from gateway.errors import ErrorReply
from gateway.http.auth import tenant_of
from gateway.http.replies import JsonReply
from gateway.http.sse import EventStream, named_event
from gateway.intake import Intake
from gateway.preparation import ignored_header
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.foreign import foreign_keys
from gateway.schema.parse import checked
from gateway.schema.responses import REFUSED_IN_RESPONSES, ResponsesRequest
from gateway.serving.until import until_set
from gateway.translations.passed_on import ignored
from gateway.translations.reading import read
from gateway.translations.response_desk import ResponseDesk
from gateway.translations.responses_answer import begun, whole_response
from gateway.translations.responses_request import (
    NAMES,
    ChatMessage,
    chat_request,
    messages_of,
)
from gateway.translations.responses_stream import ResponseStream
from gateway.translations.told_as import told_as

Chunks = AsyncGenerator[list[dict[str, Any]], None]


class ResponsesEndpoint:
    def __init__(self, intake: Intake, desk: ResponseDesk, stall: float) -> None:
        self._intake = intake
        self._desk = desk
        self._stall = stall  # seconds that a client may read nothing

    async def create(self, request: Request) -> Response:
        parse = partial(read, ResponsesRequest, REFUSED_IN_RESPONSES)
        asked = await self._intake.read_by(parse, request, "input")
        unknown = [*ignored(asked.foreign), *foreign_keys(asked)]
        model = self._intake.choose(request, asked.model, unknown)
        caller, headers = caller_of(request), ignored_header(unknown)
        earlier = self._desk.conversation(caller.tenant, asked.previous_response_id)
        response = begun(asked, f"resp_{new_id()}", int(time.time()))
        fields = chat_request(asked, earlier)
        with told_as(NAMES):
            chat = await asyncio.to_thread(checked, ChatCompletionRequest, fields)
            if not asked.stream:
                answer = await model.chat.answer(chat, caller, request.receive)
                whole = whole_response(response, asked, answer)
                return JsonReply(self._kept(whole, asked, caller, earlier), headers=headers)
            chunks = await model.chat.chunks(chat, caller, request.receive)
        stream = ResponseStream(response, asked.wants_encrypted)
        return self._streamed(stream, chunks, asked, caller, earlier, headers)

    async def get(self, response_id: str, request: Request) -> Response:
        for name in request.query_params:
            raise RequestError(f"{name!r} is not supported here", name)
        return JsonReply(self._desk.get(tenant_of(request), response_id))

    async def cancel(self, response_id: str, request: Request) -> Response:
        return JsonReply(self._desk.cancel(tenant_of(request), response_id))

    async def delete(self, response_id: str, request: Request) -> Response:
        self._desk.delete(tenant_of(request), response_id)
        return JsonReply({"id": response_id, "object": "response", "deleted": True})

    def _streamed(
        self,
        stream: ResponseStream,
        chunks: Chunks,
        asked: ResponsesRequest,
        caller: Caller,
        earlier: list[ChatMessage],
        headers: Mapping[str, str],
    ) -> Response:
        def broken(reply: ErrorReply) -> bytes:
            events = stream.failed(reply.message)
            self._kept(stream.response, asked, caller, earlier)
            return encoded(events)

        events = self._events(stream, chunks, asked, caller, earlier)
        return EventStream(events, headers, self._stall, broken, end=b"")

    async def _events(
        self,
        stream: ResponseStream,
        chunks: Chunks,
        asked: ResponsesRequest,
        caller: Caller,
        earlier: list[ChatMessage],
    ) -> AsyncGenerator[bytes, None]:
        """The response is kept before its last event tells that it is there."""
        running = self._desk.begin(caller.tenant, stream) if asked.is_stored else None
        ended = False
        try:
            if running is not None:
                chunks = until_set(running.cancelled, chunks)
            with told_as(NAMES):
                async with aclosing(chunks):
                    async for several in chunks:
                        yield encoded(event for chunk in several for event in stream.push(chunk))
            is_cancelled = running is not None and running.cancelled.is_set()
            last = stream.cancelled() if is_cancelled else stream.end()
            kept = self._kept(stream.response, asked, caller, earlier)
            ended = True
            yield encoded([*last[:-1], {**last[-1], "response": kept}])
        except (GeneratorExit, asyncio.CancelledError):
            if not ended:  # the client went away
                stream.cancelled()
                self._kept(stream.response, asked, caller, earlier)
            raise
        finally:
            self._desk.end(caller.tenant, stream.response["id"])

    def _kept(
        self,
        response: dict[str, Any],
        asked: ResponsesRequest,
        caller: Caller,
        earlier: list[ChatMessage],
    ) -> dict[str, Any]:
        if not asked.is_stored:
            return response
        before = [*earlier, *messages_of(asked.input)]
        return self._desk.keep(caller.tenant, response, before)


def encoded(events: Iterable[Mapping[str, object]]) -> bytes:
    return b"".join(map(named_event, events))
