"""What a request leaves on the metrics page."""

import asyncio

import pytest

from baton.core.errors import UnavailableError
from baton.core.sampling_params import SamplingParams
from gateway.job import Job
from gateway.metrics import GatewayMetrics
from gateway.output import Delta

JOB = Job("r", (1, 2, 3), SamplingParams(max_tokens=9, seed=0, n=2))


def value(metrics: GatewayMetrics, name: str, **labels: str) -> float:
    found = metrics._registry.get_sample_value(name, {"model_name": "m", "engine": "0", **labels})
    assert found is not None
    return found


def ended(metrics: GatewayMetrics, reason: str) -> float:
    return value(metrics, "vllm:request_success_total", finished_reason=reason)


def more(choice: int) -> Delta:
    return Delta(choice, "", (7,))


def last(choice: int, tokens: int = 1, reason: str = "stop") -> Delta:
    return Delta(choice, "", (7,) * tokens, reason)


def test_a_finished_request_is_counted() -> None:
    metrics = GatewayMetrics("m")
    with metrics.watching(JOB) as meter:
        meter.add([more(0), last(1)])
        meter.add([last(0, tokens=2)])
    assert value(metrics, "vllm:prompt_tokens_total") == 3
    assert value(metrics, "vllm:generation_tokens_total") == 4
    assert value(metrics, "vllm:time_to_first_token_seconds_count") == 1
    assert value(metrics, "vllm:inter_token_latency_seconds_count") == 2
    assert value(metrics, "vllm:e2e_request_latency_seconds_count") == 1
    assert value(metrics, "vllm:request_prompt_tokens_sum") == 3
    assert value(metrics, "vllm:request_generation_tokens_sum") == 4
    assert ended(metrics, "stop") == 2


def test_a_request_whose_client_leaves_is_an_abort() -> None:
    metrics = GatewayMetrics("m")

    def leave() -> None:
        with metrics.watching(JOB) as meter:
            meter.add([last(0)])
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        leave()
    assert (ended(metrics, "abort"), ended(metrics, "stop")) == (1, 1)
    assert value(metrics, "vllm:e2e_request_latency_seconds_count") == 0


def test_a_request_that_fails_is_an_error() -> None:
    metrics = GatewayMetrics("m")
    with pytest.raises(UnavailableError), metrics.watching(JOB):
        raise UnavailableError("x")
    assert ended(metrics, "error") == 2


def test_a_failover_is_counted_by_its_reason() -> None:
    metrics = GatewayMetrics("m")
    with metrics.watching(JOB) as meter:
        meter.add([last(0)])
        meter.failed_over("transfer")
        meter.add([last(1, reason="tool_calls")])
    assert value(metrics, "baton_failovers_total", reason="transfer") == 1
    assert value(metrics, "baton_failovers_total", reason="unavailable") == 0
    assert ended(metrics, "stop") == 2


def test_reasons_are_on_the_page_before_they_happen() -> None:
    assert b'finished_reason="abort"' in GatewayMetrics("m").page()


def test_the_queue_is_as_long_as_it_is_when_it_is_scraped() -> None:
    metrics, waiting = GatewayMetrics("m"), [JOB]
    metrics.watch_queue(lambda: len(waiting))
    assert value(metrics, "baton_queued_requests") == 1
    waiting.clear()
    assert value(metrics, "baton_queued_requests") == 0
