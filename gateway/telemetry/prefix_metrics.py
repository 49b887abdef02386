"""How well this gateway knows its workers' prefix caches, on its metrics page."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from baton.telemetry.teller import Teller, united
from gateway import metric_families as families
from gateway.prefixes.prefix_audit import Drift
from gateway.prefixes.prefix_book import PrefixBook


class PrefixCollector(Collector):
    """Reads the books when the page is asked for."""

    def __init__(self, books: Mapping[str, PrefixBook]) -> None:
        """By the model's name; there may be more later."""
        self._books = books

    def collect(self) -> Iterator[Metric]:
        yield from united(_of(Teller(name), book) for name, book in self._books.items())


def _of(tell: Teller, book: PrefixBook) -> tuple[Metric, ...]:
    audit = book.audit
    return (
        tell.one(families.PREDICTED_CACHED, audit.predicted_tokens),
        tell.one(families.ACTUAL_CACHED, audit.cached_tokens),
        tell.each(families.DRIFTS, {drift.value: audit.drifts[drift] for drift in Drift}),
        tell.each(families.RESYNCS, book.resyncs),
        tell.one(families.INDEX_SIZE, len(book.index)),
    )
