"""Placements on the metrics page: why they were made, and what was measured of what was predicted."""

from baton.telemetry.instruments import Instruments
from gateway import metric_families as families
from gateway.placing.forecast import Forecast
from gateway.placing.placement import REASONS
from gateway.placing.policies import AUTO, POLICIES


class PlacementMetrics:
    def __init__(self, page: Instruments) -> None:
        words = (*REASONS, *(name for name in POLICIES if name != AUTO))
        self._placements = page.counters(families.PLACEMENTS, words)
        self._first = page.histogram(families.TTFT_RATIO)
        self._next = page.histogram(families.ITL_RATIO)

    def placed(self, reason: str) -> None:
        self._placements[reason].inc()

    def ended(self, forecast: Forecast) -> None:
        """What came of it is known by now."""
        predicted, ttft, itl = forecast.predicted, forecast.actual.ttft, forecast.itl
        if ttft is not None and predicted.ttft > 0:
            self._first.observe(ttft / predicted.ttft)
        if itl is not None and predicted.itl > 0:
            self._next.observe(itl / predicted.itl)
