"""What an answer carries besides its tokens, and what the two endpoints' formats have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from baton.core.token_record import TokenLogprobs
from gateway.answers.logprobs import TokenNames, prompt_logprobs
from gateway.job import Job
from gateway.output import ChoiceText, Delta, Usage, any_sum, known_sum
from gateway.reading import Reading


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The same in every chunk of an answer."""

    answer_id: str
    created: int  # seconds since 1970
    model: str
    fingerprint: str  # of this installation, for `system_fingerprint`


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """What the client wants to see of it."""

    usage: bool = False
    continuous_usage: bool = False
    token_ids: bool = False
    prompt_tokens_details: bool = True
    names: TokenNames | None = None  # for log-probabilities; without it none are shown
    role: str = "assistant"


class StreamFormat(Protocol):
    """Encodes one answer as events; keeps count of what it has written."""

    def push(self, prompt: int, deltas: Sequence[Delta]) -> bytes:
        """Events for what `prompt`, an index, has new."""
        ...

    def cached(self, prompt: int, num_tokens: int | None) -> None:
        """So many tokens of `prompt`, an index, were cached. Comes before `end`."""
        ...

    def read(self, prompt: int, reading: Reading) -> None:
        """How `prompt`, an index, was read. Comes before its last `push`."""
        ...

    def scored(self, prompt: int, scores: Sequence[TokenLogprobs]) -> None:
        """Of `prompt`, an index, from its second token on. Comes before its first `push`."""
        ...

    def end(self) -> bytes:
        """Events after the last token, possibly none."""
        ...


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """One prompt with its whole answers."""

    job: Job
    choices: list[ChoiceText]
    cached_tokens: int | None
    prompt_scores: tuple[TokenLogprobs, ...] = ()  # from the second token on, if asked for
    reading: Reading | None = None

    @property
    def usage(self) -> Usage:
        completion_tokens = sum(choice.num_tokens for choice in self.choices)
        reasoning_tokens = any_sum([choice.reasoning_tokens for choice in self.choices])
        return Usage(len(self.job.prompt), completion_tokens, self.cached_tokens, reasoning_tokens)

    def shown_scores(
        self, options: AnswerOptions
    ) -> list[dict[str, dict[str, object]] | None] | None:
        """Of the prompt, if they were asked for."""
        if self.job.params.prompt_logprobs is None or options.names is None:
            return None
        return prompt_logprobs(self.job.prompt, self.prompt_scores, options.names)


def whole_usage(usage: Usage, options: AnswerOptions) -> dict[str, object]:
    """Every key is always there, but for the count of what is told apart from the text."""
    whole: dict[str, object] = {
        **usage_object(usage),
        "prompt_tokens_details": _details(usage, options),
    }
    if usage.reasoning_tokens is not None:
        whole["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return whole


def last_usage(usage: Usage, options: AnswerOptions) -> dict[str, object]:
    """Of a stream: the same without nulls."""
    return {k: v for k, v in whole_usage(usage, options).items() if v is not None}


def _details(usage: Usage, options: AnswerOptions) -> dict[str, int] | None:
    if not options.prompt_tokens_details or usage.cached_tokens is None:
        return None
    return {"cached_tokens": usage.cached_tokens}


def usage_object(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "completion_tokens": usage.completion_tokens,
    }


class TokenCounts:
    """Tokens of a streamed answer: generated ones by prompt and choice, cached ones by prompt."""

    def __init__(self, jobs: Sequence[Job], options: AnswerOptions) -> None:
        self._options = options
        self._jobs = jobs
        self._counts = [[0] * job.params.n for job in jobs]
        self._cached: list[int | None] = [None] * len(jobs)
        self._reasoning: list[int | None] = []

    def add(self, prompt: int, delta: Delta) -> int:
        """The count of the choice before this delta."""
        before = self._counts[prompt][delta.choice]
        self._counts[prompt][delta.choice] += delta.num_tokens
        if delta.finish_reason is not None:
            self._reasoning.append(delta.reasoning_tokens)
        return before

    def cached(self, prompt: int, num_tokens: int | None) -> None:
        self._cached[prompt] = num_tokens

    def usage_of(self, prompt: int, completion_tokens: int) -> dict[str, int]:
        """Of one choice, as running usage tells it."""
        return usage_object(Usage(len(self._jobs[prompt].prompt), completion_tokens, None))

    def total(self) -> dict[str, object]:
        """For the last chunk."""
        prompt_tokens = sum(len(job.prompt) for job in self._jobs)
        usage = Usage(
            prompt_tokens,
            sum(map(sum, self._counts)),
            known_sum(self._cached),
            any_sum(self._reasoning),
        )
        return last_usage(usage, self._options)
