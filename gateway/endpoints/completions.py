"""POST /v1/completions"""

from fastapi import Request, Response

from baton.core.errors import RequestError
from gateway.caller import caller_of
from gateway.completion_format import CompletionStream, completion_object
from gateway.delivery import Delivery
from gateway.json_text import to_json
from gateway.limits import Limits
from gateway.preparation import Preparation, ignored_header
from gateway.replies import JsonReply
from gateway.request_log import RequestLog, logged
from gateway.schema.completion import DEFAULT_MAX_TOKENS, CompletionRequest
from gateway.tokenizer import ChatTokenizer


class CompletionEndpoint:
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
        asked = await self._preparation.read(CompletionRequest, request)
        grammar = await self._preparation.grammar(asked)
        caller = caller_of(request)
        limits = await self._preparation.limits(request.receive)
        prompts = await self._prompts(asked, limits)
        jobs = self._preparation.jobs(
            asked, limits, caller, prompts, "prompt", DEFAULT_MAX_TOKENS, grammar
        )
        head = self._preparation.head("cmpl", caller)
        options, headers = self._preparation.options(asked), ignored_header(asked)
        entry = self._log.begin(caller.request_id, lambda: to_json(asked.prompt), jobs)
        if asked.stream:
            format = logged(CompletionStream(head, jobs, options), entry)
            return self._delivery.stream(jobs, format, headers)
        answers = await self._delivery.whole(jobs, request.receive)
        if entry is not None:
            entry.answered(answers)
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
