"""The sampler once more, slowly: written from the rules, in plain Python floats."""

import math
from collections.abc import Sequence

from baton.core.sampling_hash import gumbel, row_key
from baton.engine.plan import Draw


def reference_sample(logits: Sequence[float], draw: Draw) -> int:
    params = draw.params
    if params.greedy:
        return max(range(len(logits)), key=lambda token: (logits[token], -token))
    shares = reference_distribution(logits, draw)
    key = row_key(params.seed, draw.choice, draw.position)
    return max(shares, key=lambda token: math.log(shares[token]) + gumbel(key, token))


def reference_distribution(logits: Sequence[float], draw: Draw) -> dict[int, float]:
    """Share of each token that temperature, top_k and top_p leave; they sum to 1."""
    params = draw.params
    scaled = {token: logit / params.temperature for token, logit in enumerate(logits)}
    if params.top_k and params.top_k < len(scaled):
        least = sorted(scaled.values(), reverse=True)[params.top_k - 1]
        scaled = {token: logit for token, logit in scaled.items() if logit >= least}
    shares = _softmax(scaled)
    if params.top_p < 1.0:
        shares = _softmax({token: scaled[token] for token in _nucleus(shares, params.top_p)})
    return shares


def _nucleus(shares: dict[int, float], top_p: float) -> list[int]:
    """From the bottom, tokens are dropped while what was dropped is at most 1 - top_p."""
    ascending = sorted(shares, key=lambda token: (shares[token], -token))
    total = 0.0
    kept = []
    for token in ascending:
        total += shares[token]
        if total > 1.0 - top_p:
            kept.append(token)
    return kept or ascending[-1:]


def _softmax(logits: dict[int, float]) -> dict[int, float]:
    top = max(logits.values())
    weights = {token: math.exp(logit - top) for token, logit in logits.items()}
    total = math.fsum(weights.values())
    return {token: weight / total for token, weight in weights.items() if weight}
