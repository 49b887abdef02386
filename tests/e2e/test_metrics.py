"""Every process's metrics page behind requests of each kind: what is documented is there and adds up."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from baton.telemetry.family import Family
from baton.telemetry.worker_families import WORKER_FAMILIES
from gateway.metric_families import GATEWAY_FAMILIES
from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.metrics_page import MetricsPage, page_of
from tests.support.programs import needed

TEXT, CHAT = "/v1/completions", "/v1/chat/completions"
KEY, LIMITED = "key-of-all", "key-of-few"
TENANTS = {"tenants": [{"name": "few", "keys": [LIMITED], "requests_per_minute": 1}]}
LONG = {"prompt": [7] * 100, "max_tokens": 150, "ignore_eos": True, "stream": True}
# What promtool dislikes about names that are not ours to choose.
FOREIGN = (
    "metric names should not contain ':'",
    'non-counter metrics should not have "_total" suffix',
)
GATEWAY = "gateway"
PROCESSES = (GATEWAY, "prefill-0", "decode-0", "decode-1")

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class Seen:
    """The pages at the end, by process, and what their requests were told."""

    early: MetricsPage  # the gateway's, before anything was cut off
    told: list[dict[str, Any]]  # usages of the requests until then
    pages: dict[str, MetricsPage]
    later: list[dict[str, Any]]  # usages of those behind


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(
    slow_hash_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Seen]:
    file = tmp_path_factory.mktemp("tenants") / "tenants.yaml"
    file.write_text(yaml.safe_dump(TENANTS))
    async with (
        running_cluster(
            slow_hash_model,
            decode_workers=2,
            api_key=(KEY,),
            tenants_file=file,
            served_model_name="tiny",
        ) as cluster,
        Client(cluster.url) as client,
    ):
        client.http.headers["Authorization"] = f"Bearer {KEY}"
        told = [await ask(client, 1), await ask(client, 2), await streamed(client)]
        told += [await refused(client)]
        early = await page_of(client.http)
        await aborted(client)
        later = [await broken(cluster, client)]
        yield Seen(early, told, await pages_of(client), later)


async def ask(client: Client, n: int) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 6, "n": n}
    answer = await client.post(CHAT, {**body, "ignore_eos": True})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["usage"])


async def streamed(client: Client) -> dict[str, Any]:
    body = {**LONG, "max_tokens": 20, "stream_options": {"include_usage": True}}
    return dict((await client.stream(TEXT, body))[-1]["usage"])


async def refused(client: Client) -> dict[str, Any]:
    """Of two requests of the limited tenant the second one; the usage of the first."""
    headers = {"Authorization": f"Bearer {LIMITED}"}
    body = {"prompt": [1], "max_tokens": 1}
    first = await client.http.post(TEXT, json=body, headers=headers)
    second = await client.http.post(TEXT, json=body, headers=headers)
    assert (first.status_code, second.status_code) == (200, 429)
    return dict(first.json()["usage"])


async def aborted(client: Client) -> None:
    """Its client leaves when it has read the beginning; returns once nobody works on it."""
    async with client.http.stream("POST", TEXT, json=LONG) as response:
        await anext(response.aiter_lines())
    async with asyncio.timeout(30):
        while any(worker["running"] for worker in await client.workers()):
            pass


async def broken(cluster: RunningCluster, client: Client) -> dict[str, Any]:
    """A stream whose decode worker is killed under it; returns once that one is back."""
    body = {**LONG, "prompt": [8] * 100, "stream_options": {"include_usage": True}}
    going = asyncio.create_task(client.stream(TEXT, body))
    writer = await writing(client)
    await cluster.kill(writer)
    usage = (await going)[-1]["usage"]
    await cluster.until_restarted(writer)
    return dict(usage)


async def writing(client: Client) -> str:
    """The decode worker that writes an answer, as soon as one does."""
    async with asyncio.timeout(30):
        while True:
            for worker in await client.workers():
                if worker["running"] and worker["role"] == "decode":
                    return str(worker["id"])


async def pages_of(client: Client) -> dict[str, MetricsPage]:
    urls = {worker["id"]: worker["metrics_url"] for worker in await client.workers()}
    pages = {name: await page_of(client.http, url) for name, url in urls.items()}
    return {**pages, GATEWAY: await page_of(client.http)}


def checked(promtool: str, page: MetricsPage) -> list[str]:
    """What it says of the page."""
    command = [promtool, "check", "metrics"]
    said = subprocess.run(command, input=page.text, capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).splitlines()


def families_of(process: str) -> tuple[Family, ...]:
    families = GATEWAY_FAMILIES if process == GATEWAY else WORKER_FAMILIES
    return tuple(one for one in families if not one.only)


@pytest.mark.parametrize("process", PROCESSES)
async def test_a_page_has_the_families_that_are_documented_and_no_other(
    seen: Seen, process: str
) -> None:
    shown = {one.name: (one.type, one.documentation) for one in seen.pages[process].families}
    assert shown == {one.name: (one.kind, one.help) for one in families_of(process)}
    for family in seen.pages[process].families:
        (declared,) = [one for one in families_of(process) if one.name == family.name]
        assert family.samples, f"{family.name} has no series behind requests of each kind"
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == {*declared.label_names}, sample
            assert sample.labels.get("model_name", "tiny") == "tiny"


@pytest.mark.parametrize("process", PROCESSES)
async def test_promtool_finds_nothing_but_names_that_are_not_ours(seen: Seen, process: str) -> None:
    lines = checked(needed("promtool", "prometheus"), seen.pages[process])
    assert [line for line in lines if not line.endswith(FOREIGN)] == []
    assert any(line.startswith("vllm:") for line in lines), "it was asked"


async def test_tokens_on_the_page_are_those_that_clients_were_told_of(seen: Seen) -> None:
    page, told = seen.early, seen.told
    prompt = sum(usage["prompt_tokens"] for usage in told)
    written = sum(usage["completion_tokens"] for usage in told)
    assert page.value("vllm:prompt_tokens_total") == prompt
    assert page.value("vllm:request_prompt_tokens_sum") == prompt
    assert page.value("vllm:generation_tokens_total") == written
    assert page.value("vllm:request_generation_tokens_sum") == written
    assert page.value("baton_tenant_prompt_tokens_total") == prompt
    assert page.value("baton_tenant_generation_tokens_total") == written


async def test_requests_are_counted_each_once_and_choices_each_once(seen: Seen) -> None:
    """Four answered, one of them with two choices, one refused by its limit."""
    page = seen.early
    assert page.value("vllm:request_success_total") == 5
    assert page.value("vllm:request_success_total", finished_reason="length") == 5
    assert page.value("vllm:request_params_n_sum") == 5
    for name in ("time_to_first_token", "e2e_request_latency", "request_queue_time"):
        assert page.value(f"vllm:{name}_seconds_count") == 4, name
    for name in ("request_prefill_time", "request_decode_time", "request_inference_time"):
        assert page.value(f"vllm:{name}_seconds_count") == 4, name
    for name in ("request_params_max_tokens", "request_max_num_generation_tokens"):
        assert page.value(f"vllm:{name}_count") == 4, name
    written = sum(usage["completion_tokens"] for usage in seen.told)
    assert page.value("vllm:inter_token_latency_seconds_count") == written - 5
    assert page.value("vllm:request_time_per_output_token_seconds_count") == 4  # one was of one
    assert page.value("baton_placements_total") == 4
    assert page.value("http_requests_total", method="POST", status="2xx") == 4
    assert page.value("http_requests_total", method="POST", status="4xx") == 1
    assert page.value("baton_retry_after_seconds_count", reason="requests_per_minute") == 1
    assert page.value("baton_tenant_refused_total", tenant="few") == 1


async def test_the_phases_of_requests_add_up(seen: Seen) -> None:
    def seconds(name: str) -> float:
        return seen.early.value(f"vllm:{name}_seconds_sum")

    inference = seconds("request_inference_time")
    assert seconds("request_prefill_time") + seconds("request_decode_time") == pytest.approx(
        inference
    )
    assert seconds("request_queue_time") + inference == pytest.approx(
        seconds("e2e_request_latency")
    )
    assert seconds("request_decode_time") > 0


async def test_a_client_that_left_and_a_worker_that_died_are_counted(seen: Seen) -> None:
    page = seen.pages[GATEWAY]
    assert page.value("vllm:request_success_total", finished_reason="abort") == 1
    assert page.value("baton_request_aborts_total", phase="decode") == 1
    assert page.value("baton_request_aborts_total") == 1
    assert page.value("baton_failovers_total") >= 1
    assert page.value("baton_failovers_total", result="resumed", reason="unavailable") == (
        page.value("baton_failovers_total")
    )
    (usage,) = seen.later
    early, late = (p.value("vllm:request_prompt_tokens_sum") for p in (seen.early, page))
    assert late - early == 100 + usage["prompt_tokens"]
    whole = page.value("vllm:request_generation_tokens_sum")
    assert whole == page.value("vllm:generation_tokens_total")
    cut_off = whole - seen.early.value("vllm:generation_tokens_total") - usage["completion_tokens"]
    assert 1 <= cut_off < LONG["max_tokens"]


async def test_engines_count_what_they_compute(seen: Seen) -> None:
    """Every worker but the one that was killed has been here from the start."""
    page = seen.pages["prefill-0"]
    read = page.value("vllm:iteration_tokens_total_sum")
    looked_up = page.value("vllm:prefix_cache_queries_total")
    assert read == looked_up - page.value("vllm:prefix_cache_hits_total") > 0
    assert page.value("vllm:iteration_tokens_total_count") > 0
    assert page.value("baton_worker_info", worker_id="prefill-0", role="prefill") == 1
    assert page.value("vllm:cache_config_info", block_size="16") == 1
    assert page.value("baton_handoffs_total", result="confirmed") >= 1
    assert page.value("vllm:num_requests_running") == 0
