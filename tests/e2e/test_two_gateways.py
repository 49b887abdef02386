"""Two gateways and the workers of one cluster, which meet in a real Redis."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.baton_command import baton_process
from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.lone_gateway import LoneGateway, lone_gateway
from tests.support.redis_server import RedisUnderTest, redis_under_test
from tests.support.steady_load import PROMPT, steady_load

SECRET = "the cluster's secret"
JOINED = {b"prefill-0", b"decode-0"}
pytestmark = pytest.mark.timeout(240)


@pytest_asyncio.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisUnderTest]:
    async with redis_under_test(tmp_path) as running:
        yield running


def told(redis: RedisUnderTest) -> dict[str, Any]:
    return {"redis_url": redis.url, "cluster_secret": SECRET}


async def workers_at(url: str) -> dict[str, int]:
    """Those that can be reached; their pids."""
    async with Client(url) as client:
        workers = await client.workers()
    return {worker["id"]: worker["pid"] for worker in workers if worker["state"] == "ready"}


async def until_ready_at(url: str, expected: dict[str, int]) -> None:
    async with asyncio.timeout(30):
        while await workers_at(url) != expected:  # noqa: ASYNC110 it tells nobody by itself
            await asyncio.sleep(0.05)


async def until_logged(cluster: RunningCluster, text: str) -> None:
    async with asyncio.timeout(30):
        while not any(text in line for line in cluster.output):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_worker_that_joined_once_serves_both_and_nothing_is_left_in_redis(
    hash_model: Path, redis: RedisUnderTest
) -> None:
    async with running_cluster(hash_model, decode_workers=2, **told(redis)) as cluster:  # noqa: SIM117
        async with lone_gateway(hash_model, **told(redis)) as other:
            workers = await cluster.until_members("prefill-0", "decode-0", "decode-1")
            await until_ready_at(other.url, workers)
            for url in (cluster.url, other.url):
                async with Client(url) as client:
                    found = await client.complete(PROMPT, max_tokens=16, temperature=0)
                    assert len(found[0].token_ids) == 16
            async with steady_load([cluster.url, other.url]) as load:
                await load.more(60)
            keys = ["gateways", "leases", f"times:{hash_model}", "workers"]
            keys = [f"baton:{key}" for key in keys]
            assert await redis.keys() == keys
            await other.stop()
            assert await redis.keys() == keys
    assert await redis.keys() == []


async def test_redis_stopped_and_started_again_under_load_fails_no_request(
    hash_model: Path, redis: RedisUnderTest
) -> None:
    async with (
        running_cluster(hash_model, **told(redis)) as cluster,
        lone_gateway(hash_model, **told(redis)) as other,
    ):
        workers = await cluster.until_members("prefill-0", "decode-0")
        await until_ready_at(other.url, workers)
        async with steady_load([cluster.url, other.url]) as load:
            await load.more(20)
            await redis.stop()
            await until_logged(cluster, "cannot read the registry in Redis")
            await until_logged(cluster, "not in the registry in Redis")
            await load.more(100)
            await redis.start()
            await until_logged(cluster, "joined the registry in Redis")
            await until_logged(cluster, "reading the registry in Redis")
            await load.more(100)
        await both_are_in(redis)
        for url in (cluster.url, other.url):
            assert await workers_at(url) == workers


async def both_are_in(redis: RedisUnderTest) -> None:
    async with redis.client() as client, asyncio.timeout(30):
        while set(await client.hkeys("baton:workers")) != JOINED:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_gateway_that_is_killed_takes_no_other_along(
    hash_model: Path, redis: RedisUnderTest
) -> None:
    async with (
        running_cluster(hash_model, **told(redis)) as cluster,
        lone_gateway(hash_model, **told(redis)) as other,
    ):
        workers = await cluster.until_members("prefill-0", "decode-0")
        await until_ready_at(other.url, workers)
        async with steady_load([cluster.url]) as load:
            await asyncio.gather(*(ask_and_lose(other) for _ in range(3)), other.kill())
            await load.more(60)
        assert await workers_at(cluster.url) == workers


async def ask_and_lose(gateway: LoneGateway) -> None:
    """A request that need not be answered: its gateway is killed meanwhile."""
    async with Client(gateway.url) as client:
        try:
            await client.complete(PROMPT, max_tokens=64)
        except httpx.HTTPError:
            return


async def test_a_worker_that_is_killed_comes_back_for_both(
    hash_model: Path, redis: RedisUnderTest
) -> None:
    async with (
        running_cluster(hash_model, **told(redis)) as cluster,
        lone_gateway(hash_model, **told(redis)) as other,
    ):
        await cluster.kill("decode-0")
        await cluster.until_restarted("decode-0")
        workers = await cluster.until_members("prefill-0", "decode-0")
        for url in (cluster.url, other.url):
            await until_ready_at(url, workers)
        async with steady_load([cluster.url, other.url]) as load:
            await load.more(20)


async def test_a_gateway_without_its_redis_says_why_it_is_not_healthy_and_recovers(
    hash_model: Path, redis: RedisUnderTest
) -> None:
    await redis.stop()
    async with lone_gateway(hash_model, **told(redis)) as gateway, Client(gateway.url) as client:
        health = await client.http.get("/health")
        assert health.status_code == 503
        assert "The registry in Redis cannot be read." in health.json()["error"]["message"]
        await redis.start()
        async with asyncio.timeout(30):
            while "Redis" in (await client.http.get("/health")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await gateway.stop()


async def test_tenants_in_redis_are_both_gateways_and_outlive_an_empty_redis(
    hash_model: Path, redis: RedisUnderTest, tmp_path: Path
) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text("tenants: [{name: a, keys: [one]}, {name: b, keys: [two]}]")
    env = {"BATON_REDIS_URL": redis.url, "BATON_CLUSTER_SECRET": SECRET}
    assert (await baton_process("tenants", "put", str(file), env=env)).exit_code == 0
    flags = {**told(redis), "tenants_in_redis": True}
    async with lone_gateway(hash_model, **flags) as one, lone_gateway(hash_model, **flags) as two:
        urls = (one.url, two.url)
        assert [await status_for(url, "one") for url in urls] == [200, 200]
        assert [await status_for(url, "three") for url in urls] == [401, 401]
        await redis.stop()
        assert [await status_for(url, "two") for url in urls] == [200, 200]
        await redis.start()
        async with asyncio.timeout(30):
            while "baton:roster" not in await redis.keys():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await baton_process("tenants", "remove", "a", env=env)).exit_code == 0
        async with asyncio.timeout(30):
            while [await status_for(url, "one") for url in urls] != [401, 401]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [await status_for(url, "two") for url in urls] == [200, 200]
        await one.stop()
        await two.stop()


async def status_for(url: str, key: str) -> int:
    async with Client(url) as client:
        headers = {"Authorization": f"Bearer {key}"}
        return (await client.http.get("/v1/models", headers=headers)).status_code


async def test_a_roster_of_another_kind_stops_the_start(
    hash_model: Path, redis: RedisUnderTest
) -> None:
    async with redis.client() as client:
        await client.set("baton:roster", "a text")
    env = {"BATON_REDIS_URL": redis.url}
    words = ("gateway", "--port=0", f"--model={hash_model}", "--tenants-in-redis")
    ran = await baton_process(*words, env=env)
    assert ran.exit_code == os.EX_CONFIG
    assert "--redis-prefix" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("url", ["http://there", "redis://:wrong@127.0.0.1:{port}"])
async def test_a_url_that_cannot_serve_stops_the_start_with_a_sentence(
    hash_model: Path, tmp_path: Path, url: str
) -> None:
    async with redis_under_test(tmp_path, "--requirepass", "right") as redis:
        for words in (["gateway", "--port=0"], ["decode", "--kv-cache-memory-bytes=8388608"]):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "baton.cluster.cli", *words, f"--model={hash_model}"),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "BATON_REDIS_URL": url.format(port=redis.port)},
            )
            try:
                async with asyncio.timeout(60):
                    _, said = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            assert process.returncode == os.EX_CONFIG
            assert b"--redis-url" in said
            assert b"Traceback" not in said
            assert b"wrong" not in said
            assert b" serves " not in said  # it was not ready before it was refused
