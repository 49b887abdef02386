"""Placements on the metrics page: why they were made, and what was measured of what was predicted."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.forecast import Forecast
from gateway.placement import REASONS
from gateway.policies import AUTO, POLICIES
from gateway.prefix_metrics import LABELS

RATIOS = (0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0)


class PlacementMetrics:
    def __init__(self, registry: CollectorRegistry, labels: tuple[str, str]) -> None:
        """`labels`: values of what every family here is labelled with."""
        placements = Counter(
            "baton_placements",
            "Placements of requests, by what decided.",
            (*LABELS, "reason"),
            registry=registry,
        )
        words = (*REASONS, *(name for name in POLICIES if name != AUTO))
        self._placements = {reason: placements.labels(*labels, reason) for reason in words}
        self._first = Histogram(
            "baton_predicted_ttft_ratio",
            "Time from placement to first token, measured by predicted.",
            LABELS,
            registry=registry,
            buckets=RATIOS,
        ).labels(*labels)
        self._next = Histogram(
            "baton_predicted_itl_ratio",
            "Time from token to token of an answer, measured by predicted.",
            LABELS,
            registry=registry,
            buckets=RATIOS,
        ).labels(*labels)

    def placed(self, reason: str) -> None:
        self._placements[reason].inc()

    def ended(self, forecast: Forecast) -> None:
        """What came of it is known by now."""
        predicted, ttft, itl = forecast.predicted, forecast.actual.ttft, forecast.itl
        if ttft is not None and predicted.ttft > 0:
            self._first.observe(ttft / predicted.ttft)
        if itl is not None and predicted.itl > 0:
            self._next.observe(itl / predicted.itl)
