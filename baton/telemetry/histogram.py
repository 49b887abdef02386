"""A histogram that takes many observations at once."""

from bisect import bisect_left
from collections.abc import Sequence

import prometheus_client


class Histogram(prometheus_client.Histogram):
    """The library's, whose every observation walks along the buckets, and of which each is on its own."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        if exemplar is not None or (self._labelnames and not self._labelvalues):
            super().observe(amount, exemplar)
            return
        place = bisect_left(self._upper_bounds, amount)
        self._sum.inc(amount)
        self._buckets[place].inc(1)

    def observe_all(self, amounts: Sequence[float]) -> None:
        """As `observe` of each."""
        if not amounts:
            return
        self._sum.inc(sum(amounts))
        bounds = self._upper_bounds
        counts = [0] * len(bounds)
        for amount in amounts:
            counts[bisect_left(bounds, amount)] += 1
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
