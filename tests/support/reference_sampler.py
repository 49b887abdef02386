"""The sampler once more, slowly: written from the rules, in plain Python floats.

`reference_logits` are steps 3 to 6 of the contract, `reference_distribution` the rest.
"""

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


def reference_logits(logits: Sequence[float], draw: Draw, eos: Sequence[int]) -> list[float]:
    """What is left of the model's logits after bans, bias and penalties; -inf is forbidden."""
    params = draw.params
    prompt = list(draw.tokens[: draw.num_prompt])
    answer = list(draw.tokens[draw.num_prompt :])
    left = list(logits)
    for token in range(len(left)):
        if params.allowed_token_ids and token not in params.allowed_token_ids:
            left[token] = -math.inf
    for word in params.bad_words:
        if [*answer[len(answer) - len(word) + 1 :], word[-1]] == list(word):
            left[word[-1]] = -math.inf
    if len(answer) < params.min_tokens:
        held = list(left)
        for token in (*eos, *params.stop_token_ids):
            held[token] = -math.inf
        if params.grammar is None or max(held) > -math.inf:
            left = held
    for token, added in params.logit_bias:
        left[token] += added
    for token in set(prompt + answer):
        divides = left[token] > 0
        left[token] *= 1 / params.repetition_penalty if divides else params.repetition_penalty
    for token in set(answer):
        left[token] -= params.frequency_penalty * answer.count(token)
        left[token] -= params.presence_penalty
    return left


def reference_distribution(logits: Sequence[float], draw: Draw) -> dict[int, float]:
    """Share of each token that temperature, min_p, top_k and top_p leave; they sum to 1."""
    params = draw.params
    scaled = {t: logit / params.temperature for t, logit in enumerate(logits) if logit > -math.inf}
    if params.min_p:
        shares = _softmax(scaled)
        least = params.min_p * max(shares.values())
        scaled = {token: scaled[token] for token, share in shares.items() if share >= least}
    if params.top_k and params.top_k < len(scaled):
        least = sorted(scaled.values(), reverse=True)[params.top_k - 1]
        scaled = {token: logit for token, logit in scaled.items() if logit >= least}
    shares = _softmax(scaled)
    if params.top_p < 1.0:
        shares = _softmax({token: scaled[token] for token in _nucleus(shares, params.top_p)})
    return shares


def reference_logprobs(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    total = top + math.log(math.fsum(math.exp(logit - top) for logit in logits))
    return [logit - total for logit in logits]


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
