"""Tokens -> what the client reads. Stream and whole answer are the same function of the tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from baton.core.token_record import FinishReason, TokenRecord
from gateway.detokenizer import Detokenizer
from gateway.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Delta:
    """What one step adds to one choice."""

    choice: int
    text: str  # empty while a character is incomplete
    token_ids: tuple[int, ...]  # the stop token is among them, though it has no text
    finish_reason: str | None = None  # set once, on the last delta of the choice


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens: the prompt counts once, the answers of all choices together."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None  # of the prompt; None: not known

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            known_sum((self.cached_tokens, other.cached_tokens)),
        )


def known_sum(counts: Sequence[int | None]) -> int | None:
    """None if one of them is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


class Output:
    """The choices of one prompt."""

    def __init__(self, vocabulary: Vocabulary, prompt: Sequence[int], choices: int) -> None:
        self._texts = [Detokenizer(vocabulary, prompt) for _ in range(choices)]

    def push(self, records: Iterable[TokenRecord]) -> list[Delta]:
        """One delta per choice that has records, in order of their first appearance."""
        by_choice: dict[int, list[TokenRecord]] = {}
        for record in records:
            by_choice.setdefault(record.choice, []).append(record)
        return [self._delta(choice, group) for choice, group in by_choice.items()]

    def _delta(self, choice: int, records: list[TokenRecord]) -> Delta:
        ids = tuple(record.token_id for record in records)
        reason = records[-1].finish_reason
        visible = ids[:-1] if reason is FinishReason.STOP else ids
        text = self._texts[choice].push(visible)
        return Delta(choice, text, ids, reason.value if reason else None)


@dataclass(slots=True)
class ChoiceText:
    """The deltas of one choice, folded."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None


def fold(deltas: Iterable[Delta], choices: int) -> list[ChoiceText]:
    """The whole answer: by construction what a reader of the stream would have put together."""
    answers = [ChoiceText() for _ in range(choices)]
    for delta in deltas:
        answer = answers[delta.choice]
        answer.text += delta.text
        answer.token_ids += delta.token_ids
        answer.finish_reason = delta.finish_reason or answer.finish_reason
    return answers
