"""What the dispatcher gives out of one answer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from baton.core.errors import InternalError
from baton.core.token_record import TokenLogprobs
from gateway.output import Delta
from gateway.reading import Reading

Deltas = list[Delta]


@dataclass(frozen=True, slots=True)
class PromptRead:
    """Before the last tokens of a stream: how the prompt was read."""

    reading: Reading


@dataclass(frozen=True, slots=True)
class PromptScores:
    """The first item of a stream that asks for them: log-probabilities of the prompt's tokens,
    from the second on.
    """

    entries: tuple[TokenLogprobs, ...]


Item = PromptScores | Deltas | PromptRead


@dataclass(frozen=True, slots=True)
class Answered:
    """A stream in one piece."""

    deltas: Deltas
    reading: Reading
    prompt_scores: tuple[TokenLogprobs, ...] = ()


async def collected(items: AsyncIterator[Item]) -> Answered:
    deltas: Deltas = []
    reading: Reading | None = None
    scores: tuple[TokenLogprobs, ...] = ()
    async for item in items:
        match item:
            case PromptRead():
                reading = item.reading
            case PromptScores():
                scores = item.entries
            case _:
                deltas += item
    if reading is None:
        raise InternalError("a stream of tokens ended before its answer")
    return Answered(deltas, reading, scores)
