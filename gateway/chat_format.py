"""A chat answer as JSON: one object, or chunks whose unchanging parts are encoded once."""

from collections.abc import Sequence

from baton.core.token_record import TokenLogprobs
from gateway.answer import AnswerHead, AnswerOptions, PromptAnswer, TokenCounts, whole_usage
from gateway.job import Job
from gateway.json_text import to_json
from gateway.output import ChoiceText, Delta
from gateway.reading import Reading, told


def chat_object(
    head: AnswerHead, answer: PromptAnswer, options: AnswerOptions
) -> dict[str, object]:
    """Every key is always there."""
    return {
        "id": head.answer_id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [_choice(i, c, options) for i, c in enumerate(answer.choices)],
        "service_tier": None,
        "system_fingerprint": head.fingerprint,
        "usage": whole_usage(answer.usage, options),
        "prompt_logprobs": None,
        "prompt_token_ids": list(answer.job.prompt) if options.token_ids else None,
        "kv_transfer_params": told(answer.reading),
    }


def _choice(index: int, choice: ChoiceText, options: AnswerOptions) -> dict[str, object]:
    return {
        "index": index,
        "message": {
            "role": options.role,
            "content": choice.text,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [],
            "reasoning": None,
            "reasoning_content": None,
        },
        "logprobs": None,
        "finish_reason": choice.finish_reason,
        "stop_reason": None,
        "token_ids": choice.token_ids if options.token_ids else None,
    }


class ChatStream:
    """Per choice: a chunk with the role at its first token, chunks with content, and a last one
    with content and finish reason together. Then, if asked for, one with the usage.
    """

    def __init__(self, head: AnswerHead, job: Job, options: AnswerOptions) -> None:
        self._options = options
        self._scores: dict[int, tuple[TokenLogprobs, ...]] = {}  # by prompt
        self._counts = TokenCounts([job], options)
        self._head = (
            f'data: {{"id":{to_json(head.answer_id)},"object":"chat.completion.chunk",'
            f'"created":{head.created},"model":{to_json(head.model)},"choices":['
        )
        self._answer_role = to_json(options.role)
        prompt_ids = to_json(job.prompt) if options.token_ids else "null"
        self._role_tail = f',"prompt_token_ids":{prompt_ids}'
        self._last_tail = f',"system_fingerprint":{to_json(head.fingerprint)}'

    def push(self, prompt: int, deltas: Sequence[Delta]) -> bytes:
        return "".join(map(self._chunks, deltas)).encode()

    def cached(self, prompt: int, num_tokens: int | None) -> None:
        self._counts.cached(prompt, num_tokens)

    def read(self, prompt: int, reading: Reading) -> None:
        self._last_tail += f',"kv_transfer_params":{to_json(told(reading))}'

    def scored(self, prompt: int, scores: Sequence[TokenLogprobs]) -> None:
        self._scores[prompt] = tuple(scores)

    def end(self) -> bytes:
        if not self._options.usage:
            return b""
        return f'{self._head}],"usage":{to_json(self._counts.total())}}}\n\n'.encode()

    def _chunks(self, delta: Delta) -> str:
        before = self._counts.add(0, delta)
        role = self._role(delta.choice) if before == 0 else ""
        return role + self._content(delta, before + len(delta.token_ids))

    def _role(self, choice: int) -> str:
        return (
            f'{self._head}{{"index":{choice},"delta":{{"role":{self._answer_role},"content":""}},'
            f'"logprobs":null,"finish_reason":null}}]{self._usage(0)}{self._role_tail}}}\n\n'
        )

    def _content(self, delta: Delta, count: int) -> str:
        reason, tail = "null", ""
        if delta.finish_reason is not None:
            reason, tail = f'"{delta.finish_reason}","stop_reason":null', self._last_tail
        ids = to_json(delta.token_ids) if self._options.token_ids else "null"
        return (
            f'{self._head}{{"index":{delta.choice},"delta":{{"content":{to_json(delta.text)}}},'
            f'"logprobs":null,"finish_reason":{reason},"token_ids":{ids}}}]'
            f"{self._usage(count)}{tail}}}\n\n"
        )

    def _usage(self, completion_tokens: int) -> str:
        if not self._options.continuous_usage:
            return ""
        return f',"usage":{to_json(self._counts.usage_of(0, completion_tokens))}'
