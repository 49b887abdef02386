"""POST /v1/chat/completions"""

from fastapi import Request, Response

from gateway.caller import caller_of
from gateway.chat_format import ChatStream, chat_object
from gateway.delivery import Delivery
from gateway.preparation import Preparation, ignored_header, options_of
from gateway.replies import JsonReply
from gateway.schema.chat import ChatCompletionRequest
from gateway.tokenizer import ChatTokenizer


class ChatEndpoint:
    def __init__(
        self, preparation: Preparation, tokenizer: ChatTokenizer, delivery: Delivery
    ) -> None:
        self._preparation = preparation
        self._tokenizer = tokenizer
        self._delivery = delivery

    async def __call__(self, request: Request) -> Response:
        asked = await self._preparation.read(ChatCompletionRequest, request)
        caller = caller_of(request)
        limits = await self._preparation.limits(request.receive)
        prompt = await self._tokenizer.prompt_of(asked.messages, limits)
        jobs = self._preparation.jobs(asked, limits, caller, [prompt], "messages")
        head = self._preparation.head("chatcmpl", caller)
        options, headers = options_of(asked), ignored_header(asked)
        if asked.stream:
            return self._delivery.stream(jobs, ChatStream(head, jobs[0], options), headers)
        answers = await self._delivery.whole(jobs, request.receive)
        return JsonReply(chat_object(head, answers[0], options), headers=headers)
