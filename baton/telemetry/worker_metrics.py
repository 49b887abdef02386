"""What a worker exports, read at each scrape."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from baton.telemetry import worker_families as families
from baton.telemetry.family import Family
from baton.telemetry.teller import Teller
from baton.telemetry.worker_reading import ImagePullsReading, NixlReading, WorkerReading


class WorkerCollector(Collector):
    """Reads the worker when it is scraped. `read` is called from the page's threads."""

    def __init__(self, model_name: str, read: Callable[[], WorkerReading]) -> None:
        self._tell = Teller(model_name)
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Spares the registry from reading the worker before it runs."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        reading = self._read()
        yield from self._engine(reading)
        yield from self._host(reading)
        yield from self._lent(reading)
        yield from self._pulled(reading)
        yield from self._images(reading)
        if reading.image_pulls is not None:
            yield from self._image_pulls(reading.image_pulls)
        if reading.nixl is not None:
            yield from self._nixl(reading.nixl)

    def _engine(self, reading: WorkerReading) -> Iterator[Metric]:
        tell = self._tell
        yield self._always(families.ABOUT, reading.about)
        yield self._always(families.CACHE_CONFIG, reading.cache_config)
        yield tell.one(families.RUNNING, reading.running)
        yield tell.one(families.WAITING, reading.waiting)
        yield tell.one(families.PREEMPTIONS, reading.preemptions)
        yield tell.one(families.ABORTS, reading.aborts)
        yield tell.rows(families.ROLE_FLIPS, reading.role_flips.items())
        yield tell.distribution(families.ITERATION_TOKENS, reading.step_tokens)
        yield tell.one(families.KV_USAGE, reading.kv_usage)
        yield tell.one(families.CACHE_QUERIES, reading.cache_queries)
        yield tell.one(families.CACHE_HITS, reading.cache_hits)
        yield tell.one(families.EXTERNAL_QUERIES, reading.external_queries)
        yield tell.one(families.EXTERNAL_HITS, reading.external_hits)

    def _host(self, reading: WorkerReading) -> Iterator[Metric]:
        tell = self._tell
        yield tell.one(families.HOST_QUERIES, reading.host_queries)
        yield tell.one(families.HOST_HITS, reading.host_hits)
        yield tell.one(families.HOST_STORED, reading.host_blocks_stored)
        yield tell.one(families.HOST_EVICTED, reading.host_blocks_evicted)
        yield tell.one(families.HOST_USAGE, reading.host_usage)

    def _lent(self, reading: WorkerReading) -> Iterator[Metric]:
        tell = self._tell
        yield tell.one(families.LEASES, reading.leases_open)
        yield tell.one(families.LEASED_BLOCKS, reading.leased_blocks)
        yield tell.one(families.RECLAIMED_BLOCKS, reading.reclaimed_blocks)
        yield tell.each(families.HANDOFFS, reading.handoffs)

    def _pulled(self, reading: WorkerReading) -> Iterator[Metric]:
        tell = self._tell
        yield tell.one(families.RESERVED_BLOCKS, reading.reserved_blocks)
        yield tell.one(families.PULLS, reading.pulls_open)
        yield tell.one(families.PULLING_BLOCKS, reading.pulling_blocks)
        yield tell.one(families.TRANSFER_BYTES, reading.transfer_bytes)
        yield tell.distribution(families.TRANSFER_TIME, reading.transfer_seconds)
        yield tell.distribution(families.EXPOSED_TIME, reading.exposed_seconds)
        yield tell.one(families.CHECKSUM_FAILURES, reading.wrong_blocks)
        yield tell.one(families.REPAIRED_BLOCKS, reading.repaired_blocks)
        yield tell.each(families.PREFIX_PULLS, reading.prefix_pulls)
        yield tell.one(families.PREFIX_TOKENS, reading.prefix_tokens)

    def _images(self, reading: WorkerReading) -> Iterator[Metric]:
        tell = self._tell
        yield tell.one(families.IMAGE_QUERIES, reading.image_queries)
        yield tell.one(families.IMAGE_HITS, reading.image_hits)
        yield tell.distribution(families.IMAGE_TIME, reading.image_seconds)

    def _image_pulls(self, reading: ImagePullsReading) -> Iterator[Metric]:
        yield self._tell.each(families.IMAGE_PULLS, reading.results)
        yield self._tell.one(families.IMAGE_PULL_BYTES, reading.bytes)
        yield self._tell.distribution(families.IMAGE_PULL_TIME, reading.exposed)

    def _nixl(self, reading: NixlReading) -> Iterator[Metric]:
        yield self._tell.distribution(families.NIXL_BYTES, reading.bytes)
        yield self._tell.distribution(families.NIXL_TIME, reading.seconds)
        yield self._tell.one(families.NIXL_FAILED, reading.failed)

    def _always(self, family: Family, labels: Mapping[str, str]) -> Metric:
        """What does not change is told by labels."""
        return self._tell.rows(family, [(tuple(labels[name] for name in family.labels), 1)])
