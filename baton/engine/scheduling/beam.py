"""A beam search, step by step: which beams go on, which have ended, when it is over. Pure.

The answer is that of a search which runs to the last token, as vLLM's does: it ends earlier only
where no beam could come among the best any more, because log-probabilities only ever take away.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from baton.core.token_record import FinishReason, TokenLogprobs, TokenRecord
from baton.engine.plan import Drawn


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not change while a search runs."""

    width: int  # beams, and answers
    prompt_len: int  # tokens
    max_len: int  # prompt + answer, tokens; more than the prompt
    length_penalty: float
    stops: frozenset[int]  # tokens that end a beam
    eos: frozenset[int]  # tokens that do not count as the last one of a length
    alternatives: int | None = None  # told per token; None: no log-probabilities are


@dataclass(frozen=True, slots=True)
class Beam:
    tokens: tuple[int, ...] = ()  # of the answer
    total: float = 0.0  # sum of their log-probabilities
    logprobs: tuple[TokenLogprobs, ...] = ()  # one per token, if they are told
    reason: FinishReason | None = None  # None while it goes on


@dataclass(frozen=True, slots=True)
class Search:
    rules: Rules
    live: tuple[Beam, ...] = (Beam(),)  # of equal length; the most probable first
    ended: tuple[Beam, ...] = ()  # no more than `width`, by `_rank`


@dataclass(frozen=True, slots=True)
class Step:
    search: Search
    parents: tuple[int, ...]  # of each live beam, the index among those that were live before


@dataclass(frozen=True, slots=True)
class _Option:
    """A beam continued by one token; not built before it is chosen."""

    total: float
    place: int  # of the parent, by its tokens
    token_id: int
    parent: int  # index among the live
    rank: int  # of the token among the parent's candidates, from 0

    @property
    def order(self) -> tuple[float, int, int]:
        """The most probable first, equal ones by their tokens."""
        return -self.total, self.place, self.token_id


def advance(search: Search, drawn: Sequence[Drawn]) -> Step:
    """One token more for each live beam; `drawn` is in their order."""
    rules = search.rules
    options = _options(search.live, drawn)
    going = (option for option in options if option.token_id not in rules.stops)
    chosen = heapq.nsmallest(rules.width, going, key=lambda option: option.order)
    live = tuple(_built(search, drawn, option, None) for option in chosen)
    ending = (option for option in options if option.token_id in rules.stops)
    stopped = (_built(search, drawn, option, FinishReason.STOP) for option in ending)
    ended = _best(rules, (*search.ended, *stopped))
    parents = tuple(option.parent for option in chosen)
    return Step(replace(search, live=live, ended=ended), parents)


def is_over(search: Search) -> bool:
    """No token more would change the answer."""
    rules = search.rules
    if not search.live:
        return True
    leader = search.live[0]
    if _is_full(rules, leader):
        return True
    if len(search.ended) < rules.width:
        return False
    length = rules.prompt_len + len(leader.tokens)
    lengths = (length, rules.max_len)  # a score is highest at one end of what may come
    hope = max(leader.total / math.pow(size, rules.length_penalty) for size in lengths)
    return hope < score(rules, search.ended[-1])


def answers(search: Search) -> tuple[Beam, ...]:
    """The best `width` of all, best first, once the search is over.

    Beams that are live when it ends early are hopeless only at the length that they would have had:
    as they are, one whose last token does not count could still look better than one that has ended.
    """
    cut = [beam for beam in search.live if _is_full(search.rules, beam)]
    told = (replace(beam, reason=FinishReason.LENGTH) for beam in cut)
    return _best(search.rules, (*search.ended, *told))


def records(search: Search) -> tuple[TokenRecord, ...]:
    """The answers as tokens, choice after choice, once the search is over."""
    start = search.rules.prompt_len
    return tuple(
        TokenRecord(
            choice,
            start + index,
            token_id,
            beam.reason if index == len(beam.tokens) - 1 else None,
            beam.logprobs[index] if beam.logprobs else None,
        )
        for choice, beam in enumerate(answers(search))
        for index, token_id in enumerate(beam.tokens)
    )


def score(rules: Rules, beam: Beam) -> float:
    length = rules.prompt_len + len(beam.tokens)
    if beam.tokens and beam.tokens[-1] in rules.eos:
        length -= 1
    return beam.total / math.pow(length, rules.length_penalty)


def _is_full(rules: Rules, beam: Beam) -> bool:
    return rules.prompt_len + len(beam.tokens) >= rules.max_len


def _best(rules: Rules, beams: Iterable[Beam]) -> tuple[Beam, ...]:
    ranked = sorted(beams, key=lambda beam: (-score(rules, beam), beam.tokens))
    return tuple(ranked[: rules.width])


def _options(live: Sequence[Beam], drawn: Sequence[Drawn]) -> list[_Option]:
    by_tokens = sorted(range(len(live)), key=lambda index: live[index].tokens)
    places = {index: place for place, index in enumerate(by_tokens)}
    return [
        _Option(beam.total + logprob, places[index], token_id, index, rank)
        for index, (beam, one) in enumerate(zip(live, drawn, strict=True))
        for rank, (token_id, logprob) in enumerate(one.candidates)
    ]


def _built(
    search: Search, drawn: Sequence[Drawn], option: _Option, reason: FinishReason | None
) -> Beam:
    parent = search.live[option.parent]
    told = parent.logprobs
    if search.rules.alternatives is not None:
        told = (*told, _told(drawn[option.parent], option, search.rules.alternatives))
    return Beam((*parent.tokens, option.token_id), option.total, told, reason)


def _told(drawn: Drawn, option: _Option, alternatives: int) -> TokenLogprobs:
    top = drawn.logprobs.top if drawn.logprobs is not None else drawn.candidates
    return TokenLogprobs(top[option.rank][1], option.rank + 1, top[:alternatives])
