"""A completion as JSON. Choice j of prompt i has the index i * n + j."""

from collections.abc import Sequence

from baton.core.token_record import TokenLogprobs
from gateway.answer import AnswerHead, AnswerOptions, PromptAnswer, TokenCounts, whole_usage
from gateway.job import Job
from gateway.json_text import to_json
from gateway.output import Delta, Usage
from gateway.reading import Reading, told


def completion_object(
    head: AnswerHead, answers: Sequence[PromptAnswer], options: AnswerOptions
) -> dict[str, object]:
    """Every key is always there."""
    usage = sum((answer.usage for answer in answers), Usage(0, 0, 0))
    return {
        "id": head.answer_id,
        "object": "text_completion",
        "created": head.created,
        "model": head.model,
        "choices": _choices(answers, options),
        "service_tier": None,
        "system_fingerprint": head.fingerprint,
        "usage": whole_usage(usage, options),
        "kv_transfer_params": _transfers(answers),
    }


def _transfers(answers: Sequence[PromptAnswer]) -> dict[str, object] | None:
    """Of one prompt its object, of several a list of theirs."""
    objects = [told(answer.reading) for answer in answers]
    return objects[0] if len(objects) == 1 else {"prompts": objects}


def _choices(answers: Sequence[PromptAnswer], options: AnswerOptions) -> list[dict[str, object]]:
    pairs = [(answer, choice) for answer in answers for choice in answer.choices]
    return [
        {
            "index": index,
            "text": choice.text,
            "logprobs": None,
            "finish_reason": choice.finish_reason,
            "stop_reason": None,
            "token_ids": choice.token_ids if options.token_ids else None,
            "prompt_logprobs": None,
            "prompt_token_ids": list(answer.job.prompt) if options.token_ids else None,
        }
        for index, (answer, choice) in enumerate(pairs)
    ]


class CompletionStream:
    """Chunks with text, the last one of a choice with its finish reason too; then the usage."""

    def __init__(self, head: AnswerHead, jobs: Sequence[Job], options: AnswerOptions) -> None:
        self._jobs = jobs
        self._options = options
        self._scores: dict[int, tuple[TokenLogprobs, ...]] = {}  # by prompt
        self._counts = TokenCounts(jobs, options)
        self._last_tails: dict[int, str] = {}  # by prompt, of the chunks that end it
        self._head = (
            f'data: {{"id":{to_json(head.answer_id)},"object":"text_completion",'
            f'"created":{head.created},"model":{to_json(head.model)},"choices":['
        )

    def push(self, prompt: int, deltas: Sequence[Delta]) -> bytes:
        return "".join(self._chunk(prompt, delta) for delta in deltas).encode()

    def cached(self, prompt: int, num_tokens: int | None) -> None:
        self._counts.cached(prompt, num_tokens)

    def read(self, prompt: int, reading: Reading) -> None:
        self._last_tails[prompt] = f',"kv_transfer_params":{to_json(told(reading))}'

    def scored(self, prompt: int, scores: Sequence[TokenLogprobs]) -> None:
        self._scores[prompt] = tuple(scores)

    def end(self) -> bytes:
        if not self._options.usage:
            return b""
        return f'{self._head}],"usage":{to_json(self._counts.total())}}}\n\n'.encode()

    def _chunk(self, prompt: int, delta: Delta) -> str:
        before = self._counts.add(prompt, delta)
        job = self._jobs[prompt]
        reason, tail = "null", ""
        if delta.finish_reason is not None:
            reason, tail = f'"{delta.finish_reason}"', self._last_tails.get(prompt, "")
        ids, prompt_ids = "null", "null"
        if self._options.token_ids:
            ids = to_json(delta.token_ids)
            prompt_ids = to_json(job.prompt) if before == 0 else "null"
        return (
            f'{self._head}{{"index":{prompt * job.params.n + delta.choice},'
            f'"text":{to_json(delta.text)},"logprobs":null,"finish_reason":{reason},'
            f'"stop_reason":null,"prompt_token_ids":{prompt_ids},"token_ids":{ids}}}],'
            f'"usage":{self._usage(prompt, before + len(delta.token_ids))}{tail}}}\n\n'
        )

    def _usage(self, prompt: int, completion_tokens: int) -> str:
        if not self._options.continuous_usage:
            return "null"
        return to_json(self._counts.usage_of(prompt, completion_tokens))
