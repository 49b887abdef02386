"""POST /v1/completions"""

from fastapi import Request, Response

from gateway.answers.completion_format import CompletionStream, completion_object
from gateway.answers.request_log import logged
from gateway.caller import caller_of
from gateway.http.replies import JsonReply
from gateway.intake import Intake
from gateway.job import Job
from gateway.json_text import to_json
from gateway.limits import Limits, check_ids
from gateway.models.served_model import ServedModel
from gateway.prompts.detokenizer import Detokenizer
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.prompts.truncation import kept_ids, kept_tokens
from gateway.schema.completion import DEFAULT_MAX_TOKENS, CompletionRequest


class CompletionEndpoint:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, request: Request) -> Response:
        asked, model = await self._intake.read(CompletionRequest, request)
        preparation = model.preparation
        grammar = await preparation.grammar(asked)
        caller = caller_of(request)
        limits = await preparation.limits(request.receive)
        prompts = await _prompts(asked, limits, model.tokenizer)
        jobs = preparation.jobs(
            asked, limits, caller, prompts, "prompt", DEFAULT_MAX_TOKENS, grammar=grammar
        )
        await caller.visit.admit([job.bill for job in jobs])
        head = preparation.head("cmpl", caller)
        options, headers = preparation.options(asked), preparation.headers(asked)
        if asked.echo:
            jobs = _echoing(asked, jobs, model)
        entry = model.log.begin(lambda: to_json(asked.prompt), jobs, asked.user)
        if asked.stream:
            format = logged(CompletionStream(head, jobs, options), entry)
            return model.delivery.stream(jobs, format, headers)
        answers = await model.delivery.whole(jobs, request.receive)
        if entry is not None:
            entry.answered(answers)
        return JsonReply(completion_object(head, answers, options), headers=headers)


def _echoing(asked: CompletionRequest, jobs: list[Job], model: ServedModel) -> list[Job]:
    """With the texts as they came, or those that the tokens stand for."""
    texts = asked.texts or [_text(job, model.tokenizer) for job in jobs]
    return [job.echoing(text) for job, text in zip(jobs, texts, strict=True)]


def _text(job: Job, tokenizer: ChatTokenizer) -> str:
    vocabulary = tokenizer.vocabulary
    return Detokenizer(vocabulary, (), job.plan.visible(vocabulary)).push(job.prompt)


async def _prompts(
    asked: CompletionRequest, limits: Limits, tokenizer: ChatTokenizer
) -> list[list[int]]:
    wanted = asked.wanted_tokens or DEFAULT_MAX_TOKENS
    kept = kept_tokens(asked, limits, wanted)
    if asked.texts:
        special = asked.add_special_tokens is not False
        return await tokenizer.tokens_of(asked.texts, limits, special, kept)
    for ids in asked.token_ids:
        check_ids(ids, limits.vocab_size, "prompt")
    return [kept_ids(ids, kept) for ids in asked.token_ids]
