"""Limits as clients meet them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
import yaml

from baton.registry.redis_settings import RedisSettings
from tests.support.baton_command import Ran, baton_process
from tests.support.gateway_cluster import SECRET, GatewayUnderTest, running_gateway
from tests.support.metrics_page import page_of
from tests.support.redis_server import redis_under_test

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


async def test_tenants_in_redis_are_put_there_by_a_command_and_act_at_once(
    model_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text(yaml.safe_dump(TENANTS))
    async with redis_under_test(tmp_path) as redis:
        told = {"BATON_REDIS_URL": redis.url, "BATON_CLUSTER_SECRET": SECRET}

        async def tenants(*words: str) -> Ran:
            ran = await baton_process("tenants", *words, env=told)
            assert ran.exit_code == 0, ran.stderr
            return ran

        put = await tenants("put", str(file))
        assert "few: added" in put.stdout
        place = RedisSettings(redis.url)
        async with running_gateway(model_folder, redis=place, tenants_in_redis=True) as gateway:

            async def until_answers(key: str, status: int) -> None:
                async with asyncio.timeout(20):
                    while (await models(gateway, key)).status_code != status:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)

            await until_answers("few", 200)
            assert (await models(gateway, "nobody")).status_code == 401
            await tenants("remove", "few", "little")
            await until_answers("few", 401)
            assert (await models(gateway, "narrow")).status_code == 200
        listed = await tenants("list")
        assert "narrow  1       -             -           1        1" in listed.stdout
        assert "few" not in listed.stdout
        async with redis.client() as client:
            held = str(await client.hgetall("baton:roster"))
        assert "narrow" in held
        assert '"keys"' not in held


async def test_before_the_tenants_were_read_nobody_is_called_unknown(
    model_folder: Path, tmp_path: Path
) -> None:
    async with redis_under_test(tmp_path) as redis:
        await redis.stop()
        place = RedisSettings(redis.url)
        async with running_gateway(model_folder, redis=place, tenants_in_redis=True) as gateway:
            unread = await models(gateway, "few")
            assert unread.status_code == 503
            assert unread.headers["retry-after"] == "1"
            assert (await gateway.client.get("/v1/models")).status_code == 401


async def models(gateway: GatewayUnderTest, key: str) -> httpx.Response:
    return await gateway.client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
