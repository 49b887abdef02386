"""The numbers a worker exports, as Prometheus reads them."""

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from baton.telemetry.distribution import Distribution
from baton.telemetry.metrics import WorkerCollector, WorkerReading


def reading(running: int = 2, handoffs: Mapping[str, int] | None = None) -> WorkerReading:
    return WorkerReading(
        running=running,
        waiting=1,
        kv_usage=0.25,
        cache_queries=640,
        cache_hits=512,
        host_queries=128,
        host_hits=64,
        host_blocks_stored=9,
        host_blocks_evicted=2,
        host_usage=0.75,
        leases_open=3,
        leased_blocks=12,
        reserved_blocks=5,
        pulls_open=2,
        pulling_blocks=24,
        transfer_bytes=4096,
        repaired_blocks=2,
        transfer_seconds=Distribution((0.1, 0.2), (1, 2, 1), 0.5),
        exposed_seconds=Distribution((0.1,), (3, 1), 0.25),
        handoffs=handoffs or {},
        prefix_pulls={"pulled": 4, "failed": 1},
        prefix_tokens=640,
        images_cached=7,
        image_seconds=Distribution((0.1,), (2, 1), 0.75),
    )


def scraped(value: WorkerReading) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(WorkerCollector("tiny", lambda: value))
    return registry


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vllm:num_requests_running", 2),
        ("vllm:num_requests_waiting", 1),
        ("vllm:kv_cache_usage_perc", 0.25),
        ("vllm:prefix_cache_queries_total", 640),
        ("vllm:prefix_cache_hits_total", 512),
    ],
)
def test_engine_numbers_have_vllm_names_and_labels(name: str, value: float) -> None:
    labels = {"model_name": "tiny", "engine": "0"}
    assert scraped(reading()).get_sample_value(name, labels) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("baton_leases_open", 3),
        ("baton_leased_blocks", 12),
        ("baton_reserved_blocks", 5),
        ("baton_pulls_open", 2),
        ("baton_pulling_blocks", 24),
        ("baton_kv_transfer_bytes_total", 4096),
        ("baton_kv_transfer_seconds_count", 4),
        ("baton_kv_transfer_seconds_sum", 0.5),
        ("baton_image_cache_hits_total", 7),
        ("baton_image_encode_seconds_count", 3),
        ("baton_image_encode_seconds_sum", 0.75),
        ("baton_kv_transfer_exposed_seconds_count", 4),
        ("baton_kv_transfer_exposed_seconds_sum", 0.25),
        ("baton_kv_transfer_repaired_blocks_total", 2),
    ],
)
def test_handoff_numbers_have_names_of_their_own(name: str, value: float) -> None:
    assert scraped(reading()).get_sample_value(name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("baton_host_cache_queries_total", 128),
        ("baton_host_cache_hits_total", 64),
        ("baton_host_cache_stored_blocks_total", 9),
        ("baton_host_cache_evicted_blocks_total", 2),
        ("baton_host_cache_usage_perc", 0.75),
    ],
)
def test_what_host_memory_keeps_is_counted_apart(name: str, value: float) -> None:
    assert scraped(reading()).get_sample_value(name) == value


def test_handoffs_are_counted_by_result() -> None:
    registry = scraped(reading(handoffs={"confirmed": 7, "aborted": 1}))
    for result, count in (("confirmed", 7), ("aborted", 1)):
        assert registry.get_sample_value("baton_handoffs_total", {"result": result}) == count


def test_prefixes_of_other_workers_are_counted_by_result() -> None:
    registry = scraped(reading())
    for result, count in (("pulled", 4), ("failed", 1)):
        assert registry.get_sample_value("baton_prefix_pulls_total", {"result": result}) == count
    assert registry.get_sample_value("baton_prefix_pulled_tokens_total") == 640


def test_registering_does_not_read_the_worker() -> None:
    def unready() -> WorkerReading:
        raise AssertionError("read before the worker runs")

    CollectorRegistry().register(WorkerCollector("tiny", unready))


def test_each_scrape_reads_anew() -> None:
    readings = iter([reading(running=1), reading(running=9)])
    registry = CollectorRegistry()
    registry.register(WorkerCollector("tiny", lambda: next(readings)))
    labels = {"model_name": "tiny", "engine": "0"}
    seen = [registry.get_sample_value("vllm:num_requests_running", labels) for _ in range(2)]
    assert seen == [1, 9]


@pytest.mark.parametrize(("bound", "count"), [("0.1", 1), ("0.2", 3), ("+Inf", 4)])
def test_times_of_hand_offs_are_counted_by_size(bound: str, count: int) -> None:
    value = scraped(reading()).get_sample_value("baton_kv_transfer_seconds_bucket", {"le": bound})
    assert value == count
