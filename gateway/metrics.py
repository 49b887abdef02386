"""What the gateway counts, on one page."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.registry import Collector

from baton.telemetry.instruments import Instruments
from gateway import metric_families as families
from gateway.http_metrics import HttpMetrics
from gateway.job import Job
from gateway.job_meter import JobMeter
from gateway.move import MoveResult
from gateway.placement_metrics import PlacementMetrics
from gateway.prefix_book import PrefixBook
from gateway.prefix_metrics import PrefixCollector
from gateway.queue_metrics import CountWaiting, QueueCollector
from gateway.request_metrics import ABORT, ERROR, STOP, RequestMetrics
from gateway.tenants.metrics import TenantMetrics


class GatewayMetrics:
    def __init__(self, model_name: str) -> None:
        self._page = Instruments(model_name, families.COUNTED)
        self._requests = RequestMetrics(self._page)
        moves = self._page.counters(families.MOVES, [result.value for result in MoveResult])
        self.moves = {result: moves[result.value] for result in MoveResult}
        self.placements = PlacementMetrics(self._page)
        self.tenants = TenantMetrics(self._page)
        self.http = HttpMetrics(self._page)

    def follow(self, book: PrefixBook) -> None:
        """What it counts is on the page too."""
        self.register(PrefixCollector(book, self._page.model_name))

    def watch_queue(self, count: CountWaiting) -> None:
        """`count` is asked at each scrape."""
        self.register(QueueCollector(count, self._page.model_name, self.tenants.names))

    def register(self, collector: Collector) -> None:
        """Its families are on the page too."""
        self._page.registry.register(collector)

    def page(self) -> bytes:
        return self._page.page()

    @contextmanager
    def watching(self, job: Job) -> Iterator[JobMeter]:
        """Whoever leaves before the last token has aborted; a named error is an error."""
        meter = JobMeter(self._requests, job)
        unfinished = ERROR
        try:
            yield meter
            unfinished = STOP  # of no choice
        except (asyncio.CancelledError, GeneratorExit):
            unfinished = ABORT
            raise
        finally:
            meter.end(unfinished)
