"""Chats in, answers out: what the chat endpoint and its neighbours ask of one model."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import Response
from starlette.types import Receive

from gateway.answers.answer import AnswerHead, AnswerOptions, StreamFormat
from gateway.answers.chat_format import ChatStream, chat_object
from gateway.answers.request_log import Entry, RequestLog, logged
from gateway.caller import Caller
from gateway.chat.chat_prompt import ChatPrompts
from gateway.http.replies import JsonReply
from gateway.http.sse import data_of
from gateway.job import Job
from gateway.json_text import to_json
from gateway.preparation import Preparation
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.message import Message
from gateway.serving.delivery import Delivery


@dataclass(frozen=True, slots=True)
class _Turn:
    """One chat, ready to be answered."""

    jobs: list[Job]  # one
    head: AnswerHead
    options: AnswerOptions
    entry: Entry | None
    unread: tuple[str, ...]  # fields that the chat template takes no notice of


class ChatAnswers:
    def __init__(
        self,
        preparation: Preparation,
        prompts: ChatPrompts,
        delivery: Delivery,
        log: RequestLog,
    ) -> None:
        self._preparation = preparation
        self._prompts = prompts
        self._delivery = delivery
        self._log = log

    async def reply(
        self, asked: ChatCompletionRequest, caller: Caller, receive: Receive
    ) -> Response:
        """Streamed or whole, as asked."""
        turn = await self._turn(asked, caller, receive)
        headers = self._preparation.headers(asked, turn.unread)
        if asked.stream:
            return self._delivery.stream(turn.jobs, self._format(turn), headers)
        return JsonReply(await self._whole(turn, receive), headers=headers)

    async def answer(
        self, asked: ChatCompletionRequest, caller: Caller, receive: Receive
    ) -> dict[str, object]:
        """The whole one, as JSON would have it. Raises ClientDisconnect."""
        return await self._whole(await self._turn(asked, caller, receive), receive)

    async def chunks(
        self, asked: ChatCompletionRequest, caller: Caller, receive: Receive
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """The streamed answer to translate, several chunks at once if they are ready together.
        Closing it cancels the work. What is wrong with the request is raised here.
        """
        turn = await self._turn(asked, caller, receive)
        return _parsed(self._delivery.events(turn.jobs, self._format(turn)))

    async def count(self, asked: ChatCompletionRequest, receive: Receive) -> int:
        """Tokens of the prompt."""
        return len((await self._prompts.of(asked, receive)).ids)

    async def _turn(self, asked: ChatCompletionRequest, caller: Caller, receive: Receive) -> _Turn:
        self._preparation.priorities.check(asked.priority)
        grammar = await self._preparation.grammar(asked, asked.tool_use)
        prompt = await self._prompts.of(asked, receive)
        jobs = self._preparation.jobs(
            asked,
            prompt.limits,
            caller,
            [prompt.ids],
            "messages",
            tool_use=asked.tool_use,
            chat=True,
            continued=bool(asked.continue_final_message),
            grammar=grammar,
            images=prompt.images,
        )
        await caller.visit.admit([job.bill for job in jobs])
        options = self._preparation.options(asked, prompt.rendering.role)
        last = asked.messages[-1]
        if asked.echo and last.role == options.role:
            jobs = [job.echoing(last.text) for job in jobs]
        head = self._preparation.head("chatcmpl", caller)
        entry = self._log.begin(lambda: written(asked.messages), jobs, asked.user)
        return _Turn(jobs, head, options, entry, tuple(prompt.rendering.unread))

    async def _whole(self, turn: _Turn, receive: Receive) -> dict[str, object]:
        answers = await self._delivery.whole(turn.jobs, receive)
        if turn.entry is not None:
            turn.entry.answered(answers)
        return chat_object(turn.head, answers[0], turn.options)

    def _format(self, turn: _Turn) -> StreamFormat:
        return logged(ChatStream(turn.head, turn.jobs[0], turn.options), turn.entry)


async def _parsed(
    events: AsyncGenerator[bytes, None],
) -> AsyncGenerator[list[dict[str, Any]], None]:
    async with aclosing(events):
        async for several in events:
            yield [json.loads(event) for event in data_of(several)]


def written(messages: Sequence[Message]) -> str:
    return to_json([message.model_dump(exclude_none=True) for message in messages])
