"""What a gateway tells of a request in spans: those of its workers are scripted, and make none."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import UnavailableError
from baton.core.worker_info import Role
from baton.telemetry import tracing
from baton.telemetry.tracing import Tracer
from baton.v1 import decode_pb2
from tests.support.bound_gateways import bound_gateways
from tests.support.gateway_answer import answering_pair
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import RESERVED, answering, decoded, positions
from tests.support.gateway_reading import CHAT, HI, TEXT
from tests.support.trace_collector import SeenTrace, TraceCollector, filled, trace_collector

CALLER = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
USUAL = ["prepare", "queue", "placement", "attempt", "deliver"]


@pytest.fixture
async def collector() -> AsyncIterator[TraceCollector]:
    async with trace_collector() as collector:
        yield collector


@pytest.fixture
def impatient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "LAST_SECONDS", 0.2)


@asynccontextmanager
async def traced(folder: Path, endpoint: str, **settings: Any) -> AsyncIterator[GatewayUnderTest]:
    """At the end of the block every span has been sent."""
    tracer = Tracer(endpoint, "baton-gateway")
    try:
        async with running_gateway(folder, tracer, **settings) as gateway:
            yield gateway
    finally:
        await asyncio.to_thread(tracer.close)


def names(trace: SeenTrace) -> list[str]:
    return [span.name for span in trace.below(trace.one("llm_request"))]


async def test_the_root_says_what_was_asked_for_and_what_came(
    model_folder: Path, collector: TraceCollector
) -> None:
    async with traced(model_folder, collector.endpoint) as gateway:
        await answering_pair(gateway)
        body = {"messages": HI, "temperature": 0.25, "max_tokens": 9, "n": 2}
        answer = await gateway.client.post(CHAT, json=body, headers={"X-Request-Id": "r"})
    usage = answer.json()["usage"]
    trace = await collector.trace("r", lambda _: True)
    root = trace.one("llm_request")
    said = root.attributes
    assert (root.parent_id, root.error, names(trace)) == ("", None, USUAL)
    assert filled(root, trace.below(root))
    assert said["gen_ai.response.model"] == "tiny"
    assert (said["gen_ai.request.temperature"], said["gen_ai.request.n"]) == (0.25, 2)
    assert said["gen_ai.request.max_tokens"] == 9
    assert said["gen_ai.usage.prompt_tokens"] == usage["prompt_tokens"]
    assert said["gen_ai.usage.completion_tokens"] == usage["completion_tokens"]
    assert said["gen_ai.usage.num_sequences"] == 2
    assert said["gen_ai.response.finish_reasons"] == ["stop", "stop"]
    assert (said["baton.prefill_worker"], said["baton.decode_worker"]) == ("p0", "d0")
    assert (said["url.path"], said["http.response.status_code"]) == (CHAT, 200)
    latencies = [said[f"gen_ai.latency.{name}"] for name in ("time_to_first_token", "e2e")]
    assert 0 < latencies[0] <= latencies[1]
    spent = [said[f"gen_ai.latency.time_in_model_{name}"] for name in ("prefill", "decode")]
    assert sum(spent) <= latencies[1]


async def test_a_callers_trace_is_continued(model_folder: Path, collector: TraceCollector) -> None:
    async with traced(model_folder, collector.endpoint) as gateway:
        await answering_pair(gateway)
        headers = {"traceparent": f"00-{CALLER}-{SPAN}-01", "X-Request-Id": "r"}
        await gateway.client.post(CHAT, json={"messages": HI}, headers=headers)
    trace = await collector.trace("r", lambda _: True)
    root = trace.one("llm_request")
    assert (root.trace_id, root.parent_id) == (CALLER, SPAN)


@pytest.mark.parametrize(
    ("path", "headers"),
    [(CHAT, {"traceparent": f"00-{CALLER}-{SPAN}-00"}), ("/tokenize", {})],
    ids=["not sampled", "no answer"],
)
async def test_what_is_not_to_be_traced_sends_nothing(
    model_folder: Path, collector: TraceCollector, path: str, headers: dict[str, str]
) -> None:
    async with traced(model_folder, collector.endpoint) as gateway:
        await answering_pair(gateway)
        body = {"prompt": "hello"} if path == "/tokenize" else {"messages": HI}
        answer = await gateway.client.post(path, json=body, headers=headers)
        assert answer.status_code == 200
    assert collector.spans == []


async def test_prompts_of_one_request_have_phases_each(
    model_folder: Path, collector: TraceCollector
) -> None:
    async with traced(model_folder, collector.endpoint) as gateway:
        await answering_pair(gateway)
        body = {"prompt": [[5, 6], [7, 8, 9]], "max_tokens": 3}
        await gateway.client.post(TEXT, json=body, headers={"X-Request-Id": "r"})
    trace = await collector.trace("r", lambda _: True)
    assert sorted(names(trace)) == sorted([*USUAL, "queue", "placement", "attempt"])
    jobs = {span.attributes["baton.job"] for span in trace.all("attempt")}
    assert len(jobs) == 2
    assert all(job.startswith("r-") for job in jobs)
    assert trace.one("llm_request").attributes["gen_ai.usage.prompt_tokens"] == 5


async def test_both_halves_of_an_outside_routers_request_are_traced(
    model_folder: Path, collector: TraceCollector
) -> None:
    tracer = Tracer(collector.endpoint, "baton-gateway")
    try:
        async with bound_gateways(model_folder, tracer=tracer) as bound:
            body = {"messages": HI, "max_tokens": 4, "ignore_eos": True}
            read = await bound.read(body | {"request_id": "read"})
            told = read.json()["kv_transfer_params"]
            await bound.write(body | {"request_id": "write"}, told)
    finally:
        await asyncio.to_thread(tracer.close)
    for request, tokens in (("read", 1), ("write", 4)):
        trace = await collector.trace(request, lambda _: True)
        root = trace.one("llm_request")
        assert names(trace) == USUAL
        assert filled(root, trace.below(root))
        assert root.attributes["gen_ai.usage.completion_tokens"] == tokens


@pytest.mark.usefixtures("soon_forgotten")
async def test_after_a_failure_the_next_attempt_stands_beside_the_first(
    model_folder: Path, collector: TraceCollector
) -> None:
    async def broken(request: decode_pb2.GenerateRequest) -> AsyncIterator[Any]:
        yield RESERVED
        yield decoded(positions(len(request.prompt_token_ids), [5, 6], 1, None)[0])
        raise UnavailableError("the lights went out")

    async with traced(model_folder, collector.endpoint) as gateway:
        first, second = await gateway.pair(), await gateway.join("d1", Role.DECODE)
        scripts = iter([broken])
        for worker in (first[1], second):
            worker.decode_script = lambda request: next(scripts, answering([5, 6, 7]))(request)
        body = {"messages": HI, "max_tokens": 3, "stream": True}
        await gateway.client.post(CHAT, json=body, headers={"X-Request-Id": "r"})
    trace = await collector.trace("r", lambda _: True)
    root, (broke, whole) = trace.one("llm_request"), trace.all("attempt")
    assert names(trace) == [*USUAL[:-1], *USUAL[1:]]
    assert filled(root, trace.below(root))
    assert "the lights went out" in (broke.error or "")
    assert trace.below(broke)[-1].error == broke.error  # the phase in which it broke
    assert (whole.error, root.error) == (None, None)
    assert root.attributes["baton.failovers"] == 1
    assert {broke.attributes["baton.attempt"], whole.attributes["baton.attempt"]} == {1, 2}


async def test_a_refused_request_has_a_root_and_what_it_came_to(
    model_folder: Path, collector: TraceCollector
) -> None:
    async with traced(model_folder, collector.endpoint) as gateway:
        await answering_pair(gateway)
        body = {"messages": HI, "temperature": -1}
        await gateway.client.post(CHAT, json=body, headers={"X-Request-Id": "r"})
    trace = await collector.trace("r", lambda _: True)
    root = trace.one("llm_request")
    assert names(trace) == ["prepare"]
    assert filled(root, trace.below(root))
    assert (root.attributes["http.response.status_code"], root.error) == (400, None)


async def test_an_answer_that_ends_in_an_error_is_a_failure_although_it_began_with_200(
    model_folder: Path, collector: TraceCollector
) -> None:
    async def defect(request: decode_pb2.GenerateRequest) -> AsyncIterator[Any]:
        yield RESERVED
        yield decoded(positions(len(request.prompt_token_ids), [5, 6], 1, None)[0])
        yield decoded(positions(len(request.prompt_token_ids), [99], 1, None)[0])

    async with traced(model_folder, collector.endpoint) as gateway:
        _, decode = await gateway.pair()
        decode.decode_script = defect
        body = {"messages": HI, "max_tokens": 3, "stream": True}
        await gateway.client.post(CHAT, json=body, headers={"X-Request-Id": "r"})
    trace = await collector.trace("r", lambda _: True)
    root = trace.one("llm_request")
    assert root.attributes["http.response.status_code"] == 200
    assert root.error
    assert trace.one("attempt").error
    assert filled(root, trace.below(root))


async def test_a_collector_that_is_away_costs_no_request(
    model_folder: Path, impatient_end: None
) -> None:
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        async with traced(model_folder, f"http://127.0.0.1:{nobody.getsockname()[1]}") as gateway:
            await answering_pair(gateway)
            for _ in range(3):
                answer = await gateway.client.post(CHAT, json={"messages": HI})
                assert answer.status_code == 200


async def test_a_collector_that_never_answers_holds_no_process(
    model_folder: Path, impatient_end: None
) -> None:
    """Bounded by the test's own limit: connections are taken, and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with traced(model_folder, f"http://127.0.0.1:{silent.getsockname()[1]}") as gateway:
            await answering_pair(gateway)
            answer = await gateway.client.post(CHAT, json={"messages": HI})
            assert answer.status_code == 200
