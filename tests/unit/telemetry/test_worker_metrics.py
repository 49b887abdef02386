"""The numbers a worker exports, as Prometheus reads them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from baton.telemetry.distribution import Distribution
from baton.telemetry.metrics import NixlReading, WorkerCollector, WorkerReading
from baton.telemetry.process_metrics import PROCESS_FAMILIES
from baton.telemetry.task_metrics import TASKS
from baton.telemetry.worker_families import WORKER_FAMILIES
from baton.telemetry.worker_reading import ImagePullsReading

OF_PROCESSES = (TASKS, *PROCESS_FAMILIES)  # told by collectors of their own


def reading(running: int = 2, handoffs: Mapping[str, int] | None = None) -> WorkerReading:
    return WorkerReading(
        about={"worker_id": "decode-0", "role": "decode", "version": "9"},
        cache_config={
            "block_size": "32",
            "cache_dtype": "bfloat16",
            "enable_prefix_caching": "True",
            "kv_cache_memory_bytes": "4096",
            "num_cpu_blocks": "0",
            "num_gpu_blocks": "7",
        },
        running=running,
        waiting=1,
        preemptions=6,
        aborts=4,
        step_tokens=Distribution((1, 8), (2, 1, 0), 7.0),
        kv_usage=0.25,
        cache_queries=640,
        cache_hits=512,
        external_queries=96,
        external_hits=80,
        host_queries=128,
        host_hits=64,
        host_blocks_stored=9,
        host_blocks_evicted=2,
        host_usage=0.75,
        leases_open=3,
        leased_blocks=12,
        reclaimed_blocks=8,
        reserved_blocks=5,
        pulls_open=2,
        pulling_blocks=24,
        transfer_bytes=4096,
        wrong_blocks=3,
        repaired_blocks=2,
        transfer_seconds=Distribution((0.1, 0.2), (1, 2, 1), 0.5),
        exposed_seconds=Distribution((0.1,), (3, 1), 0.25),
        handoffs=handoffs or {},
        prefix_pulls={"pulled": 4, "failed": 1},
        prefix_tokens=640,
        image_queries=9,
        image_hits=6,
        image_seconds=Distribution((0.1,), (2, 1), 0.75),
        role_flips={("prefill", "decode", "done"): 3},
        image_pulls=ImagePullsReading(
            {"pulled": 3, "not_needed": 2, "failed": 1}, 512, Distribution((0.1,), (3, 0), 0.03)
        ),
        nixl=NixlReading(
            Distribution((2048.0,), (1, 1), 8192.0), Distribution((0.005,), (2, 0), 0.004), 1
        ),
    )


def scraped(value: WorkerReading) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(WorkerCollector("tiny", lambda: value))
    return registry


def sample(value: WorkerReading, name: str, **labels: str) -> float | None:
    return scraped(value).get_sample_value(name, {"model_name": "tiny", "engine": "0", **labels})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vllm:num_requests_running", 2),
        ("vllm:num_requests_waiting", 1),
        ("vllm:kv_cache_usage_perc", 0.25),
        ("vllm:prefix_cache_queries_total", 640),
        ("vllm:prefix_cache_hits_total", 512),
        ("vllm:external_prefix_cache_queries_total", 96),
        ("vllm:external_prefix_cache_hits_total", 80),
        ("vllm:num_preemptions_total", 6),
        ("vllm:iteration_tokens_total_count", 3),
        ("vllm:iteration_tokens_total_sum", 7),
        ("baton_engine_aborts_total", 4),
    ],
)
def test_engine_numbers_have_vllm_names_and_labels(name: str, value: float) -> None:
    assert sample(reading(), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("baton_leases_open", 3),
        ("baton_leased_blocks", 12),
        ("baton_reclaimed_blocks_total", 8),
        ("baton_reserved_blocks", 5),
        ("baton_pulls_open", 2),
        ("baton_pulling_blocks", 24),
        ("baton_kv_transfer_bytes_total", 4096),
        ("baton_kv_transfer_seconds_count", 4),
        ("baton_kv_transfer_seconds_sum", 0.5),
        ("baton_kv_transfer_exposed_seconds_count", 4),
        ("baton_kv_transfer_exposed_seconds_sum", 0.25),
        ("baton_kv_transfer_checksum_failures_total", 3),
        ("vllm:nixl_bytes_transferred_sum", 8192),
        ("vllm:nixl_xfer_time_seconds_count", 2),
        ("vllm:nixl_num_failed_transfers_total", 1),
        ("baton_kv_transfer_repaired_blocks_total", 2),
    ],
)
def test_handoff_numbers_have_names_of_their_own(name: str, value: float) -> None:
    assert sample(reading(), name) == value


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
    assert sample(reading(), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vllm:mm_cache_queries_total", 9),
        ("vllm:mm_cache_hits_total", 6),
        ("baton_image_encode_seconds_count", 3),
        ("baton_image_encode_seconds_sum", 0.75),
    ],
)
def test_images_are_counted_by_what_it_took_to_see_them(name: str, value: float) -> None:
    assert sample(reading(), name) == value


def test_handoffs_are_counted_by_result() -> None:
    value = reading(handoffs={"confirmed": 7, "aborted": 1})
    for result, count in (("confirmed", 7), ("aborted", 1)):
        assert sample(value, "baton_handoffs_total", result=result) == count


def test_prefixes_of_other_workers_are_counted_by_result() -> None:
    for result, count in (("pulled", 4), ("failed", 1)):
        assert sample(reading(), "baton_prefix_pulls_total", result=result) == count
    assert sample(reading(), "baton_prefix_pulled_tokens_total") == 640


def test_changes_of_the_role_are_counted_by_both_roles_and_result() -> None:
    way = {"from": "prefill", "to": "decode", "result": "done"}
    assert sample(reading(), "baton_role_flips_total", **way) == 3


def test_what_never_changes_is_told_by_labels() -> None:
    told = {"worker_id": "decode-0", "role": "decode", "version": "9"}
    assert sample(reading(), "baton_worker_info", **told) == 1
    config = dict(reading().cache_config)
    assert sample(reading(), "vllm:cache_config_info", **config) == 1


def test_the_page_has_the_families_that_are_declared_for_it() -> None:
    page = scraped(reading(handoffs={"confirmed": 1}))
    shown = {metric.name: (metric.type, metric.documentation) for metric in page.collect()}
    declared = {
        one.name: (one.kind, one.help) for one in WORKER_FAMILIES if one not in OF_PROCESSES
    }
    assert shown == declared


def test_nothing_is_told_of_nixl_where_it_moves_nothing() -> None:
    page = scraped(replace(reading(), nixl=None))
    assert not [metric.name for metric in page.collect() if "nixl" in metric.name]


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
    assert sample(reading(), "baton_kv_transfer_seconds_bucket", le=bound) == count
