"""POST /v1/chat/completions"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response
from starlette.types import Receive

from gateway.answer import StreamFormat
from gateway.caller import Caller, caller_of
from gateway.chat_format import ChatStream, chat_object
from gateway.delivery import Delivery
from gateway.job import Job
from gateway.json_text import to_json
from gateway.preparation import Preparation, ignored_header
from gateway.replies import JsonReply
from gateway.request_log import RequestLog, logged
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.message import Message
from gateway.sse import data_of
from gateway.tokenizer import ChatTokenizer


class ChatEndpoint:
    def __init__(
        self,
        preparation: Preparation,
        tokenizer: ChatTokenizer,
        delivery: Delivery,
        log: RequestLog,
    ) -> None:
        self._preparation = preparation
        self._tokenizer = tokenizer
        self._delivery = delivery
        self._log = log

    async def __call__(self, request: Request) -> Response:
        asked = await self._preparation.read(ChatCompletionRequest, request)
        caller, headers = caller_of(request), ignored_header(asked.unknown_fields())
        if asked.stream:
            jobs, format = await self._streaming(asked, caller, request.receive)
            return self._delivery.stream(jobs, format, headers)
        return JsonReply(await self.answer(asked, caller, request.receive), headers=headers)

    async def answer(
        self, asked: ChatCompletionRequest, caller: Caller, receive: Receive
    ) -> dict[str, object]:
        """The whole one, as JSON would have it. Raises ClientDisconnect."""
        jobs = await self._jobs(asked, caller, receive)
        head, options = self._preparation.head("chatcmpl", caller), self._preparation.options(asked)
        entry = self._log.begin(caller.request_id, lambda: written(asked.messages), jobs)
        answers = await self._delivery.whole(jobs, receive)
        if entry is not None:
            entry.answered(answers)
        return chat_object(head, answers[0], options)

    async def chunks(
        self, asked: ChatCompletionRequest, caller: Caller, receive: Receive
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """The streamed answer to translate, several chunks at once if they are ready together.
        Closing it cancels the work. What is wrong with the request is raised here.
        """
        jobs, format = await self._streaming(asked, caller, receive)
        return _parsed(self._delivery.events(jobs, format))

    async def count(self, asked: ChatCompletionRequest, receive: Receive) -> int:
        """Tokens of the prompt."""
        limits = await self._preparation.limits(receive)
        return len(await self._tokenizer.prompt_of(asked.messages, limits))

    async def _streaming(
        self, asked: ChatCompletionRequest, caller: Caller, receive: Receive
    ) -> tuple[list[Job], StreamFormat]:
        jobs = await self._jobs(asked, caller, receive)
        head, options = self._preparation.head("chatcmpl", caller), self._preparation.options(asked)
        entry = self._log.begin(caller.request_id, lambda: written(asked.messages), jobs)
        return jobs, logged(ChatStream(head, jobs[0], options), entry)

    async def _jobs(
        self, asked: ChatCompletionRequest, caller: Caller, receive: Receive
    ) -> list[Job]:
        limits = await self._preparation.limits(receive)
        prompt = await self._tokenizer.prompt_of(asked.messages, limits)
        return self._preparation.jobs(asked, limits, caller, [prompt], "messages")


async def _parsed(
    events: AsyncGenerator[bytes, None],
) -> AsyncGenerator[list[dict[str, Any]], None]:
    async with aclosing(events):
        async for several in events:
            yield [json.loads(event) for event in data_of(several)]


def written(messages: Sequence[Message]) -> str:
    return to_json([message.model_dump(exclude_none=True) for message in messages])
