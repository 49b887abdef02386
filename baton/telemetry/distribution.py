"""Counts of what was seen by size, as a histogram shows them."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Distribution:
    """A reading. `counts` has one entry per bound, for what is not above it, and one for the rest."""

    bounds: tuple[float, ...]  # rising
    counts: tuple[int, ...]
    total: float

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        names = [*(repr(float(bound)) for bound in self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class Observations:
    """Seconds, tokens or the like, seen one by one on one thread; `reading` may be called from any."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._reading = Distribution(tuple(bounds), (0,) * (len(bounds) + 1), 0.0)

    def see(self, value: float) -> None:
        old = self._reading
        counts = list(old.counts)
        counts[bisect_left(old.bounds, value)] += 1
        self._reading = Distribution(old.bounds, tuple(counts), old.total + value)

    def reading(self) -> Distribution:
        return self._reading
