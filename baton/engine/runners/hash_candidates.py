"""What a beam search is given by the hash model: a pure function of the KV that a row has read."""

from baton.core.sampling_hash import mix
from baton.core.token_record import TokenLogprobs
from baton.engine.plan import Draw, Drawn


def searched(vocab_size: int, past: int, draw: Draw) -> Drawn:
    """`past` is a hash of all KV bytes before the draw's position."""
    params = draw.params
    found = candidates(vocab_size, past, max(2 * params.n, params.logprobs or 0))
    told = None if params.logprobs is None else TokenLogprobs(found[0][1], 1, found)
    return Drawn(found[0][0], told, found[: 2 * params.n])


def candidates(vocab_size: int, past: int, count: int) -> tuple[tuple[int, float], ...]:
    """(token id, log-probability) of the best `count`, best first.

    Differences are sixteenths, so that sums are exact in any order, and often none.
    """
    chosen: dict[int, None] = {}
    while len(chosen) < min(count, vocab_size):
        past = mix(past)
        chosen.setdefault(past % vocab_size)
    logprob, found = 0.0, []
    for token_id in chosen:
        past = mix(past)
        logprob -= (past % 16) / 16
        found.append((token_id, logprob))
    return tuple(sorted(found, key=lambda one: (-one[1], one[0])))
