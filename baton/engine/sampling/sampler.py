"""Token ids from logits: greedy, or hashed Gumbel over what temperature, min_p, top_k and top_p leave.

min_p comes before the other two, as in vLLM; Hugging Face has it after them. The sampler keeps no state: the same logits, parameters and position draw the same token in any batch and
on any worker.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from baton.core.sampling_hash import row_key
from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Draw
from baton.engine.sampling.sampling_noise import complement, gumbel, mantissa, signed, uniform

FIRST_LOOK = 1024  # candidates sorted before a whole row is
CHUNK = 1 << 18  # logits hashed at a time: their temporaries stay in the processor's cache
PART = 512  # logits whose largest is found before its place is
SLACK = 1.0001  # far above the rounding of float32, far below what would add candidates


def sample(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """One token id per draw; `logits` are float32 [draws, vocabulary] and not changed.

    Each row has a finite best value; others may be -inf.
    """
    greedy = [row for row, draw in enumerate(draws) if draw.params.greedy]
    plain = [row for row, draw in enumerate(draws) if _is_plain(draw.params)]
    filtered = [row for row, draw in enumerate(draws) if is_filtered(draw.params)]
    ids = [0] * len(draws)
    for rows, method in ((greedy, _argmax), (plain, _draw_plain), (filtered, _draw_filtered)):
        if rows:
            chosen = method(_rows_of(logits, rows), [draws[row] for row in rows])
            for row, token_id in zip(rows, chosen.tolist(), strict=True):
                ids[row] = token_id
    return ids


def processed(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """What `sample` draws from: tempered, and -inf where a token was dropped. A new tensor."""
    values = logits.clone()
    rows = [row for row, draw in enumerate(draws) if not draw.params.greedy]
    if rows:
        warm = [draws[row] for row in rows]
        tempered = _tempered(logits[rows], warm)
        best, ids, _ = _survivors(tempered, warm, tempered.shape[1])
        values[rows] = torch.empty_like(tempered).scatter_(1, ids, best)
    return values


def is_filtered(params: SamplingParams) -> bool:
    return not params.greedy and (params.top_k > 0 or params.top_p < 1.0)


def _is_plain(params: SamplingParams) -> bool:
    return not params.greedy and not is_filtered(params)


def _rows_of(logits: Tensor, rows: list[int]) -> Tensor:
    return logits if len(rows) == len(logits) else logits[rows]


def _argmax(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Of equal ones the first. On a CPU torch finds the largest value ten times sooner than its place, so
    that is looked for in the part that has it.
    """
    width = logits.shape[1]
    parts = width // PART
    if logits.device.type != "cpu" or parts < 2:
        return logits.argmax(dim=-1)
    most = logits[:, : parts * PART].view(len(logits), parts, PART).amax(dim=-1)
    rest = logits[:, parts * PART :]
    if rest.shape[1]:
        most = torch.cat((most, rest.amax(dim=-1, keepdim=True)), dim=1)
    first: Tensor = most.argmax(dim=-1, keepdim=True) * PART
    places = (first + torch.arange(PART)).clamp_(max=width - 1)
    return first[:, 0] + logits.gather(1, places).argmax(dim=-1)


def _draw_plain(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    token_ids = torch.arange(logits.shape[1], device=logits.device)
    return _perturbed_argmax(_tempered(logits, draws), token_ids.expand_as(logits), _keys(draws))


def _draw_filtered(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """A look at the best logits is enough for most rows; the others are sorted whole."""
    values, keys = _tempered(logits, draws), _keys(draws)
    best, ids, certain = _survivors(values, draws, FIRST_LOOK)
    chosen = _perturbed_argmax(best, ids, keys)
    if not certain.all():
        rest = (~certain).nonzero()[:, 0]
        left = [draws[row] for row in rest.tolist()]
        best, ids, _ = _survivors(values[rest], left, values.shape[1])
        chosen[rest] = _perturbed_argmax(best, ids, keys[rest])
    return chosen


def _tempered(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """A new tensor, -inf where min_p drops a token."""
    values = logits / logits.new_tensor([[draw.params.temperature] for draw in draws])
    rows = [row for row, draw in enumerate(draws) if draw.params.min_p > 0.0]
    if rows:
        some = _rows_of(values, rows)
        shares = [[math.log(draws[row].params.min_p)] for row in rows]
        least = some.amax(dim=-1, keepdim=True) + values.new_tensor(shares)
        values[rows] = some.masked_fill(some < least, -torch.inf)
    return values


def _keys(draws: Sequence[Draw]) -> Tensor:
    words = [[signed(row_key(d.params.seed, d.choice, d.position))] for d in draws]
    return torch.tensor(words, dtype=torch.int64)


def _survivors(values: Tensor, draws: Sequence[Draw], look: int) -> tuple[Tensor, Tensor, Tensor]:
    size = values.shape[1]
    top_k = torch.tensor([[kept_by_rank(draw, size)] for draw in draws])
    top_p = torch.tensor([[kept_by_mass(draw)] for draw in draws], dtype=torch.float64)
    return survivors(values, top_k, top_p, look)


def kept_by_rank(draw: Draw, vocab_size: int) -> int:
    return min(draw.params.top_k or vocab_size, vocab_size)


def kept_by_mass(draw: Draw) -> float:
    return draw.params.top_p if draw.params.top_p < 1.0 else math.inf


def survivors(
    values: Tensor, top_k: Tensor, top_p: Tensor, look: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The `look` best values of each row in descending order, dropped ones -inf; and their ids.

    The third says for which rows no value beyond the look could have mattered. `top_k` is int64
    [rows, 1], `top_p` float64 [rows, 1].
    """
    size = values.shape[1]
    best, ids = _ranked(values, min(look, size))
    last = best[:, -1:]
    least = best.gather(1, top_k.clamp(max=best.shape[1]) - 1)
    kept = best >= least  # equal values stay together
    limited = top_k < size
    total = torch.where(limited, _log_sum(best.masked_fill(~kept, -torch.inf)), _log_sum(values))
    kept &= _nucleus(best, total, top_p)
    certain = (~limited | (least > last)) & (~kept | (best > last)).all(dim=-1, keepdim=True)
    certain |= last == -torch.inf  # beyond it there is nothing to draw
    if best.shape[1] == size:
        certain.fill_(True)
    return best.masked_fill(~kept, -torch.inf), ids, certain[:, 0]


def _ranked(values: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The best `width`, descending; equal values by ascending id, which `topk` does not promise.

    Which of those equal to the last one it takes is open: such a row is not `certain`.
    """
    if width == values.shape[1]:
        best, ids = torch.sort(values, dim=-1, descending=True, stable=True)
        return best, ids
    ids = values.topk(width, dim=-1).indices.sort(dim=-1).values
    best, order = torch.sort(values.gather(1, ids), dim=-1, descending=True, stable=True)
    return best, ids.gather(1, order)


def _nucleus(best: Tensor, total: Tensor, top_p: Tensor) -> Tensor:
    """Which of the descending values top_p keeps: those with less than top_p of mass above them.

    Seen from the other end: dropped while the mass up to and with them is at most 1 - top_p.
    """
    shares = (best - total).to(torch.float64).exp_()
    above = shares.cumsum(dim=-1) - shares
    kept = above < top_p
    kept[:, 0] = True
    return kept


def _log_sum(values: Tensor) -> Tensor:
    return values.logsumexp(dim=-1, keepdim=True)


def _perturbed_argmax(values: Tensor, token_ids: Tensor, keys: Tensor) -> Tensor:
    """Of each row the id with the highest value + Gumbel noise, as int64."""
    count = max(1, CHUNK // values.shape[1])
    parts = [slice(start, start + count) for start in range(0, len(values), count)]
    return torch.cat([_race(values[part], token_ids[part], keys[part]) for part in parts])


def _race(values: Tensor, token_ids: Tensor, keys: Tensor) -> Tensor:
    """Logarithms are taken of the few that can win.

    With E = -log(uniform), the highest value + Gumbel is the lowest E / exp(value). 1 - uniform is
    a floor of E, close to it where E is small: whoever's floor lies above the E of the row with the
    lowest floor has lost. What is left is compared in float64.
    """
    bits = mantissa(keys, token_ids)
    odds = (values - values.amax(dim=-1, keepdim=True)).exp_()
    floor = complement(bits).div_(odds)
    leader = floor.argmin(dim=-1, keepdim=True)
    reached = -uniform(bits.gather(1, leader)).log_() / odds.gather(1, leader)
    rows, columns = (floor <= reached * SLACK).nonzero(as_tuple=True)
    scores = values[rows, columns].to(torch.float64) + gumbel(bits[rows, columns])
    order = torch.argsort(scores, stable=True)  # the best of each row is written last
    winners = dict(zip(rows[order].tolist(), columns[order].tolist(), strict=True))
    chosen = torch.tensor([[winners[row]] for row in range(len(values))])
    return token_ids.gather(1, chosen)[:, 0]
