"""Many observations at once are counted as one by one."""

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from baton.telemetry.histogram import Histogram

BOUNDS = (0.1, 0.5, 1.0)
AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0, 8.0, 0.25)  # on bounds, between and behind them


def test_all_at_once_is_one_by_one_and_as_the_library_counts() -> None:
    pages = []
    kinds = [(Histogram, True), (Histogram, False), (prometheus_client.Histogram, False)]
    for kind, at_once in kinds:
        registry = CollectorRegistry()
        named = kind("seconds", "Help.", ("model",), registry=registry, buckets=BOUNDS)
        series = named.labels("m")
        if isinstance(series, Histogram) and at_once:
            series.observe_all(AMOUNTS)
            series.observe_all(())
        else:
            for amount in AMOUNTS:
                series.observe(amount)
        pages.append([x for x in generate_latest(registry).splitlines() if b"_created" not in x])
    assert pages[0] == pages[1] == pages[2]
    assert b'seconds_count{model="m"} 7.0' in pages[0]


def test_one_that_lacks_its_labels_counts_nothing() -> None:
    named = Histogram("seconds", "Help.", ("model",), registry=None, buckets=BOUNDS)
    with pytest.raises(ValueError, match="label"):
        named.observe(1.0)
