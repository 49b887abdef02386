"""Families with values that somebody else has, for a page that reads them at each scrape."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from baton.telemetry.distribution import Distribution
from baton.telemetry.family import ENGINE, Family, Kind


class Teller:
    """Of one model: knows the values of the labels that all families have."""

    def __init__(self, model_name: str) -> None:
        self._common = (model_name, ENGINE)

    def one(self, family: Family, value: float) -> Metric:
        return self.rows(family, [((), value)])

    def each(self, family: Family, values: Mapping[str, float]) -> Metric:
        """By the value of the family's only label."""
        return self.rows(family, [((label,), values[label]) for label in sorted(values)])

    def rows(self, family: Family, rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
        """Each with the values of the labels behind the common ones."""
        kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
        metric = kind(family.name, family.help, labels=family.label_names)
        for labels, value in rows:
            metric.add_metric(self._labels(family, *labels), value)
        return metric

    def distribution(self, family: Family, seen: Distribution) -> Metric:
        metric = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
        metric.add_metric(self._labels(family), buckets=seen.buckets, sum_value=seen.total)
        return metric

    def _labels(self, family: Family, *labels: str) -> tuple[str, ...]:
        return (*self._common, *labels) if family.is_common else labels


def united(told: Iterable[Iterable[Metric]]) -> Iterator[Metric]:
    """Of each of several models the same families in the same order: each once, with all its rows."""
    for first, *others in zip(*told, strict=True):
        for other in others:
            first.samples.extend(other.samples)
        yield first
