"""A histogram that takes many observations at once."""

from bisect import bisect_left
from collections.abc import Sequence

import prometheus_client


class Histogram(prometheus_client.Histogram):
    """The library's, whose every observation takes two locks and a walk along the buckets."""

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
