"""What a worker exports: vLLM's names where vLLM has the number, `baton_*` for the hand-off."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from baton.telemetry.distribution import Distribution

ENGINE = "0"  # vLLM numbers the engines of a process; a worker has one


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """A worker's numbers at one moment. Counts that only grow run from the process's start."""

    running: int  # requests in the batch
    waiting: int  # requests not yet in it
    kv_usage: float  # share of the pool in use, 0 to 1
    cache_queries: int  # prompt tokens looked up in the prefix cache, only grows
    cache_hits: int  # of those found, there or in host memory, only grows
    host_queries: int  # tokens that the pool did not have, looked up in host memory, only grows
    host_hits: int  # of those found, only grows
    host_blocks_stored: int  # copied to host memory when the pool gave them up, only grows
    host_blocks_evicted: int  # overwritten there, only grows
    host_usage: float  # share of that memory in use, 0 to 1
    leases_open: int  # hand-offs that this worker still lends blocks to
    leased_blocks: int  # lent to them
    reserved_blocks: int  # promised to hand-offs on their way here
    pulls_open: int  # hand-offs on their way here
    pulling_blocks: int  # that they fill
    transfer_bytes: int  # payload pulled, only grows
    repaired_blocks: int  # read again because their checksum was wrong, only grows
    transfer_seconds: Distribution  # of pulls, from the first ready segment to the confirmation
    exposed_seconds: Distribution  # of pulls, from the end of prefill's computing on
    handoffs: Mapping[str, int]  # ended hand-offs by result, such as "confirmed", only grow
    prefix_pulls: Mapping[str, int]  # cached prefixes of other workers, by result, only grow
    prefix_tokens: int  # whose KV came that way, only grows
    images_cached: int  # that did not have to be encoded again, only grows
    image_seconds: Distribution  # of the others, each


class WorkerCollector(Collector):
    """Reads the worker when it is scraped. `read` is called from the page's threads."""

    def __init__(self, model_name: str, read: Callable[[], WorkerReading]) -> None:
        self._labels = {"model_name": model_name, "engine": ENGINE}
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Spares the registry from reading the worker before it runs."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        reading = self._read()
        yield from self._engine(reading)
        yield from self._host(reading)
        yield from self._handoff(reading)
        yield from self._images(reading)

    def _engine(self, reading: WorkerReading) -> Iterator[Metric]:
        yield self._labelled("vllm:num_requests_running", "Requests in the batch.", reading.running)
        yield self._labelled(
            "vllm:num_requests_waiting", "Requests not yet in the batch.", reading.waiting
        )
        yield self._labelled(
            "vllm:kv_cache_usage_perc", "Share of the KV pool in use, 0 to 1.", reading.kv_usage
        )
        yield self._counted(
            "vllm:prefix_cache_queries",
            "Prompt tokens looked up in the prefix cache.",
            reading.cache_queries,
        )
        yield self._counted(
            "vllm:prefix_cache_hits",
            "Prompt tokens found in the prefix cache.",
            reading.cache_hits,
        )

    def _host(self, reading: WorkerReading) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "baton_host_cache_queries",
            "Tokens that the KV pool did not have, looked up in host memory.",
            reading.host_queries,
        )
        yield CounterMetricFamily(
            "baton_host_cache_hits", "Tokens found in host memory.", reading.host_hits
        )
        yield CounterMetricFamily(
            "baton_host_cache_stored_blocks",
            "Blocks copied to host memory when the KV pool gave them up.",
            reading.host_blocks_stored,
        )
        yield CounterMetricFamily(
            "baton_host_cache_evicted_blocks",
            "Blocks overwritten in host memory.",
            reading.host_blocks_evicted,
        )
        yield GaugeMetricFamily(
            "baton_host_cache_usage_perc",
            "Share of host memory in use, 0 to 1.",
            reading.host_usage,
        )

    def _handoff(self, reading: WorkerReading) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "baton_leases_open", "Hand-offs that are lent blocks.", reading.leases_open
        )
        yield GaugeMetricFamily(
            "baton_leased_blocks", "Blocks lent to hand-offs.", reading.leased_blocks
        )
        yield GaugeMetricFamily(
            "baton_reserved_blocks", "Blocks promised to hand-offs.", reading.reserved_blocks
        )
        yield GaugeMetricFamily(
            "baton_pulls_open", "Hand-offs on their way here.", reading.pulls_open
        )
        yield GaugeMetricFamily(
            "baton_pulling_blocks", "Blocks that they fill.", reading.pulling_blocks
        )
        yield CounterMetricFamily(
            "baton_kv_transfer_bytes", "KV cache bytes pulled.", reading.transfer_bytes
        )
        yield CounterMetricFamily(
            "baton_kv_transfer_repaired_blocks",
            "Blocks that were read again because their checksum was wrong.",
            reading.repaired_blocks,
        )
        yield _histogram(
            "baton_kv_transfer_seconds",
            "From the first ready segment to the confirmation.",
            reading.transfer_seconds,
        )
        yield _histogram(
            "baton_kv_transfer_exposed_seconds",
            "From the end of prefill's computing to the confirmation: what clients waited.",
            reading.exposed_seconds,
        )
        ended = CounterMetricFamily(
            "baton_handoffs", "Hand-offs that ended, by result.", labels=["result"]
        )
        for result, count in sorted(reading.handoffs.items()):
            ended.add_metric([result], count)
        yield ended
        prefixes = CounterMetricFamily(
            "baton_prefix_pulls",
            "Prompts whose beginning another worker may have had cached, by what came of it.",
            labels=["result"],
        )
        for result, count in sorted(reading.prefix_pulls.items()):
            prefixes.add_metric([result], count)
        yield prefixes
        yield CounterMetricFamily(
            "baton_prefix_pulled_tokens",
            "Prompt tokens whose KV came from another worker's prefix cache.",
            reading.prefix_tokens,
        )

    def _images(self, reading: WorkerReading) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "baton_image_cache_hits",
            "Images of prompts that were encoded before.",
            reading.images_cached,
        )
        yield _histogram(
            "baton_image_encode_seconds",
            "To decode, process and encode one image.",
            reading.image_seconds,
        )

    def _counted(self, name: str, help: str, count: int) -> Metric:
        family = CounterMetricFamily(name, help, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), count)
        return family

    def _labelled(self, name: str, help: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, help, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family


def _histogram(name: str, help: str, seen: Distribution) -> Metric:
    return HistogramMetricFamily(name, help, buckets=seen.buckets, sum_value=seen.total)
