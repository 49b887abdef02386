"""How well this gateway knows its workers' prefix caches, on its metrics page."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.prefix_audit import Drift
from gateway.prefix_book import PrefixBook

LABELS = ("model_name", "engine")


class PrefixCollector(Collector):
    """Reads the book when the page is asked for."""

    def __init__(self, book: PrefixBook, model_name: str, engine: str) -> None:
        self._book = book
        self._labels = (model_name, engine)

    def collect(self) -> Iterator[Metric]:
        audit = self._book.audit
        yield self._counter(
            "baton_prefix_predicted_tokens",
            "Prompt tokens believed cached on the worker that was chosen to read them.",
            audit.predicted_tokens,
        )
        yield self._counter(
            "baton_prefix_cached_tokens",
            "Prompt tokens of the same requests that were cached there.",
            audit.cached_tokens,
        )
        yield self._counters(
            "baton_prefix_drifts",
            "Predictions wrong by a stride or more that no event on its way explains.",
            "cached",
            {drift.value: audit.drifts[drift] for drift in Drift},
        )
        yield self._counters(
            "baton_prefix_resyncs",
            "Times that all that a worker holds was asked for again, by why.",
            "reason",
            self._book.resyncs,
        )
        size = GaugeMetricFamily(
            "baton_prefix_index_size", "Prefixes that some worker holds.", labels=LABELS
        )
        size.add_metric(self._labels, len(self._book.index))
        yield size

    def _counter(self, name: str, help: str, value: int) -> CounterMetricFamily:
        family = CounterMetricFamily(name, help, labels=LABELS)
        family.add_metric(self._labels, value)
        return family

    def _counters(
        self, name: str, help: str, label: str, values: dict[str, int]
    ) -> CounterMetricFamily:
        family = CounterMetricFamily(name, help, labels=(*LABELS, label))
        for value, count in values.items():
            family.add_metric((*self._labels, value), count)
        return family
