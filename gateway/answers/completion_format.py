"""A completion as JSON. Choice j of prompt i has the index i * n + j."""

from collections.abc import Sequence

from baton.core.token_record import TokenLogprobs, TokenRecord
from gateway.answers.answer import AnswerHead, AnswerOptions, PromptAnswer, TokenCounts, whole_usage
from gateway.answers.logprobs import CompletionLogprobs, joined
from gateway.job import Job
from gateway.json_text import text_to_json, to_json
from gateway.output import ChoiceText, Delta, Usage
from gateway.reading import Reading, told

_PLAIN_TAIL = (
    ',"logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,'
    '"token_ids":null}],"usage":null}\n\n'
)


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
        "choices": [
            _choice(index, answer, choice, options)
            for prompt, answer in enumerate(answers)
            for index, choice in enumerate(answer.choices, prompt * answer.job.params.n)
        ],
        "service_tier": None,
        "system_fingerprint": head.fingerprint,
        "usage": whole_usage(usage, options),
        "kv_transfer_params": _transfers(answers),
    }


def _transfers(answers: Sequence[PromptAnswer]) -> dict[str, object] | None:
    """Of one prompt its object, of several a list of theirs."""
    objects = [told(answer.reading) for answer in answers]
    return objects[0] if len(objects) == 1 else {"prompts": objects}


def _choice(
    index: int, answer: PromptAnswer, choice: ChoiceText, options: AnswerOptions
) -> dict[str, object]:
    scores = Scores(answer.job, options)
    return {
        "index": index,
        "text": (answer.job.plan.echo or "") + choice.text,
        "logprobs": scores.begin(answer.prompt_scores, choice.records),
        "finish_reason": choice.finish_reason,
        "stop_reason": choice.stop_reason,
        "token_ids": choice.token_ids if options.token_ids else None,
        "prompt_logprobs": answer.shown_scores(options),
        "prompt_token_ids": list(answer.job.prompt) if options.token_ids else None,
    }


class Scores:
    """The `logprobs` of one choice, None where they were not asked for."""

    def __init__(self, job: Job, options: AnswerOptions) -> None:
        shown = job.plan.echo is not None
        self._prompt = job.prompt if shown else ()
        self._lists: CompletionLogprobs | None = None
        names, top = options.names, job.params.logprobs
        if names is not None and top is not None:
            visible = job.plan.visible(names.vocabulary)
            self._lists = CompletionLogprobs(names, top, () if shown else job.prompt, visible)

    @property
    def shown(self) -> bool:
        return self._lists is not None

    def begin(
        self, prompt_scores: Sequence[TokenLogprobs], records: Sequence[TokenRecord]
    ) -> dict[str, object] | None:
        """Of the first tokens, and before them of a prompt that is repeated."""
        if self._lists is None:
            return None
        if not self._prompt:
            return self._lists.push(records)
        first = self._lists.prompt(self._prompt, prompt_scores)
        return joined(first, self._lists.push(records))

    def push(self, records: Sequence[TokenRecord]) -> dict[str, object] | None:
        return None if self._lists is None else self._lists.push(records)


class CompletionStream:
    """Chunks with text, the last one of a choice with its finish reason too; then the usage. Of most
    chunks nothing but the text is new: what stands around it is encoded once.
    """

    def __init__(self, head: AnswerHead, jobs: Sequence[Job], options: AnswerOptions) -> None:
        self._jobs = jobs
        self._options = options
        self._prompt_scores: dict[int, tuple[TokenLogprobs, ...]] = {}  # by prompt
        self._scores: dict[tuple[int, int], Scores] = {}  # by prompt and choice; those begun
        self._plain: dict[tuple[int, int], str] = {}  # what such a choice's chunks begin with
        self._counts = TokenCounts(jobs, options)
        self._last_tails: dict[int, str] = {}  # by prompt, of the chunks that end it
        self._head = (
            f'data: {{"id":{to_json(head.answer_id)},"object":"text_completion",'
            f'"created":{head.created},"model":{to_json(head.model)},"choices":['
        )

    def push(self, prompt: int, deltas: Sequence[Delta]) -> bytes:
        return "".join([self._chunk(prompt, delta) for delta in deltas]).encode()

    def cached(self, prompt: int, num_tokens: int | None) -> None:
        self._counts.cached(prompt, num_tokens)

    def read(self, prompt: int, reading: Reading) -> None:
        self._last_tails[prompt] = f',"kv_transfer_params":{to_json(told(reading))}'

    def scored(self, prompt: int, scores: Sequence[TokenLogprobs]) -> None:
        self._prompt_scores[prompt] = tuple(scores)

    def end(self) -> bytes:
        if not self._options.usage:
            return b""
        return f'{self._head}],"usage":{to_json(self._counts.total())}}}\n\n'.encode()

    def _chunk(self, prompt: int, delta: Delta) -> str:
        count = self._counts.add(prompt, delta) + delta.num_tokens
        key = prompt, delta.choice
        plain = self._plain.get(key)
        if plain is not None and delta.finish_reason is None and delta.resume is None:
            return f"{plain}{text_to_json(delta.text)}{_PLAIN_TAIL}"
        job, options = self._jobs[prompt], self._options
        start = f'{self._head}{{"index":{prompt * job.params.n + delta.choice},"text":'
        ids, prompt_ids, text = "null", "null", delta.text
        if options.token_ids:
            ids = to_json(delta.token_ids)
        known = self._scores.get(key)
        if known is None:
            known = self._scores[key] = Scores(job, options)
            text = (job.plan.echo or "") + text
            scores = known.begin(self._prompt_scores.get(prompt, ()), delta.records)
            prompt_ids = to_json(job.prompt) if options.token_ids else "null"
            if not (known.shown or options.token_ids or options.continuous_usage):
                self._plain[key] = start
        else:
            scores = known.push(delta.records)
        reason, tail = "null", ""
        if delta.finish_reason is not None:
            reason, tail = f'"{delta.finish_reason}"', self._last_tails.get(prompt, "")
        elif delta.resume is not None:
            tail = f',"kv_transfer_params":{{"resume":{to_json(delta.resume)}}}'
        stop = "null" if delta.stop_reason is None else to_json(delta.stop_reason)
        return (
            f'{start}{text_to_json(text)},"logprobs":{_encoded(scores)},"finish_reason":{reason},'
            f'"stop_reason":{stop},"prompt_token_ids":{prompt_ids},"token_ids":{ids}}}],'
            f'"usage":{self._usage(prompt, count)}{tail}}}\n\n'
        )

    def _usage(self, prompt: int, completion_tokens: int) -> str:
        if not self._options.continuous_usage:
            return "null"
        return to_json(self._counts.usage_of(prompt, completion_tokens))


def _encoded(scores: dict[str, object] | None) -> str:
    return "null" if scores is None else to_json(scores)
