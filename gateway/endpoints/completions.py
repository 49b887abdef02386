"""POST /v1/completions"""

from fastapi import Request, Response

from baton.core.errors import RequestError
from gateway.caller import caller_of
from gateway.completion_format import CompletionStream, completion_object
from gateway.delivery import Delivery
from gateway.limits import Limits
from gateway.preparation import Preparation, ignored_header, options_of
from gateway.replies import JsonReply
from gateway.schema.completion import DEFAULT_MAX_TOKENS, CompletionRequest
from gateway.tokenizer import ChatTokenizer


class CompletionEndpoint:
    def __init__(
        self, preparation: Preparation, tokenizer: ChatTokenizer, delivery: Delivery
    ) -> None:
        self._preparation = preparation
        self._tokenizer = tokenizer
        self._delivery = delivery

    async def __call__(self, request: Request) -> Response:
        asked = await self._preparation.read(CompletionRequest, request)
        caller = caller_of(request)
        limits = await self._preparation.limits(request.receive)
        prompts = await self._prompts(asked, limits)
        jobs = self._preparation.jobs(asked, limits, caller, prompts, "prompt", DEFAULT_MAX_TOKENS)
        head = self._preparation.head("cmpl", caller)
        options, headers = options_of(asked), ignored_header(asked)
        if asked.stream:
            return self._delivery.stream(jobs, CompletionStream(head, jobs, options), headers)
        answers = await self._delivery.whole(jobs, request.receive)
        return JsonReply(completion_object(head, answers, options), headers=headers)

    async def _prompts(self, asked: CompletionRequest, limits: Limits) -> list[list[int]]:
        if asked.texts:
            return await self._tokenizer.tokens_of(asked.texts, limits)
        largest = max((max(ids, default=0) for ids in asked.token_ids), default=0)
        if largest >= limits.vocab_size:
            raise RequestError(
                f"token id {largest} is not below the vocabulary's size, {limits.vocab_size}",
                "prompt",
            )
        return asked.token_ids
