"""One connected trace per request, from real processes to a real collector."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.trace_collector import SeenSpan, SeenTrace, TraceCollector, trace_collector

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = list(range(100, 400))
SERVICES = {"baton-gateway", "baton-prefill", "baton-decode"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector() -> AsyncIterator[TraceCollector]:
    async with trace_collector() as collector:
        yield collector


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(hash_model: Path, collector: TraceCollector) -> AsyncIterator[RunningCluster]:
    """Its spans go out at once, so that no test waits for a batch to fill."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        async with running_cluster(
            hash_model,
            otlp_traces_endpoint=collector.endpoint,
            placement_policy="prefix_aware",  # always pairs
        ) as cluster:
            yield cluster


async def ask(cluster: RunningCluster, headers: dict[str, str], **fields: object) -> None:
    async with Client(cluster.url) as client:
        body = {
            "prompt": PROMPT,
            "max_tokens": 8,
            "temperature": 0,
            "cache_salt": str(headers),
            **fields,
        }
        answer = await client.http.post("/v1/completions", json=body, headers=headers)
        answer.raise_for_status()


def has_all(trace: SeenTrace) -> bool:
    return {"llm_request", "prefill_worker", "decode_worker"} <= {s.name for s in trace.spans}


def fill(parent: SeenSpan, phases: list[SeenSpan]) -> None:
    """Each begins where the one before it ended: no nanosecond of the parent is lost."""
    assert phases[0].start == parent.start
    for before, after in pairwise(phases):
        assert before.end == after.start, (before.name, after.name)
    assert phases[-1].end == parent.end
    assert sum(p.end - p.start for p in phases) == parent.end - parent.start


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_one_trace_whose_phases_fill_it(
    traced: RunningCluster, collector: TraceCollector, stream: bool
) -> None:
    name = f"whole-{stream}"
    await ask(traced, {"X-Request-Id": name}, stream=stream)
    trace = await collector.trace(name, has_all)
    root, attempt = trace.one("llm_request"), trace.one("attempt")
    reader, writer = trace.one("prefill_worker"), trace.one("decode_worker")
    assert {span.service for span in trace.spans} == SERVICES
    assert {span.error for span in trace.spans} == {None}
    phases = [
        (root, ["prepare", "queue", "placement", "attempt", "deliver"]),
        (attempt, ["reserve", "prefill", "decode"]),
        (reader, ["prefill.queue", "prefill.compute", "prefill.lend"]),
        (writer, ["decode.reserve", "transfer.wait", "transfer", "decode.write"]),
    ]
    for parent, names in phases:
        assert [span.name for span in trace.below(parent)] == names
        fill(parent, trace.below(parent))
    assert trace.parent(reader) == trace.one("prefill")
    assert trace.parent(writer) == attempt
    assert len(trace.spans) == 1 + 5 + 3 + (1 + 3) + (1 + 4)
