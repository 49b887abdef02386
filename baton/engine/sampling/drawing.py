"""Logits -> one token per draw, with its log-probabilities: the whole order of what is done to them.

1. Raw log-probabilities are told of the logits as the model and a grammar left them.
2. `LogitsRules`: what a request forbids, prefers and penalises.
3. `sampler`: greedy, or temperature, min_p, top_k, top_p and the hashed noise.
4. Processed log-probabilities are told of what the token was drawn from.

A row passes only through what its own parameters ask for.
"""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor

from baton.core.errors import BatonError, InternalError
from baton.core.sampling_params import LogprobsMode
from baton.core.token_record import TokenLogprobs
from baton.engine.plan import Draw, Drawn, SliceResult
from baton.engine.sampling import sampler
from baton.engine.sampling.beam_candidates import beam_candidates
from baton.engine.sampling.logits_plugins import LogitsPlugins
from baton.engine.sampling.logits_rules import LogitsRules
from baton.engine.sampling.token_scores import token_scores

Outcome = Drawn | BatonError

_RAW = {LogprobsMode.RAW_LOGPROBS, LogprobsMode.RAW_LOGITS}
_PROCESSED = set(LogprobsMode) - _RAW
_LOGITS = {LogprobsMode.RAW_LOGITS, LogprobsMode.PROCESSED_LOGITS}
NO_NUMBER = "the model's output is not a number"


class Drawing:
    """Used by one thread. The same logits, parameters and tokens draw the same, whatever it keeps."""

    def __init__(self, ending: Collection[int], plugins: LogitsPlugins) -> None:
        """`ending` are the model's end-of-sequence tokens."""
        self._rules = LogitsRules(ending, plugins)

    def draw(
        self, logits: Tensor, draws: Sequence[Draw], failed: Sequence[BatonError | None]
    ) -> list[Outcome]:
        """`logits` are float32 [draws, vocabulary], and are changed. Whoever has failed already
        stays so, whatever its row holds. A beam gets what it may be continued by, and nothing else
        of all this.
        """
        searched = [row for row, draw in enumerate(draws) if draw.params.beam is not None]
        if not searched:
            return self._sampled(logits, draws, failed)
        sampled = [row for row, draw in enumerate(draws) if draw.params.beam is None]
        found = beam_candidates(logits[searched], [draws[row] for row in searched])
        outcomes: dict[int, Outcome] = dict(zip(searched, found, strict=True))
        if sampled:
            others, faults = [draws[row] for row in sampled], [failed[row] for row in sampled]
            outcomes |= zip(sampled, self._sampled(logits[sampled], others, faults), strict=True)
        return [failed[row] or outcomes[row] for row in range(len(draws))]

    def _sampled(
        self, logits: Tensor, draws: Sequence[Draw], failed: Sequence[BatonError | None]
    ) -> list[Outcome]:
        errors = {row: error for row, error in enumerate(failed) if error is not None}
        _blank(logits, errors)
        raw = _told(logits, draws, _RAW)
        unlucky = self._rules.apply(logits, draws)
        _blank(logits, unlucky)
        errors = {**unlucky, **errors}
        ids = sampler.sample(logits, draws)
        told = _told(logits, draws, _PROCESSED, processed=True)
        scores = {**_scored(raw, draws, ids), **_scored(told, draws, ids)}
        return [
            errors.get(row) or Drawn(token_id, scores.get(row)) for row, token_id in enumerate(ids)
        ]


def _blank(logits: Tensor, rows: Collection[int]) -> None:
    """So that what is computed of all rows finds numbers in these."""
    if rows:
        logits[list(rows)] = 0.0


def unsound(logits: Tensor) -> list[BatonError | None]:
    """An error for each row with a NaN or without a finite best value, which becomes zeros."""
    sound = logits.amax(dim=-1).isfinite()  # a NaN is greater than everything
    if sound.all():
        return [None] * len(logits)
    logits.masked_fill_(~sound[:, None], 0.0)
    return [None if good else InternalError(NO_NUMBER) for good in sound.tolist()]


def slice_result(
    outcomes: Iterable[Outcome], scores: Iterable[TokenLogprobs | BatonError]
) -> SliceResult | BatonError:
    """The first error, if there is one: it ends the whole work."""
    drawn, told = tuple(outcomes), tuple(scores)
    for one in (*drawn, *told):
        if isinstance(one, BatonError):
            return one
    return SliceResult(
        tuple(one for one in drawn if isinstance(one, Drawn)),
        tuple(one for one in told if isinstance(one, TokenLogprobs)),
    )


def _told(
    logits: Tensor, draws: Sequence[Draw], modes: Collection[LogprobsMode], processed: bool = False
) -> dict[int, Tensor]:
    """The values of each row that wants them in one of `modes`."""
    rows = [
        row
        for row, draw in enumerate(draws)
        if draw.params.logprobs is not None and draw.params.logprobs_mode in modes
    ]
    if not rows:
        return {}
    values = logits[rows]
    if processed:
        values = sampler.processed(values, [draws[row] for row in rows])
    for place, row in enumerate(rows):
        if draws[row].params.logprobs_mode not in _LOGITS:
            values[place] = values[place].log_softmax(dim=-1)
    return dict(zip(rows, values, strict=True))


def _scored(
    told: dict[int, Tensor], draws: Sequence[Draw], ids: Sequence[int]
) -> dict[int, TokenLogprobs]:
    if not told:
        return {}
    counts = [draws[row].params.logprobs or 0 for row in told]
    values = torch.stack(list(told.values()))
    found = token_scores(values, [ids[row] for row in told], counts)
    return dict(zip(told, found, strict=True))
