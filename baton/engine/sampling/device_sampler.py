"""A first look at logits on the device where they lie: the token ids that `sampler` would draw, and of
which rows that is certain. Nothing here waits for the device; the rare row that is not certain is
left to `sampler`, on the host.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baton.core.sampling_hash import row_key
from baton.engine.machine.device import sent
from baton.engine.plan import Draw
from baton.engine.sampling.sampler import (
    FIRST_LOOK,
    SLACK,
    is_filtered,
    kept_by_mass,
    kept_by_rank,
    survivors,
)
from baton.engine.sampling.sampling_noise import complement, gumbel, mantissa, signed, uniform

FEW = 16  # of a row, that may win the race: one or two do, mostly
CHUNK = 1 << 24  # logits hashed at a time: their temporaries are ten times as large


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the draws that are not greedy ask for, [rows, 1] each."""

    temperature: Tensor  # float32
    min_share: Tensor | None  # float32, logarithm; None: nobody asks for a min_p
    top_k: Tensor  # int64
    top_p: Tensor  # float64
    keys: Tensor  # int64


def first_look(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """int64 [draws, 2]: a token id, and 1 where it is certain.

    `logits` are float32 [draws, vocabulary] with a finite best value in each row, and not changed.
    """
    chosen = torch.empty((len(draws), 2), dtype=torch.int64, device=logits.device)
    if not draws:
        return chosen
    greedy = [row for row, draw in enumerate(draws) if draw.params.greedy]
    filtered = [row for row, draw in enumerate(draws) if is_filtered(draw.params)]
    plain = [row for row in range(len(draws)) if row not in {*greedy, *filtered}]
    for rows, method in ((greedy, _argmax), (plain, _draw_plain), (filtered, _draw_filtered)):
        some = [draws[row] for row in rows]
        if len(rows) == len(draws):
            chosen.copy_(method(logits, some))
        elif rows:
            index = sent(rows, torch.int64, logits.device)
            chosen.index_copy_(0, index, method(logits.index_select(0, index), some))
    return chosen


def _argmax(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    ids = logits.argmax(dim=-1)
    return torch.stack((ids, torch.ones_like(ids)), dim=1)


def _draw_plain(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    wishes = _wishes(draws, logits)
    values = _tempered(logits, wishes)
    token_ids = torch.arange(values.shape[1], device=values.device).expand_as(values)
    return _raced(values, token_ids, wishes.keys)


def _draw_filtered(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    wishes = _wishes(draws, logits)
    values = _tempered(logits, wishes)
    best, ids, certain = survivors(values, wishes.top_k, wishes.top_p, FIRST_LOOK)
    chosen = _raced(best, ids, wishes.keys)
    chosen[:, 1] *= certain
    return chosen


def _wishes(draws: Sequence[Draw], logits: Tensor) -> _Wishes:
    """Two copies to the device."""
    size = logits.shape[1]
    has_min_p = any(draw.params.min_p > 0.0 for draw in draws)
    real = [(d.params.temperature, _log(d.params.min_p), kept_by_mass(d)) for d in draws]
    whole = [
        (kept_by_rank(d, size), signed(row_key(d.params.seed, d.choice, d.position))) for d in draws
    ]
    reals = sent(real, torch.float64, logits.device)
    wholes = sent(whole, torch.int64, logits.device)
    return _Wishes(
        temperature=reals[:, :1].to(torch.float32),
        min_share=reals[:, 1:2].to(torch.float32) if has_min_p else None,
        top_k=wholes[:, :1],
        top_p=reals[:, 2:3],
        keys=wholes[:, 1:],
    )


def _log(share: float) -> float:
    return math.log(share) if share > 0.0 else -math.inf


def _tempered(logits: Tensor, wishes: _Wishes) -> Tensor:
    """A new tensor, -inf where min_p drops a token."""
    values = logits / wishes.temperature
    if wishes.min_share is not None:
        least = values.amax(dim=-1, keepdim=True) + wishes.min_share
        values.masked_fill_(values < least, -torch.inf)
    return values


def _raced(values: Tensor, token_ids: Tensor, keys: Tensor) -> Tensor:
    """Of each row the id with the highest value + Gumbel noise, and whether that is certain."""
    count = max(1, CHUNK // values.shape[1])
    parts = [slice(start, start + count) for start in range(0, len(values), count)]
    return torch.cat([_race(values[part], token_ids[part], keys[part]) for part in parts])


def _race(values: Tensor, token_ids: Tensor, keys: Tensor) -> Tensor:
    """As `sampler._race`, among a fixed number of the lowest floors: certain where the next lies too
    high to win.
    """
    bits = mantissa(keys, token_ids)
    odds = (values - values.amax(dim=-1, keepdim=True)).exp_()
    floor = complement(bits).div_(odds)
    width = min(FEW, values.shape[1])
    few, places = floor.topk(width, dim=-1, largest=False, sorted=True)
    few_bits = bits.gather(1, places)
    reached = -uniform(few_bits[:, :1]).log_() / odds.gather(1, places[:, :1])
    scores = values.gather(1, places).to(torch.float64) + gumbel(few_bits)
    scores.masked_fill_(few > reached * SLACK, -torch.inf)
    winner = places.gather(1, scores.argmax(dim=-1, keepdim=True))
    certain = few[:, -1:] > reached * SLACK
    if width == values.shape[1]:
        certain = torch.ones_like(certain)
    return torch.cat((token_ids.gather(1, winner), certain.to(torch.int64)), dim=1)
