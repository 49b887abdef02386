"""From which token of an answer its grammar binds."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from baton.core.sampling_params import Grammar


@dataclass(frozen=True, slots=True)
class ReasoningTags:
    """Of a model whose reasoning is told apart, as token ids; `turns` end a message."""

    start: tuple[int, ...]
    end: tuple[int, ...]
    turns: frozenset[int] = frozenset()


def bound(
    text: str,
    prompt_ids: Sequence[int],
    tags: ReasoningTags | None,
    include_reasoning: bool = True,
    enable_in_reasoning: bool = False,
) -> Grammar:
    """The grammar `text` for an answer to this prompt."""
    if tags is None or enable_in_reasoning:
        return Grammar(text)
    return Grammar(
        text, binds_after(prompt_ids, tags.start, tags.end, include_reasoning, tags.turns)
    )


def binds_after(
    prompt_ids: Sequence[int],
    start_ids: Sequence[int],
    end_ids: Sequence[int],
    include_reasoning: bool = True,
    turn_ids: Collection[int] = (),
) -> tuple[int, ...]:
    """What has to stand in the answer before the grammar binds: for `Grammar.after`.

    `start_ids` and `end_ids` are the tags of the model's reasoning, empty if it has none;
    `turn_ids` are tokens that end a message, such as end-of-sequence: reasoning of an earlier
    turn says nothing of this one. Empty when the prompt has ended the reasoning already, and when
    nobody is to see it.
    """
    if not end_ids or not include_reasoning:
        return ()
    ended = _last(prompt_ids, end_ids)
    begun = _last(prompt_ids, start_ids) if start_ids else -1
    turn = max((at for at, token in enumerate(prompt_ids) if token in turn_ids), default=-1)
    over = ended > begun and ended > turn
    return () if over else tuple(end_ids)


def _last(tokens: Sequence[int], piece: Sequence[int]) -> int:
    """Where `piece` begins for the last time in `tokens`; -1: nowhere."""
    wanted, length = list(piece), len(piece)
    starts = range(len(tokens) - length, -1, -1)
    return next((at for at in starts if list(tokens[at : at + length]) == wanted), -1)
