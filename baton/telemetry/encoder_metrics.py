"""What an encode worker exports, read at each scrape: of a worker's families those that it has."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from baton.telemetry import worker_families as families
from baton.telemetry.distribution import Distribution
from baton.telemetry.teller import Teller


@dataclass(frozen=True, slots=True)
class EncoderReading:
    """Its numbers at one moment; counts that only grow run from the process's start."""

    about: Mapping[str, str]  # the labels of `worker_families.ABOUT`
    running: int  # images being encoded
    waiting: int  # images in line
    usage: float  # share of its blocks that are lent or being filled, 0 to 1
    leases_open: int  # hand-offs that it still lends blocks to
    leased_blocks: int
    leases: Mapping[str, int]  # ended ones by result, only grow
    image_queries: int  # images that were asked for, only grows
    image_hits: int  # of those kept here already, only grows
    image_seconds: Distribution  # of the others, to encode each


class EncoderCollector(Collector):
    """Reads the worker when it is scraped. `read` is called from the page's threads."""

    def __init__(self, model_name: str, read: Callable[[], EncoderReading]) -> None:
        self._tell = Teller(model_name)
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Spares the registry from reading the worker before it runs."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        tell, reading = self._tell, self._read()
        labels = tuple(reading.about[name] for name in families.ABOUT.labels)
        yield tell.rows(families.ABOUT, [(labels, 1)])
        yield tell.one(families.RUNNING, reading.running)
        yield tell.one(families.WAITING, reading.waiting)
        yield tell.one(families.EMBEDDINGS_USAGE, reading.usage)
        yield tell.one(families.LEASES, reading.leases_open)
        yield tell.one(families.LEASED_BLOCKS, reading.leased_blocks)
        yield tell.each(families.IMAGE_LEASES, reading.leases)
        yield tell.one(families.ENCODE_QUERIES, reading.image_queries)
        yield tell.one(families.ENCODE_HITS, reading.image_hits)
        yield tell.distribution(families.IMAGE_TIME, reading.image_seconds)
