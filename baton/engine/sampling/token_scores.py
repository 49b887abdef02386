"""Log-probabilities as they are told: of one token, its rank, and the best ones beside it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from baton.core.token_record import TokenLogprobs


def token_scores(values: Tensor, ids: Sequence[int], counts: Sequence[int]) -> list[TokenLogprobs]:
    """One per row of `values`, float32 [rows, vocabulary], which may hold -inf but no NaN.

    `ids` are the tokens that stand there, `counts` how many of the best are told of each. Equal
    values are ranked by ascending id, so that a rank is a place in the whole list.
    """
    if not ids:
        return []
    chosen = torch.tensor(ids, device=values.device)[:, None]
    own = values.gather(1, chosen)
    tops = _best(values, counts)
    told = zip(own[:, 0].tolist(), _ranks(values, chosen, own), tops, strict=True)
    return [TokenLogprobs(value, rank, top) for value, rank, top in told]


def _ranks(values: Tensor, chosen: Tensor, own: Tensor) -> list[int]:
    earlier = torch.arange(values.shape[1], device=values.device) < chosen
    better = (values > own) | ((values == own) & earlier)
    ranks: list[int] = (better.sum(dim=-1) + 1).tolist()
    return ranks


def _best(values: Tensor, counts: Sequence[int]) -> list[tuple[tuple[int, float], ...]]:
    size = values.shape[1]
    width = min(max(counts), size)
    if not width:
        return [()] * len(counts)
    best, ids = ranked(values, width)
    return [
        tuple(zip(row_ids[:count], row[:count], strict=True))
        for row_ids, row, count in zip(ids.tolist(), best.tolist(), counts, strict=True)
    ]


def ranked(values: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The best `width` of each row and their ids, descending; equal ones by ascending id.

    `topk` promises no order among equal values, and not which of them it takes at the end.
    """
    if width == values.shape[1]:
        return torch.sort(values, dim=-1, descending=True, stable=True)
    top = values.topk(width + 1, dim=-1)
    ids = top.indices[:, :width].sort(dim=-1).values
    unsure = top.values[:, width - 1] == top.values[:, width]
    for row in unsure.nonzero()[:, 0].tolist():
        ids[row] = _lowest_ids(values[row], top.values[row, width], width)
    best, order = torch.sort(values.gather(1, ids), dim=-1, descending=True, stable=True)
    return best, ids.gather(1, order)


def _lowest_ids(row: Tensor, least: Tensor, width: int) -> Tensor:
    """Ids of all above `least`, and of as many of those equal to it as make up `width`; ascending."""
    above = (row > least).nonzero()[:, 0]
    equal = (row == least).nonzero()[: width - len(above), 0]
    return torch.cat((above, equal)).sort().values
