"""What the gateway counts, on one page."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.registry import Collector

from baton.telemetry.instruments import Instruments
from gateway import metric_families as families
from gateway.job import Job
from gateway.prefixes.prefix_book import PrefixBook
from gateway.telemetry.http_metrics import HttpMetrics
from gateway.telemetry.job_meter import JobMeter
from gateway.telemetry.move_result import MoveResult
from gateway.telemetry.placement_metrics import PlacementMetrics
from gateway.telemetry.prefix_metrics import PrefixCollector
from gateway.telemetry.queue_metrics import CountWaiting, QueueCollector
from gateway.telemetry.request_metrics import ABORT, ERROR, STOP, RequestMetrics
from gateway.tenants.metrics import TenantMetrics, TenantNames


class ModelMetrics:
    """What is counted of one model."""

    def __init__(self, page: Instruments, tenants: TenantNames) -> None:
        self._requests = RequestMetrics(page)
        moves = page.counters(families.MOVES, [result.value for result in MoveResult])
        self.moves = {result: moves[result.value] for result in MoveResult}
        self.placements = PlacementMetrics(page)
        self.tenants = TenantMetrics(page, tenants)

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


class GatewayMetrics:
    """One page, on which each model has its own values of the same families."""

    def __init__(self, first: str) -> None:
        """`first` of the models is the one whose name stands by what concerns none."""
        self._page = Instruments(first, families.COUNTED)
        self._tenants = TenantNames()
        self._books: dict[str, PrefixBook] = {}
        self._queues: dict[str, CountWaiting] = {}
        self.http = HttpMetrics(self._page)
        self.register(PrefixCollector(self._books))
        self.register(QueueCollector(self._queues, self._tenants))

    def of(self, model: str) -> ModelMetrics:
        """Of a model, by the name that clients know."""
        return ModelMetrics(self._page.of(model), self._tenants)

    def follow(self, model: str, book: PrefixBook) -> None:
        """What it counts is on the page too."""
        self._books[model] = book

    def watch_queue(self, model: str, count: CountWaiting) -> None:
        """`count` is asked at each scrape."""
        self._queues[model] = count

    def register(self, collector: Collector) -> None:
        """Its families are on the page too."""
        self._page.registry.register(collector)

    def page(self) -> bytes:
        return self._page.page()
