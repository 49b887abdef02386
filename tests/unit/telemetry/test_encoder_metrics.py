"""The numbers an encode worker exports, as Prometheus reads them."""

from prometheus_client import CollectorRegistry

from baton.telemetry.distribution import Distribution
from baton.telemetry.encoder_metrics import EncoderCollector, EncoderReading
from baton.telemetry.process_metrics import PROCESS_FAMILIES
from baton.telemetry.task_metrics import TASKS
from baton.telemetry.worker_families import ENCODER_FAMILIES

READING = EncoderReading(
    about={"worker_id": "encode-0", "role": "encode", "version": "9"},
    running=1,
    waiting=4,
    usage=0.25,
    leases_open=2,
    leased_blocks=12,
    leases={"confirmed": 7, "aborted": 1},
    image_queries=9,
    image_hits=5,
    image_seconds=Distribution((0.1,), (3, 1), 0.5),
)


def scraped() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(EncoderCollector("tiny", lambda: READING))
    return registry


def test_the_page_has_the_families_that_are_declared_for_it() -> None:
    shown = {metric.name: (metric.type, metric.documentation) for metric in scraped().collect()}
    of_processes = (TASKS, *PROCESS_FAMILIES)
    assert shown == {
        one.name: (one.kind, one.help) for one in ENCODER_FAMILIES if one not in of_processes
    }


def test_its_numbers_are_told() -> None:
    def sample(name: str, **labels: str) -> float | None:
        common = {"model_name": "tiny", "engine": "0"}
        return scraped().get_sample_value(name, {**common, **labels})

    assert sample("vllm:num_requests_waiting") == 4
    assert sample("baton_image_blocks_usage_perc") == 0.25
    assert sample("baton_leased_blocks") == 12
    assert sample("baton_image_leases_total", result="confirmed") == 7
    assert sample("baton_encode_cache_hits_total") == 5
    assert sample("baton_image_encode_seconds_count") == 4
