"""What requests forbid, prefer and penalise, done to their rows of logits before a token is drawn.

The order is vLLM's: allowed_token_ids, bad_words, min_tokens, logit_bias, plugins, penalties. Each
step touches the rows that ask for it and no other, and most draws ask for none.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baton.core.errors import BatonError, RequestError
from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Draw
from baton.engine.sampling.logits_plugins import LogitsPlugins
from baton.engine.token_counts import CountsKeeper

Rows = Sequence[tuple[int, Draw]]  # each with its row of the logits


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a work's parameters mean as tensors: some lists are as long as the vocabulary."""

    params: SamplingParams
    allowed: Tensor  # token ids
    biased: Tensor  # token ids
    bias: Tensor  # what is added to each of those
    ending: Tensor  # token ids that min_tokens holds back


class LogitsRules:
    """What it keeps from one draw to the next only saves time. Used by one thread."""

    def __init__(self, ending: Collection[int], plugins: LogitsPlugins) -> None:
        """`ending` are the model's end-of-sequence tokens."""
        self._ending = frozenset(ending)
        self._plugins = plugins
        self._counts = CountsKeeper()
        self._prepared: dict[int, _Prepared] = {}  # of the last step, by the id of the parameters

    def apply(self, logits: Tensor, draws: Sequence[Draw]) -> dict[int, BatonError]:
        """Changes float32 [draws, vocabulary] in place; says which rows nothing can be drawn from.

        Rows without an error have a finite best value, if they had one before.
        """
        ruled = [(row, draw) for row, draw in enumerate(draws) if is_ruled(draw.params)]
        self._prepare(ruled, logits.shape[1])
        if not ruled:
            return {}
        self._allow(logits, _asking(ruled, lambda params: params.allowed_token_ids))
        _forbid(logits, _asking(ruled, lambda params: params.bad_words))
        self._hold_back_the_end(logits, [(row, draw) for row, draw in ruled if _is_early(draw)])
        self._bias(logits, _asking(ruled, lambda params: params.logit_bias))
        asking = _asking(ruled, lambda params: params.processors or params.extra_args)
        errors = self._plugins.apply(logits, asking)
        self._penalise(logits, _asking(ruled, lambda params: params.penalised))
        return {**_without_support(logits, ruled), **errors}

    def _prepare(self, rows: Rows, vocab_size: int) -> None:
        """An id is nobody else's as long as what has it is kept."""
        now: dict[int, _Prepared] = {}
        for _, draw in rows:
            name = id(draw.params)
            ready = now.get(name) or self._prepared.get(name)
            now[name] = ready or _prepared(draw.params, self._ending, vocab_size)
        self._prepared = now

    def _of(self, draw: Draw) -> _Prepared:
        return self._prepared[id(draw.params)]

    def _allow(self, logits: Tensor, rows: Rows) -> None:
        for row, draw in rows:
            ids = self._of(draw).allowed
            kept = logits[row, ids]
            logits[row] = -torch.inf
            logits[row, ids] = kept

    def _hold_back_the_end(self, logits: Tensor, rows: Rows) -> None:
        """Where a grammar allows nothing but the end, it is over however few tokens there are."""
        for row, draw in rows:
            ids = self._of(draw).ending
            kept = logits[row, ids]
            logits[row, ids] = -torch.inf
            if draw.params.grammar is not None and not _has_support(logits[row]):
                logits[row, ids] = kept

    def _bias(self, logits: Tensor, rows: Rows) -> None:
        for row, draw in rows:
            ready = self._of(draw)
            logits[row, ready.biased] += ready.bias

    def _penalise(self, logits: Tensor, rows: Rows) -> None:
        if not rows:
            return
        counts = self._counts.of([draw for _, draw in rows])
        sizes = [len(one.ids) for one in counts]
        where = (_spread([row for row, _ in rows], sizes), torch.cat([one.ids for one in counts]))
        often = torch.cat([one.in_answer for one in counts])
        params = [draw.params for _, draw in rows]
        values = logits[where]
        repetition = _spread([one.repetition_penalty for one in params], sizes)
        values = torch.where(values > 0, values / repetition, values * repetition)
        values -= _spread([one.frequency_penalty for one in params], sizes) * often
        values -= _spread([one.presence_penalty for one in params], sizes) * (often > 0)
        logits[where] = values


def _prepared(params: SamplingParams, ending: frozenset[int], vocab_size: int) -> _Prepared:
    ids = sorted(token for token in {*ending, *params.stop_token_ids} if token < vocab_size)
    return _Prepared(
        params,
        _ids(params.allowed_token_ids),
        _ids([token_id for token_id, _ in params.logit_bias]),
        torch.tensor([added for _, added in params.logit_bias], dtype=torch.float32),
        _ids(ids if params.min_tokens else ()),
    )


def _ids(tokens: Sequence[int]) -> Tensor:
    return torch.tensor(tokens, dtype=torch.int64)


def is_ruled(params: SamplingParams) -> bool:
    """Whether any step concerns it. Of a grammar's row only what is left in the end does."""
    return bool(
        params.allowed_token_ids
        or params.bad_words
        or params.min_tokens
        or params.logit_bias
        or params.processors
        or params.extra_args
        or params.penalised
        or params.grammar is not None
    )


def _asking(rows: Rows, wish: Callable[[SamplingParams], object]) -> Rows:
    return [(row, draw) for row, draw in rows if wish(draw.params)]


def _is_early(draw: Draw) -> bool:
    return draw.position - draw.num_prompt < draw.params.min_tokens


def _forbid(logits: Tensor, rows: Rows) -> None:
    for row, draw in rows:
        words = draw.params.bad_words
        longest = max(map(len, words)) - 1
        tail = tuple(draw.tokens[max(draw.num_prompt, len(draw.tokens) - longest) :])
        last = [word[-1] for word in words if _ends_with(tail, word[:-1])]
        logits[row, _ids(last)] = -torch.inf


def _ends_with(tail: tuple[int, ...], start: tuple[int, ...]) -> bool:
    return not start or tail[-len(start) :] == start


def _spread(values: Iterable[float], sizes: list[int]) -> Tensor:
    """Each value as often as its size says."""
    return torch.tensor(list(values)).repeat_interleave(torch.tensor(sizes))


def _has_support(row: Tensor) -> bool:
    return bool(row.amax() > -torch.inf)


def _without_support(logits: Tensor, rows: Rows) -> dict[int, BatonError]:
    """Only where a rule was at work: all others were looked at before."""
    best = logits[torch.tensor([row for row, _ in rows])].amax(dim=-1)  # a NaN is the greatest
    return {
        row: _why(draw.params, top)
        for (row, draw), top in zip(rows, best.tolist(), strict=True)
        if not -torch.inf < top < torch.inf
    }


def _why(params: SamplingParams, best: float) -> BatonError:
    if best == -torch.inf:
        limits = {
            "allowed_token_ids": params.allowed_token_ids,
            "bad_words": params.bad_words,
            "min_tokens": params.min_tokens,
            "structured_outputs": params.grammar,
        }
        names = [name for name, value in limits.items() if value]
        return RequestError(
            f"no token is left to draw: {' and '.join(names) or 'a plugin'} forbid all of them",
            names[0] if len(names) == 1 else None,
        )
    return RequestError(
        "penalties and bias turn the model's logits into what is no number", _penalty(params)
    )


def _penalty(params: SamplingParams) -> str | None:
    return "repetition_penalty" if params.repetition_penalty != 1.0 else None
