"""What a request leaves on the metrics page."""

import asyncio

import pytest

from baton.core.errors import UnavailableError
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from gateway.job import Job
from gateway.metrics import GatewayMetrics

JOB = Job("r", (1, 2, 3), SamplingParams(max_tokens=9, seed=0, n=2))


def value(metrics: GatewayMetrics, name: str, **labels: str) -> float:
    found = metrics._registry.get_sample_value(name, {"model_name": "m", "engine": "0", **labels})
    assert found is not None
    return found


def ended(metrics: GatewayMetrics, reason: str) -> float:
    return value(metrics, "vllm:request_success_total", finished_reason=reason)


def last(choice: int, position: int) -> TokenRecord:
    return TokenRecord(choice, position, 7, FinishReason.STOP)


def test_a_finished_request_is_counted() -> None:
    metrics = GatewayMetrics("m")
    with metrics.watching(JOB) as meter:
        meter.add((TokenRecord(0, 3, 7), last(1, 3)))
        meter.add((TokenRecord(0, 4, 7), last(0, 5)))
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
            meter.add((last(0, 3),))
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


def test_an_attempt_that_was_thrown_away_ends_nothing() -> None:
    metrics = GatewayMetrics("m")
    with metrics.watching(JOB) as meter:
        meter.add((last(0, 3),))
        meter.restart()
        meter.add((last(0, 3), last(1, 3)))
    assert ended(metrics, "stop") == 2
    assert value(metrics, "vllm:time_to_first_token_seconds_count") == 1


def test_reasons_are_on_the_page_before_they_happen() -> None:
    assert b'finished_reason="abort"' in GatewayMetrics("m").page()
