"""How near each token of an answer was to being another one, from the log-probabilities told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from baton.core.sampling_hash import gumbel, row_key


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a choice was drawn. `top_k` candidates, of which one more was told."""

    seed: int
    choice: int
    num_prompt: int  # tokens
    temperature: float
    top_k: int


def greedy_margins(told: Sequence[Mapping[int, float]]) -> list[float]:
    """Per token: how far the best log-probability is from the second; infinite for the only one."""
    return [_gap(list(entry.values())) for entry in told]


def drawn_margins(told: Sequence[Mapping[int, float]], drawing: Drawing) -> list[float]:
    """Per token: how far the winner's score is from the second's, or the last candidate from the
    first that was none, whichever is nearer.
    """
    margins = []
    for index, entry in enumerate(told):
        key = row_key(drawing.seed, drawing.choice, drawing.num_prompt + index)
        ranked = sorted(entry, key=lambda token: -entry[token])
        scaled = {token: entry[token] / drawing.temperature for token in ranked}
        candidates = ranked[: drawing.top_k]
        scores = [scaled[token] + gumbel(key, token) for token in candidates]
        edge = [scaled[token] for token in ranked[drawing.top_k - 1 : drawing.top_k + 1]]
        margins.append(min(_gap(scores), _gap(edge)))
    return margins


def _gap(values: list[float]) -> float:
    best = sorted(values, reverse=True)
    return best[0] - best[1] if len(best) > 1 else float("inf")
