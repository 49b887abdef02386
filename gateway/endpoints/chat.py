"""POST /v1/chat/completions"""

from collections.abc import Sequence

from fastapi import Request, Response

from gateway.caller import caller_of
from gateway.chat_format import ChatStream, chat_object
from gateway.delivery import Delivery
from gateway.json_text import to_json
from gateway.preparation import Preparation, ignored_header
from gateway.replies import JsonReply
from gateway.request_log import RequestLog, logged
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.message import Message
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
        grammar = await self._preparation.grammar(asked)
        caller = caller_of(request)
        limits = await self._preparation.limits(request.receive)
        prompt = await self._tokenizer.prompt_of(asked.messages, limits)
        jobs = self._preparation.jobs(asked, limits, caller, [prompt], "messages", grammar=grammar)
        head = self._preparation.head("chatcmpl", caller)
        options, headers = self._preparation.options(asked), ignored_header(asked)
        entry = self._log.begin(caller.request_id, lambda: written(asked.messages), jobs)
        if asked.stream:
            format = logged(ChatStream(head, jobs[0], options), entry)
            return self._delivery.stream(jobs, format, headers)
        answers = await self._delivery.whole(jobs, request.receive)
        if entry is not None:
            entry.answered(answers)
        return JsonReply(chat_object(head, answers[0], options), headers=headers)


def written(messages: Sequence[Message]) -> str:
    return to_json([message.model_dump(exclude_none=True) for message in messages])
