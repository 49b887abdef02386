"""The prefix cache through the whole cluster: a hit answers what a miss answered, byte for byte."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from baton.core.sampling_params import SamplingParams
from baton.engine.runners.hash_model import parse_hash_config
from tests.support.clients import Client
from tests.support.cluster import running_cluster
from tests.support.hash_answer import hash_answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARAMS = SamplingParams(20, seed=3, temperature=0.7)
FIELDS = {"max_tokens": 20, "seed": 3, "temperature": 0.7, "return_token_ids": True}
KEYS = ("key-of-one", "key-of-two")


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=[1, 0], ids=["handed over", "alone"]
)
async def url(request: pytest.FixtureRequest, hash_model: Path) -> AsyncIterator[str]:
    async with running_cluster(hash_model, prefill_workers=request.param, api_key=KEYS) as running:
        yield running.url


@pytest_asyncio.fixture(loop_scope="module")
async def client(url: str) -> AsyncIterator[Client]:
    async with Client(url) as client:
        client.http.headers["authorization"] = f"Bearer {KEYS[0]}"
        yield client


async def known_prefixes(client: Client) -> float:
    """That the gateway has heard of."""
    page = (await client.http.get("/metrics")).text
    [line] = [line for line in page.splitlines() if line.startswith("baton_prefix_index_size")]
    return float(line.split()[-1])


def drawn(count: int) -> list[int]:
    rng = random.SystemRandom()
    return [rng.randrange(4096) for _ in range(count)]


def answer_of(model: Path, prompt: list[int]) -> list[int]:
    config = parse_hash_config((model / "config.json").read_bytes(), "test")
    return [record.token_id for record in hash_answer(config, tuple(prompt), PARAMS)[0]]


async def asked(client: Client, prompt: list[int], **more: Any) -> tuple[int, list[int]]:
    """Cached tokens and the answer."""
    response = await client.post("/v1/completions", {"prompt": prompt, **FIELDS, **more})
    response.raise_for_status()
    body = response.json()
    return body["usage"]["prompt_tokens_details"]["cached_tokens"], body["choices"][0]["token_ids"]


async def test_a_hit_answers_what_a_miss_answered(client: Client, hash_model: Path) -> None:
    prompt = drawn(1000)
    longer = [*prompt[:600], *drawn(50)]
    for tokens, cached in [(prompt, 0), (prompt, 992), (longer, 592), (prompt[:64], 48)]:
        assert await asked(client, tokens) == (cached, answer_of(hash_model, tokens))


async def test_a_stream_tells_the_same_number_as_a_whole_answer(client: Client) -> None:
    prompt = drawn(100)
    await asked(client, prompt)
    whole = (await client.post("/v1/completions", {"prompt": prompt, **FIELDS})).json()["usage"]
    body = {"prompt": prompt, **FIELDS, "stream_options": {"include_usage": True}}
    streamed = (await client.stream("/v1/completions", body))[-1]["usage"]
    assert streamed == whole
    assert whole["prompt_tokens_details"] == {"cached_tokens": 96}


async def test_a_conversation_goes_on_behind_its_last_answer(
    client: Client, hash_model: Path
) -> None:
    """Whoever reads the prompt: prefill gets back what decode wrote."""
    long = {**FIELDS, "max_tokens": 100, "ignore_eos": True}
    first, known = drawn(100), await known_prefixes(client)
    told = (await client.post("/v1/completions", {"prompt": first, **long})).json()
    async with asyncio.timeout(20):
        while await known_prefixes(client) == known:  # noqa: ASYNC110  decode tells within 0.1 s
            await asyncio.sleep(0.02)
    prompt = [*first, *told["choices"][0]["token_ids"], *drawn(30)]
    second = (await client.post("/v1/completions", {"prompt": prompt, **FIELDS})).json()
    assert second["choices"][0]["token_ids"] == answer_of(hash_model, prompt)
    assert second["usage"]["prompt_tokens_details"] == {"cached_tokens": 192}  # of 199
    way = second["kv_transfer_params"]
    if way["prefill_worker"] is None:
        assert way["prefix_from"] is None
    else:
        assert (way["prefix_from"], way["prefix_tokens_moved"]) == (way["decode_worker"], 96)
        assert way["prefix_ms"] > 0


async def test_another_salt_never_hits(client: Client, hash_model: Path) -> None:
    prompt = drawn(200)
    answer = answer_of(hash_model, prompt)
    assert await asked(client, prompt) == (0, answer)
    for salt in ("one", "two"):
        assert await asked(client, prompt, cache_salt=salt) == (0, answer)
        assert await asked(client, prompt, cache_salt=salt) == (192, answer)


async def test_another_tenant_never_hits(client: Client, hash_model: Path) -> None:
    prompt = drawn(200)
    answer = answer_of(hash_model, prompt)
    assert await asked(client, prompt) == (0, answer)
    client.http.headers["authorization"] = f"Bearer {KEYS[1]}"
    assert await asked(client, prompt) == (0, answer)
    assert await asked(client, prompt) == (192, answer)


async def test_the_worker_that_reads_prompts_counts_queries_and_hits(client: Client) -> None:
    before = await counted(client)
    prompt = drawn(100)
    await asked(client, prompt)
    await asked(client, prompt)
    after = await counted(client)
    assert {name: after[name] - before[name] for name in after} == {"queries": 200, "hits": 96}


async def test_without_prefix_caching_nothing_is_cached(hash_model: Path) -> None:
    async with (
        running_cluster(hash_model, enable_prefix_caching=False) as running,
        Client(running.url) as client,
    ):
        prompt = drawn(100)
        for _ in range(2):
            assert await asked(client, prompt) == (0, answer_of(hash_model, prompt))


async def test_what_the_pool_gave_up_comes_back_from_host_memory(hash_model: Path) -> None:
    """Prompts of 63 blocks in turn, through pools of 100."""
    config = parse_hash_config((hash_model / "config.json").read_bytes(), "test")
    size = config.layout(16).block_bytes
    async with (
        running_cluster(
            hash_model, kv_cache_memory_bytes=100 * size, kv_offloading_size=400 * size / 2**30
        ) as running,
        Client(running.url) as client,
    ):
        prompts = [drawn(1000) for _ in range(3)]
        for cached in (0, 992, 992):
            for prompt in prompts:
                assert await asked(client, prompt) == (cached, answer_of(hash_model, prompt))
        counts = await counted(client, "baton_host_cache")
        assert counts["hits"] > 992 * 3
        assert counts["queries"] >= counts["hits"]


async def counted(client: Client, family: str = "vllm:prefix_cache") -> dict[str, float]:
    """Summed over the workers."""
    totals = {"queries": 0.0, "hits": 0.0}
    async with httpx.AsyncClient(trust_env=False) as http:
        for worker in await client.workers():
            page = (await http.get(worker["metrics_url"])).text
            for line in page.splitlines():
                for name in totals:
                    if line.startswith(f"{family}_{name}_total"):
                        totals[name] += float(line.rsplit(" ", 1)[1])
    return totals
