"""POST /v1/completions"""

from fastapi import Request, Response

from gateway.caller import caller_of
from gateway.completion_format import CompletionStream, completion_object
from gateway.delivery import Delivery
from gateway.detokenizer import Detokenizer
from gateway.job import Job
from gateway.json_text import to_json
from gateway.limits import Limits, check_ids
from gateway.preparation import Preparation
from gateway.replies import JsonReply
from gateway.request_log import RequestLog, logged
from gateway.schema.completion import DEFAULT_MAX_TOKENS, CompletionRequest
from gateway.tokenizer import ChatTokenizer
from gateway.truncation import kept_ids, kept_tokens


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
            asked, limits, caller, prompts, "prompt", DEFAULT_MAX_TOKENS, grammar=grammar
        )
        await caller.visit.admit([job.bill for job in jobs])
        head = self._preparation.head("cmpl", caller)
        options, headers = self._preparation.options(asked), self._preparation.headers(asked)
        if asked.echo:
            jobs = self._echoing(asked, jobs)
        entry = self._log.begin(lambda: to_json(asked.prompt), jobs, asked.user)
        if asked.stream:
            format = logged(CompletionStream(head, jobs, options), entry)
            return self._delivery.stream(jobs, format, headers)
        answers = await self._delivery.whole(jobs, request.receive)
        if entry is not None:
            entry.answered(answers)
        return JsonReply(completion_object(head, answers, options), headers=headers)

    def _echoing(self, asked: CompletionRequest, jobs: list[Job]) -> list[Job]:
        """With the texts as they came, or those that the tokens stand for."""
        texts = asked.texts or [self._text(job) for job in jobs]
        return [job.echoing(text) for job, text in zip(jobs, texts, strict=True)]

    def _text(self, job: Job) -> str:
        vocabulary = self._tokenizer.vocabulary
        return Detokenizer(vocabulary, (), job.plan.visible(vocabulary)).push(job.prompt)

    async def _prompts(self, asked: CompletionRequest, limits: Limits) -> list[list[int]]:
        wanted = asked.wanted_tokens or DEFAULT_MAX_TOKENS
        kept = kept_tokens(asked, limits, wanted)
        if asked.texts:
            special = asked.add_special_tokens is not False
            return await self._tokenizer.tokens_of(asked.texts, limits, special, kept)
        for ids in asked.token_ids:
            check_ids(ids, limits.vocab_size, "prompt")
        return [kept_ids(ids, kept) for ids in asked.token_ids]
