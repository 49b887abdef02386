"""A chat answer as JSON: one object, or chunks whose unchanging parts are encoded once."""

from collections.abc import Sequence

from baton.core.token_record import TokenLogprobs, TokenRecord
from gateway.answers.answer import AnswerHead, AnswerOptions, PromptAnswer, TokenCounts, whole_usage
from gateway.answers.logprobs import chat_logprobs
from gateway.job import Job
from gateway.json_text import text_to_json, to_json
from gateway.output import ChoiceText, Delta, ToolCallDelta
from gateway.reading import Reading, told

_PLAIN_TAIL = '},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'


def chat_object(
    head: AnswerHead, answer: PromptAnswer, options: AnswerOptions
) -> dict[str, object]:
    """Every key is always there."""
    return {
        "id": head.answer_id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [_choice(i, answer.job, c, options) for i, c in enumerate(answer.choices)],
        "service_tier": None,
        "system_fingerprint": head.fingerprint,
        "usage": whole_usage(answer.usage, options),
        "prompt_logprobs": answer.shown_scores(options),
        "prompt_token_ids": list(answer.job.prompt) if options.token_ids else None,
        "kv_transfer_params": told(answer.reading),
    }


def _choice(index: int, job: Job, choice: ChoiceText, options: AnswerOptions) -> dict[str, object]:
    return {
        "index": index,
        "message": {
            "role": options.role,
            "content": _content(choice, job),
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in choice.tool_calls
            ],
            "reasoning": choice.reasoning or None,
            "reasoning_content": choice.reasoning or None,
        },
        "logprobs": _logprobs(choice.records, job, options),
        "finish_reason": choice.finish_reason,
        "stop_reason": choice.stop_reason,
        "token_ids": choice.token_ids if options.token_ids else None,
    }


def _content(choice: ChoiceText, job: Job) -> str | None:
    """A call that the client insisted on stands beside empty content, one that the model chose
    beside none.
    """
    content, echo = choice.content, job.plan.echo or ""
    if content is None and choice.tool_calls and job.plan.tool_use.mode.forced:
        content = ""
    return echo + (content or "") if echo else content


def _logprobs(records: Sequence[TokenRecord], job: Job, options: AnswerOptions) -> object:
    if job.params.logprobs is None or options.names is None:
        return None
    return chat_logprobs(records, options.names, job.params.logprobs)


class ChatStream:
    """Per choice: a chunk with the role at its first token, chunks with what is new, and a last one
    with what is new and the finish reason together. Then, if asked for, one with the usage.

    A chunk says one thing: reasoning, content, or a part of one tool call. What a step adds beyond
    its first thing comes in further chunks; the last of them carries token ids and
    log-probabilities of the whole step, also when nothing else is new. Of most chunks nothing but the
    content is: what stands around it is encoded once.
    """

    def __init__(self, head: AnswerHead, job: Job, options: AnswerOptions) -> None:
        self._job = job
        self._options = options
        self._counts = TokenCounts([job], options)
        self._head = (
            f'data: {{"id":{to_json(head.answer_id)},"object":"chat.completion.chunk",'
            f'"created":{head.created},"model":{to_json(head.model)},"choices":['
        )
        prompt_ids = to_json(job.prompt) if options.token_ids else "null"
        self._role = to_json(options.role)
        self._role_tail = f',"prompt_token_ids":{prompt_ids}'
        self._last_tail = f',"system_fingerprint":{to_json(head.fingerprint)}'
        self._begun: dict[int, str] = {}  # choice -> what its chunks of content begin with
        self._plain = not (
            options.token_ids or options.continuous_usage or job.params.logprobs is not None
        )

    def push(self, prompt: int, deltas: Sequence[Delta]) -> bytes:
        return "".join([self._chunks(delta) for delta in deltas]).encode()

    def cached(self, prompt: int, num_tokens: int | None) -> None:
        self._counts.cached(prompt, num_tokens)

    def read(self, prompt: int, reading: Reading) -> None:
        self._last_tail += f',"kv_transfer_params":{to_json(told(reading))}'

    def scored(self, prompt: int, scores: Sequence[TokenLogprobs]) -> None:
        """A stream does not tell them."""

    def end(self) -> bytes:
        if not self._options.usage:
            return b""
        return f'{self._head}],"usage":{to_json(self._counts.total())}}}\n\n'.encode()

    def _chunks(self, delta: Delta) -> str:
        count = self._counts.add(0, delta) + delta.num_tokens
        start = self._begun.get(delta.choice)
        if start is not None and self._plain and _is_content(delta):
            return f"{start}{text_to_json(delta.text)}{_PLAIN_TAIL}"
        role = "" if start is not None else self._beginning(delta.choice)
        parts = _parts(delta)
        if not parts:
            if self._says_nothing(delta):
                return role
            parts = ["{}" if self._job.plan.parsed else '{"content":""}']
        before = "".join(self._chunk(delta.choice, part, count) for part in parts[:-1])
        return role + before + self._last_chunk(delta, parts[-1], count)

    def _says_nothing(self, delta: Delta) -> bool:
        """Text that a parser keeps back, or suppressed reasoning."""
        job, options = self._job, self._options
        shown = delta.token_ids and (options.token_ids or job.params.logprobs is not None)
        quiet = job.plan.parsed and not options.continuous_usage
        return quiet and not (shown or delta.resume) and delta.finish_reason is None

    def _beginning(self, choice: int) -> str:
        self._begun[choice] = f'{self._head}{{"index":{choice},"delta":{{"content":'
        role = f'{{"role":{self._role},"content":""}}'
        echo = self._job.plan.echo
        echoed = self._chunk(choice, f'{{"content":{to_json(echo)}}}', 0) if echo else ""
        return (
            f'{self._head}{{"index":{choice},"delta":{role},'
            f'"logprobs":null,"finish_reason":null}}]{self._usage(0)}{self._role_tail}}}\n\n'
        ) + echoed

    def _chunk(self, choice: int, part: str, count: int) -> str:
        return (
            f'{self._head}{{"index":{choice},"delta":{part},"logprobs":null,'
            f'"finish_reason":null,"token_ids":null}}]{self._usage(count)}}}\n\n'
        )

    def _last_chunk(self, delta: Delta, part: str, count: int) -> str:
        reason, tail = "null", ""
        if delta.finish_reason is not None:
            stop = to_json(delta.stop_reason)
            reason, tail = f'"{delta.finish_reason}","stop_reason":{stop}', self._last_tail
        elif delta.resume is not None:
            tail = f',"kv_transfer_params":{{"resume":{to_json(delta.resume)}}}'
        ids = to_json(delta.token_ids) if self._options.token_ids else "null"
        scores = "null"
        if self._job.params.logprobs is not None:
            scores = to_json(_logprobs(delta.records, self._job, self._options))
        return (
            f'{self._head}{{"index":{delta.choice},"delta":{part},'
            f'"logprobs":{scores},"finish_reason":{reason},"token_ids":{ids}}}]'
            f"{self._usage(count)}{tail}}}\n\n"
        )

    def _usage(self, completion_tokens: int) -> str:
        if not self._options.continuous_usage:
            return ""
        return f',"usage":{to_json(self._counts.usage_of(0, completion_tokens))}'


def _is_content(delta: Delta) -> bool:
    """And nothing else."""
    more = delta.reasoning or delta.tool_calls or delta.finish_reason or delta.resume
    return bool(delta.text) and not more


def _parts(delta: Delta) -> list[str]:
    """The `delta` object of each chunk."""
    parts: list[str] = []
    if delta.reasoning:
        text = to_json(delta.reasoning)
        parts.append(f'{{"reasoning":{text},"reasoning_content":{text}}}')
    if delta.text:
        parts.append(f'{{"content":{to_json(delta.text)}}}')
    parts += [f'{{"tool_calls":[{to_json(_call_part(call))}]}}' for call in delta.tool_calls]
    return parts


def _call_part(call: ToolCallDelta) -> dict[str, object]:
    if call.id is None:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments}
    return {"index": call.index, "id": call.id, "type": "function", "function": function}
