"""What a request leaves on the metrics page."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from baton.core.errors import UnavailableError
from baton.core.sampling_params import BeamSearch, SamplingParams
from gateway.job import Job
from gateway.output import Delta
from gateway.telemetry import job_meter
from gateway.telemetry.job_meter import JobMeter
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.request_metrics import RESULTS
from gateway.tenants.metrics import MOST_NAMES, TenantNames

JOB = Job("r", (1, 2, 3), SamplingParams(max_tokens=9, seed=0, n=2))


class Clock:
    """In the place of the module `time`."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(job_meter, "time", clock)
    return clock


def value(metrics: GatewayMetrics, name: str, **labels: str) -> float:
    labels = {"model_name": "m", "engine": "0", **labels}
    found = metrics._page.registry.get_sample_value(name, labels)
    assert found is not None, f"{name} {labels}"
    return found


def ended(metrics: GatewayMetrics, reason: str) -> float:
    return value(metrics, "vllm:request_success_total", finished_reason=reason)


def cut_off(metrics: GatewayMetrics, by: BaseException, before: Callable[[JobMeter], None]) -> None:
    """A request that ends like this, behind something."""
    with suppress(type(by)), metrics.of("m").watching(JOB) as meter:
        before(meter)
        raise by


def more(choice: int) -> Delta:
    return Delta(choice, "", (7,))


def last(choice: int, tokens: int = 1, reason: str = "stop") -> Delta:
    return Delta(choice, "", (7,) * tokens, reason)


def test_a_finished_request_is_counted() -> None:
    metrics = GatewayMetrics("m")
    with metrics.of("m").watching(JOB) as meter:
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
        with metrics.of("m").watching(JOB) as meter:
            meter.add([last(0)])
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        leave()
    assert (ended(metrics, "abort"), ended(metrics, "stop")) == (1, 1)
    assert value(metrics, "vllm:e2e_request_latency_seconds_count") == 0


def test_a_request_that_fails_is_an_error() -> None:
    metrics = GatewayMetrics("m")
    with pytest.raises(UnavailableError), metrics.of("m").watching(JOB):
        raise UnavailableError("x")
    assert ended(metrics, "error") == 2


def failovers(metrics: GatewayMetrics, reason: str, phase: str) -> dict[str, float]:
    name, labels = "baton_failovers_total", {"reason": reason, "phase": phase}
    return {result: value(metrics, name, result=result, **labels) for result in RESULTS}


def test_a_break_that_was_followed_by_tokens_was_mended() -> None:
    metrics, branch, other = GatewayMetrics("m"), object(), object()
    with metrics.of("m").watching(JOB) as meter:
        meter.add([last(0)])
        meter.broke(branch, "transfer", "decode")
        meter.broke(branch, "transfer", "decode")
        meter.went_on(other)
        assert failovers(metrics, "transfer", "decode")["resumed"] == 0
        meter.went_on(branch)
        assert failovers(metrics, "transfer", "decode")["resumed"] == 2
        meter.add([last(1, reason="tool_calls")])
    assert failovers(metrics, "transfer", "decode") == {"resumed": 2, "failed": 0, "abandoned": 0}
    assert failovers(metrics, "unavailable", "decode") == dict.fromkeys(RESULTS, 0)
    assert ended(metrics, "stop") == 2


@pytest.mark.parametrize(
    ("error", "result"), [(UnavailableError("x"), "failed"), (GeneratorExit(), "abandoned")]
)
def test_a_break_that_was_not_mended_ends_as_its_request_does(
    error: BaseException, result: str
) -> None:
    metrics = GatewayMetrics("m")
    cut_off(metrics, error, lambda meter: meter.broke(object(), "unavailable", "prefill"))
    assert failovers(metrics, "unavailable", "prefill")[result] == 1
    assert sum(failovers(metrics, "unavailable", "prefill").values()) == 1


@pytest.mark.parametrize("phase", ["queue", "prefill", "decode"])
def test_a_client_that_leaves_is_counted_by_what_its_request_was_in(phase: str) -> None:
    metrics = GatewayMetrics("m")

    def before(meter: JobMeter) -> None:
        if phase != "queue":
            meter.placed()
        if phase == "decode":
            meter.add([more(0), last(1)])

    cut_off(metrics, GeneratorExit(), before)
    for other in ("queue", "prefill", "decode"):
        counted = value(metrics, "baton_request_aborts_total", phase=other)
        assert counted == (other == phase)


def test_a_client_that_leaves_behind_the_last_token_aborts_nothing() -> None:
    metrics = GatewayMetrics("m")
    cut_off(metrics, GeneratorExit(), lambda meter: meter.add([last(0), last(1)]))
    assert ended(metrics, "abort") == 0
    assert value(metrics, "baton_request_aborts_total", phase="decode") == 0


def test_phases_of_a_request_make_up_its_whole_time(clock: Clock) -> None:
    metrics = GatewayMetrics("m")
    with metrics.of("m").watching(replace(JOB, asked_at=100.0)) as meter:
        meter.placed()
        meter.read_since(103.0)
        clock.now = 105.0
        meter.add([more(0), more(1)])
        meter.read_since(106.0)  # of somebody who went on with it
        clock.now = 107.0
        meter.add([last(0)])
        clock.now = 113.0
        meter.add([last(1, tokens=3)])
        clock.now = 120.0
    times = {
        "e2e_request_latency": 13,
        "request_queue_time": 3,
        "request_prefill_time": 2,
        "request_decode_time": 8,
        "request_inference_time": 10,
        "time_to_first_token": 5,
    }
    for name, seconds in times.items():
        assert value(metrics, f"vllm:{name}_seconds_sum") == seconds, name
        assert value(metrics, f"vllm:{name}_seconds_count") == 1, name
    per_token = "vllm:request_time_per_output_token_seconds"
    assert value(metrics, f"{per_token}_sum") == 2 / 1 + 8 / 3
    assert value(metrics, f"{per_token}_count") == 2


def test_a_word_on_the_reading_that_came_late_makes_no_time_negative(clock: Clock) -> None:
    metrics = GatewayMetrics("m")
    with metrics.of("m").watching(replace(JOB, asked_at=100.0)) as meter:
        meter.read_since(None)
        clock.now = 104.0
        meter.add([last(0), last(1)])
    assert value(metrics, "vllm:request_queue_time_seconds_sum") == 4
    assert value(metrics, "vllm:request_prefill_time_seconds_sum") == 0


def test_of_a_beam_search_only_the_whole_is_known(clock: Clock) -> None:
    metrics = GatewayMetrics("m")
    job = replace(JOB, asked_at=100.0, params=replace(JOB.params, beam=BeamSearch()))
    with metrics.of("m").watching(job) as meter:
        meter.read_since(101.0)
        clock.now = 110.0
        meter.add([last(0, tokens=4), last(1, tokens=4)])
    assert value(metrics, "vllm:request_inference_time_seconds_sum") == 9
    assert value(metrics, "vllm:request_decode_time_seconds_count") == 0
    assert value(metrics, "vllm:request_time_per_output_token_seconds_count") == 0


def test_parameters_and_the_longest_answer_are_seen_once_per_request() -> None:
    metrics = GatewayMetrics("m")
    with metrics.of("m").watching(JOB) as meter:
        meter.add([more(0), last(1)])
        meter.add([last(0, tokens=2)])
    assert value(metrics, "vllm:request_params_n_sum") == 2
    assert value(metrics, "vllm:request_params_max_tokens_sum") == 9
    assert value(metrics, "vllm:request_max_num_generation_tokens_sum") == 3
    assert value(metrics, "vllm:request_max_num_generation_tokens_count") == 1


def test_reasons_are_on_the_page_before_they_happen() -> None:
    metrics = GatewayMetrics("m")
    metrics.of("m")
    assert b'finished_reason="abort"' in metrics.page()


def test_the_queue_is_counted_when_it_is_scraped() -> None:
    metrics, waiting = GatewayMetrics("m"), {("few", -3): 2, ("few", -1): 1, ("many", 7): 1}
    metrics.watch_queue("m", lambda: waiting)

    def queued(priority: str, tenant: str) -> float:
        return value(metrics, "baton_queued_requests", priority=priority, tenant=tenant)

    assert queued("high", "few") == 3
    assert queued("low", "many") == 1
    assert queued("normal", "default") == 0
    waiting.clear()
    assert queued("high", "few") == 0


def test_tenants_beyond_what_a_page_has_room_for_share_a_name() -> None:
    names = TenantNames()
    assert names.of("t") == names.of("t") == "t"
    for number in range(MOST_NAMES - 1):
        names.of(str(number))
    assert names.of("one more") == "others"
    assert names.of("7") == "7"
