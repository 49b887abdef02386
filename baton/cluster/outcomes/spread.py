"""Percentiles of many numbers, each of which may count several times. Pure."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Spread:
    """In the unit of what it is of."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


def spread(values: Iterable[float]) -> Spread | None:
    return weighted_spread((value, 1) for value in values)


def weighted_spread(values: Iterable[tuple[float, int]]) -> Spread | None:
    """Nearest rank: each percentile is one of the values. None: there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    upto = list(accumulate(count for _, count in ordered))
    total = upto[-1]

    def at(share: float) -> float:
        return ordered[bisect_left(upto, share * total)][0]

    mean = sum(value * count for value, count in ordered) / total
    return Spread(mean, at(0.5), at(0.9), at(0.95), at(0.99), ordered[-1][0])
