"""POST /v1/messages and /v1/messages/count_tokens"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from fastapi import Request, Response

from baton.core.handoff import new_id
from gateway.caller import caller_of
from gateway.errors import ErrorReply
from gateway.http.replies import JsonReply
from gateway.http.sse import EventStream, named_event
from gateway.intake import Intake
from gateway.models.served_model import ServedModel
from gateway.preparation import ignored_header
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.foreign import foreign_keys
from gateway.schema.messages import (
    REFUSED_IN_MESSAGES,
    CountTokensRequest,
    MessagesRequest,
)
from gateway.schema.parse import checked
from gateway.translations.messages_answer import whole_message
from gateway.translations.messages_error import anthropic_error
from gateway.translations.messages_request import NAMES, chat_request, prompt_request
from gateway.translations.messages_stream import MessageStream
from gateway.translations.passed_on import ignored
from gateway.translations.reading import read
from gateway.translations.told_as import told_as

A = TypeVar("A", bound=CountTokensRequest)


class MessagesEndpoint:
    def __init__(self, intake: Intake, stall: float) -> None:
        self._intake = intake
        self._stall = stall  # seconds that a client may read nothing

    async def create(self, request: Request) -> Response:
        asked, model, headers = await self._read(MessagesRequest, request)
        caller, message_id = caller_of(request), f"msg_{new_id()}"
        fields = chat_request(asked)
        with told_as(NAMES):
            chat = await asyncio.to_thread(checked, ChatCompletionRequest, fields)
            if not asked.stream:
                answer = await model.chat.answer(chat, caller, request.receive)
                return JsonReply(whole_message(message_id, answer), headers=headers)
            chunks = await model.chat.chunks(chat, caller, request.receive)
        events = _events(MessageStream(message_id), chunks)
        return EventStream(events, headers, self._stall, _broken, end=b"")

    async def count_tokens(self, request: Request) -> Response:
        asked, model, headers = await self._read(CountTokensRequest, request)
        fields = prompt_request(asked)
        with told_as(NAMES):
            chat = await asyncio.to_thread(checked, ChatCompletionRequest, fields)
            count = await model.chat.count(chat, request.receive)
        return JsonReply({"input_tokens": count}, headers=headers)

    async def _read(self, kind: type[A], request: Request) -> tuple[A, ServedModel, dict[str, str]]:
        parse = partial(read, kind, REFUSED_IN_MESSAGES)
        asked = await self._intake.read_by(parse, request)
        unknown = [*ignored(asked.foreign), *foreign_keys(asked)]
        return asked, self._intake.choose(request, asked.model, unknown), ignored_header(unknown)


async def _events(
    stream: MessageStream, chunks: AsyncGenerator[list[dict[str, Any]], None]
) -> AsyncGenerator[bytes, None]:
    with told_as(NAMES):
        async with aclosing(chunks):
            async for several in chunks:
                events = [event for chunk in several for event in stream.push(chunk)]
                yield b"".join(map(named_event, events))
    yield b"".join(map(named_event, stream.end()))


def _broken(reply: ErrorReply) -> bytes:
    return named_event(anthropic_error(reply))
