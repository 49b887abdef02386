"""How well this gateway knows its workers' prefix caches, on its metrics page."""

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from baton.telemetry.teller import Teller
from gateway import metric_families as families
from gateway.prefix_audit import Drift
from gateway.prefix_book import PrefixBook


class PrefixCollector(Collector):
    """Reads the book when the page is asked for."""

    def __init__(self, book: PrefixBook, model_name: str) -> None:
        self._book = book
        self._tell = Teller(model_name)

    def collect(self) -> Iterator[Metric]:
        audit, tell = self._book.audit, self._tell
        yield tell.one(families.PREDICTED_CACHED, audit.predicted_tokens)
        yield tell.one(families.ACTUAL_CACHED, audit.cached_tokens)
        yield tell.each(families.DRIFTS, {drift.value: audit.drifts[drift] for drift in Drift})
        yield tell.each(families.RESYNCS, self._book.resyncs)
        yield tell.one(families.INDEX_SIZE, len(self._book.index))
