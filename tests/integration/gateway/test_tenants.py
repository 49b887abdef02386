"""Limits as clients meet them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
import yaml

from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.metrics_page import page_of

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
TENANTS = {
    "tenants": [
        {"name": "few", "keys": ["few", "few-too"], "requests_per_minute": 2},
        {"name": "little", "keys": ["little"], "tokens_per_minute": 60},
        {"name": "narrow", "keys": ["narrow"], "concurrent_requests": 1},
    ]
}


@pytest_asyncio.fixture
async def served(model_folder: Path, tmp_path: Path) -> AsyncIterator[GatewayUnderTest]:
    file = tmp_path / "tenants.yaml"
    file.write_text(yaml.safe_dump(TENANTS))
    async with running_gateway(model_folder, tenants_file=str(file)) as gateway:
        await gateway.pair()
        yield gateway


async def ask(gateway: GatewayUnderTest, key: str, **fields: Any) -> httpx.Response:
    body = {"messages": HI, "max_tokens": 4, **fields}
    headers = {"Authorization": f"Bearer {key}"}
    return await gateway.client.post(CHAT, json=body, headers=headers)


async def counted(gateway: GatewayUnderTest, sample: str, **labels: str) -> float:
    return (await page_of(gateway.client)).value(sample, **labels)


async def test_keys_of_a_tenant_share_its_requests_per_minute(served: GatewayUnderTest) -> None:
    first, second = await ask(served, "few"), await ask(served, "few-too", stream=True)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    refused = await ask(served, "few", stream=True)
    assert refused.status_code == 429
    assert refused.headers["x-baton-reason"] == "requests_per_minute"
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert "x-ratelimit-reset-requests" in refused.headers
    assert refused.json()["error"]["type"] == "RateLimitError"
    assert await counted(served, "baton_tenant_requests_total", tenant="few") == 3
    why = {"reason": "requests_per_minute"}
    assert await counted(served, "baton_tenant_refused_total", tenant="few", **why) == 1
    told = await counted(served, "baton_retry_after_seconds_sum", **why)
    assert told == int(refused.headers["retry-after"])
    assert (await ask(served, "unknown")).status_code == 401


async def test_tokens_are_settled_by_what_was_used(served: GatewayUnderTest) -> None:
    answer = await ask(served, "little")
    used = answer.json()["usage"]["total_tokens"]
    again = await ask(served, "little")
    left = int(again.headers["x-ratelimit-remaining-tokens"])
    guess = answer.json()["usage"]["prompt_tokens"] + 4
    assert 60 - used - guess - 1 <= left <= 60 - used
    prompt = await counted(served, "baton_tenant_prompt_tokens_total", tenant="little")
    written = await counted(served, "baton_tenant_generation_tokens_total", tenant="little")
    assert prompt + written == used + again.json()["usage"]["total_tokens"]
    while (last := await ask(served, "little")).status_code == 200:
        pass
    assert last.headers["x-baton-reason"] == "tokens_per_minute"


async def test_one_request_at_a_time_until_it_has_ended_or_its_client_has_gone(
    served: GatewayUnderTest,
) -> None:
    waiting = asyncio.Event()

    async def reserving(request: Any) -> AsyncIterator[Any]:
        waiting.set()
        await asyncio.Event().wait()
        yield None

    script = served.workers[1].decode_script
    served.workers[1].decode_script = reserving
    first = asyncio.create_task(ask(served, "narrow"))
    await waiting.wait()
    refused = await ask(served, "narrow")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.headers["x-baton-reason"] == "concurrent_requests"
    first.cancel()
    await served.until_idle()
    served.workers[1].decode_script = script
    for _ in range(2):
        assert (await ask(served, "narrow")).status_code == 200
