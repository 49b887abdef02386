"""What an answer carries besides its tokens, and what the two endpoints' formats have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.job import Job
from gateway.output import ChoiceText, Delta, Usage


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


class StreamFormat(Protocol):
    """Encodes one answer as events; keeps count of what it has written."""

    def push(self, prompt: int, deltas: Sequence[Delta]) -> bytes:
        """Events for what `prompt`, an index, has new."""
        ...

    def end(self) -> bytes:
        """Events after the last token, possibly none."""
        ...


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """One prompt with its whole answers."""

    job: Job
    choices: list[ChoiceText]

    @property
    def usage(self) -> Usage:
        return Usage(len(self.job.prompt), sum(len(c.token_ids) for c in self.choices))


def usage_object(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "completion_tokens": usage.completion_tokens,
    }


class TokenCounts:
    """Generated tokens of a streamed answer, by prompt and choice."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._counts = [[0] * job.params.n for job in jobs]

    def add(self, prompt: int, delta: Delta) -> int:
        """The count of the choice before this delta."""
        before = self._counts[prompt][delta.choice]
        self._counts[prompt][delta.choice] += len(delta.token_ids)
        return before

    def usage_of(self, prompt: int, completion_tokens: int) -> dict[str, int]:
        """Of one choice, as running usage tells it."""
        return usage_object(Usage(len(self._jobs[prompt].prompt), completion_tokens))

    def total(self) -> dict[str, int]:
        prompt_tokens = sum(len(job.prompt) for job in self._jobs)
        return usage_object(Usage(prompt_tokens, sum(map(sum, self._counts))))
