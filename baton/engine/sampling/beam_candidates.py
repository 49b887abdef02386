"""What a beam search needs of a row of logits: its best tokens and how probable they are.

Of all sampling parameters the temperature alone acts, and one below `GREEDY_BELOW` is none.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from baton.core.sampling_params import LogprobsMode, SamplingParams
from baton.core.token_record import TokenLogprobs
from baton.engine.plan import Draw, Drawn


def beam_candidates(logits: Tensor, draws: Sequence[Draw]) -> list[Drawn]:
    """The best 2 n of each row; `logits` are float32 [draws, vocabulary], and not changed."""
    counts = [_count(draw.params) for draw in draws]
    ids = _best(logits, min(max(counts), logits.shape[1]))
    told = {mode: _values(logits, ids, draws, mode).tolist() for mode in _modes(draws)}
    values = _values(logits, ids, draws, LogprobsMode.PROCESSED_LOGPROBS).tolist()
    drawn = []
    for row, (draw, row_ids) in enumerate(zip(draws, ids.tolist(), strict=True)):
        found = tuple(zip(row_ids, values[row], strict=True))[: 2 * draw.params.n]
        logprobs = None
        if draw.params.logprobs is not None:
            shown = told[draw.params.logprobs_mode][row]
            top = tuple(zip(row_ids, shown, strict=True))[: counts[row]]
            logprobs = TokenLogprobs(shown[0], 1, top)
        drawn.append(Drawn(row_ids[0], logprobs, found))
    return drawn


def _count(params: SamplingParams) -> int:
    return max(2 * params.n, params.logprobs or 0)


def _modes(draws: Sequence[Draw]) -> set[LogprobsMode]:
    return {draw.params.logprobs_mode for draw in draws if draw.params.logprobs is not None}


def _values(logits: Tensor, ids: Tensor, draws: Sequence[Draw], mode: LogprobsMode) -> Tensor:
    """Of the tokens `ids` of each row, float32 [draws, width]."""
    if mode in (LogprobsMode.PROCESSED_LOGPROBS, LogprobsMode.PROCESSED_LOGITS):
        warmth = [[1.0 if d.params.greedy else d.params.temperature] for d in draws]
        logits = logits / logits.new_tensor(warmth)
    chosen = logits.gather(1, ids)
    if mode in (LogprobsMode.RAW_LOGITS, LogprobsMode.PROCESSED_LOGITS):
        return chosen
    return (chosen - logits.logsumexp(dim=-1, keepdim=True)).clamp(max=0.0)


def _best(logits: Tensor, width: int) -> Tensor:
    """Ids of the best `width`, best first; equal ones by ascending id, which `topk` leaves open."""
    values, ids = logits.topk(width, dim=-1)
    ids = ids.sort(dim=-1).values
    order = torch.sort(logits.gather(1, ids), dim=-1, descending=True, stable=True).indices
    ids = ids.gather(1, order)
    least = values[:, -1:]
    cut = (logits == least).sum(dim=-1) > (values == least).sum(dim=-1)
    for row in cut.nonzero()[:, 0].tolist():  # equal ones on both sides of the cut
        ids[row] = torch.sort(logits[row], descending=True, stable=True).indices[:width]
    return ids
