"""One connected trace per request, from real processes to a real collector."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.trace_collector import SeenTrace, TraceCollector, filled, trace_collector

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = list(range(100, 400))
CALLER = "0af7651916cd43dd8448eb211c80319c"
SERVICES = {"baton-gateway", "baton-prefill", "baton-decode"}
ROOT = ["prepare", "queue", "placement", "attempt", "deliver"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector() -> AsyncIterator[TraceCollector]:
    async with trace_collector() as collector:
        yield collector


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(slow_hash_model: Path, collector: TraceCollector) -> AsyncIterator[RunningCluster]:
    """Its spans go out at once, so that no test waits for a batch to fill."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        async with running_cluster(
            slow_hash_model,
            decode_workers=2,
            log_level="info",
            placement_policy="prefix_aware",  # always pairs
        ) as cluster:
            yield cluster


async def ask(
    cluster: RunningCluster, name: str, traceparent: str | None = None, **fields: object
) -> None:
    headers = {"X-Request-Id": name} | ({"traceparent": traceparent} if traceparent else {})
    body = {"prompt": PROMPT, "max_tokens": 8, "temperature": 0, "cache_salt": name, **fields}
    async with Client(cluster.url) as client:
        answer = await client.http.post("/v1/completions", json=body, headers=headers)
        answer.raise_for_status()


def is_whole(trace: SeenTrace) -> bool:
    return {"llm_request", "prefill_worker", "decode_worker"} <= {s.name for s in trace.spans}


async def test_a_request_is_one_trace_whose_phases_fill_it(
    traced: RunningCluster, collector: TraceCollector
) -> None:
    await ask(traced, "whole")
    trace = await collector.trace("whole", is_whole)
    root, attempt = trace.one("llm_request"), trace.one("attempt")
    reader, writer = trace.one("prefill_worker"), trace.one("decode_worker")
    assert {span.service for span in trace.spans} == SERVICES
    assert {span.error for span in trace.spans} == {None}
    phases = [
        (root, ROOT),
        (attempt, ["reserve", "prefill", "decode"]),
        (reader, ["prefill.queue", "prefill.compute", "prefill.lend"]),
        (writer, ["decode.reserve", "transfer.wait", "transfer", "decode.write"]),
    ]
    for parent, names in phases:
        assert [span.name for span in trace.below(parent)] == names
        assert filled(parent, trace.below(parent))
    assert trace.parent(reader) == trace.one("prefill")
    assert trace.parent(writer) == attempt
    assert len(trace.spans) == 1 + len(ROOT) + 3 + (1 + 3) + (1 + 4)
    assert trace.one("transfer").attributes["baton.transfer.tokens"] == len(PROMPT)


async def test_a_callers_trace_goes_through_all_processes_or_through_none(
    traced: RunningCluster, collector: TraceCollector
) -> None:
    """Spans leave a process in the order in which they end, so the first request's would be there."""
    unsampled = CALLER[::-1]
    await ask(traced, "unsampled", f"00-{unsampled}-b7ad6b7169203331-00")
    await ask(traced, "sampled", f"00-{CALLER}-b7ad6b7169203331-01")
    trace = await collector.trace("sampled", is_whole)
    assert {span.trace_id for span in trace.spans} == {CALLER}
    assert {span.service for span in trace.spans} == SERVICES
    assert unsampled not in collector.traces()


async def test_a_decode_worker_that_reads_the_prompt_itself_has_the_phases_of_both(
    traced: RunningCluster, collector: TraceCollector
) -> None:
    await ask(traced, "alone", kv_transfer_params={"mode": "aggregated"})
    alone = {"llm_request", "decode_worker"}
    trace = await collector.trace("alone", lambda t: alone <= {s.name for s in t.spans})
    writer = trace.one("decode_worker")
    names = ["decode.reserve", "prefill.queue", "prefill.compute", "decode.write"]
    assert [span.name for span in trace.below(writer)] == names
    assert filled(writer, trace.below(writer))
    assert not trace.all("prefill_worker")


@pytest.mark.timeout(120)
async def test_a_killed_worker_and_who_went_on_are_in_the_same_trace_and_in_the_log(
    traced: RunningCluster, collector: TraceCollector
) -> None:
    async with under_way(traced, "killed") as stream:
        await traced.kill(stream.decode_worker)
        await stream.rest()
    trace = await collector.trace("killed", lambda t: is_whole(t) and len(t.all("attempt")) == 2)
    root, (broke, whole) = trace.one("llm_request"), trace.all("attempt")
    assert [span.name for span in trace.below(root)] == [*ROOT[:-1], *ROOT[1:]]
    assert filled(root, trace.below(root))
    assert stream.decode_worker in (broke.error or "")
    assert broke.attributes["baton.decode_worker"] == stream.decode_worker
    assert (whole.error, root.error) == (None, None)
    assert root.attributes["baton.failovers"] == 1
    assert root.attributes["baton.continued_on"] == [whole.attributes["baton.decode_worker"]]
    await traced.until_restarted(stream.decode_worker)
    told = [entry for line in traced.output if (entry := read(line)) and is_about(entry, "killed")]
    assert {entry["trace_id"] for entry in told} == {root.trace_id}
    assert {"gateway", "prefill"} <= {entry["process"] for entry in told}


@pytest.mark.timeout(120)
async def test_an_answer_that_is_handed_over_has_an_attempt_of_its_own(
    traced: RunningCluster, collector: TraceCollector
) -> None:
    """The last of the module: the worker has left for good."""
    async with under_way(traced, "moved") as stream:
        await traced.terminate(stream.decode_worker)
        await stream.rest()
    ends = {"llm_request", "hand_over"}
    trace = await collector.trace(
        "moved",
        lambda t: ends <= {s.name for s in t.spans} and len(t.all("decode_worker")) == 2,
    )
    left, arrived = trace.all("attempt")
    assert (left.attributes["baton.move"], arrived.attributes["baton.move"]) == (False, True)
    assert (left.error, arrived.error) == (None, None)
    assert arrived.start < left.end  # no gap
    given = trace.one("hand_over")
    assert trace.parent(given) == left
    assert [span.name for span in trace.below(given)] == ["hand_over.stop", "hand_over.lend"]
    assert trace.one("llm_request").attributes["baton.moves"] == 1
    await traced.until_said(f"{stream.decode_worker} has left", 30)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A stream whose first event has come."""

    decode_worker: str
    lines: AsyncIterator[str]

    async def rest(self) -> None:
        """To its proper end."""
        assert [line async for line in self.lines if line][-1] == "data: [DONE]"


@asynccontextmanager
async def under_way(cluster: RunningCluster, name: str) -> AsyncIterator[UnderWay]:
    body = {"prompt": PROMPT, "max_tokens": 100, "ignore_eos": True, "stream": True}
    headers = {"X-Request-Id": name}
    async with (
        Client(cluster.url) as client,
        client.http.stream("POST", "/v1/completions", json=body, headers=headers) as response,
    ):
        said = re.search(r"decode=([^;]+)", response.headers["x-baton-placement"])
        assert said is not None
        lines = response.aiter_lines()
        await anext(lines)
        yield UnderWay(said[1], lines)


def read(line: str) -> dict[str, str]:
    """Of a line of JSON, after the name that `baton up` puts before it; else nothing."""
    found = re.search(r"{.*}$", line)
    try:
        return dict(json.loads(found[0])) if found else {}
    except ValueError:
        return {}


def is_about(entry: dict[str, str], request_id: str) -> bool:
    """At workers the id has a suffix."""
    return entry.get("request_id", "").startswith(request_id)
