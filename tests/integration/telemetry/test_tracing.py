"""Spans on their way to a collector, and what OpenTelemetry's variables change about that."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from baton.telemetry.tracing import Tracer
from tests.support.trace_collector import TraceCollector, filled, trace_collector


@pytest.fixture
async def collector() -> AsyncIterator[TraceCollector]:
    async with trace_collector() as collector:
        yield collector


async def close(tracer: Tracer) -> None:
    """Afterwards all spans are there."""
    await asyncio.to_thread(tracer.close)


def make_one(tracer: Tracer) -> None:
    now = time.monotonic()
    root = tracer.begin("root", {}, now)
    assert root is not None
    root.end(now)


async def test_phases_meet_in_the_same_nanosecond_whatever_the_clock_says(
    collector: TraceCollector,
) -> None:
    tracer = Tracer(collector.endpoint, "service")
    began = time.monotonic() - 3.0
    root = tracer.begin("root", {}, began)
    assert root is not None
    lane = root.lane(began)
    lane.phase("first", at=began + 1 / 3)
    lane.phase("late", at=began + 0.1)  # told to end before it began: it takes no time
    lane.open("second")
    lane.turn("third", {"count": 3})
    lane.shut(error="it broke")
    root.end(lane.reached)
    root.end(lane.reached + 1)  # ignored
    await close(tracer)
    (trace,) = collector.traces().values()
    phases = trace.below(trace.one("root"))
    assert [span.name for span in phases] == ["first", "late", "second", "third"]
    assert filled(trace.one("root"), phases)
    assert trace.one("second").attributes == {"count": 3}
    assert [span.error for span in phases] == [None, None, None, "it broke"]


async def test_a_call_is_a_part_of_its_callers_trace_or_of_none(collector: TraceCollector) -> None:
    caller, worker = Tracer(collector.endpoint, "a"), Tracer(collector.endpoint, "b")
    root = caller.begin("root", {}, time.monotonic())
    assert root is not None
    part = worker.go_on("part", dict(root.metadata()), time.monotonic())
    assert part is not None
    assert part.trace_id == root.trace_id
    part.end(time.monotonic())
    root.end(time.monotonic())
    assert worker.go_on("part", {"baton-secret": "x"}, time.monotonic()) is None
    await close(caller)
    await close(worker)
    (trace,) = collector.traces().values()
    assert trace.parent(trace.one("part")) == trace.one("root")
    assert {span.service for span in trace.spans} == {"a", "b"}


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, "baton-gateway"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=ours,a=b"}, "ours"),
    ],
)
async def test_the_environment_names_the_service(
    collector: TraceCollector,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    service: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracer = Tracer(collector.endpoint, "baton-gateway")
    make_one(tracer)
    await close(tracer)
    assert [span.service for span in collector.spans] == [service]


async def test_a_url_of_grpc_is_in_the_clear(collector: TraceCollector) -> None:
    tracer = Tracer(collector.endpoint.replace("http://", "grpc://"), "service")
    make_one(tracer)
    await close(tracer)
    assert len(collector.spans) == 1


async def test_a_sampler_that_takes_none_makes_none(
    collector: TraceCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tracer = Tracer(collector.endpoint, "service")
    assert tracer.begin("root", {}, time.monotonic()) is None
    await close(tracer)
    assert collector.spans == []
