"""`baton flip` under load: workers change places, no client can tell, and a kill amid it costs nothing."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.engine.runners.hash_model import parse_hash_config
from tests.support.baton_command import Ran, baton_process
from tests.support.chaos import Asked, Crowd, End, drawn
from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.cluster_state import nothing_is_held
from tests.support.lone_gateway import lone_gateway
from tests.support.redis_server import redis_under_test

SECRET = "of the cluster"
POOL = 64 << 20  # bytes
AT_ONCE = 6


@asynccontextmanager
async def cluster_of(model: Path, **flags: Any) -> AsyncIterator[RunningCluster]:
    """Two prefill and two decode workers."""
    flags = {"kv_cache_memory_bytes": POOL, "cluster_secret": SECRET, **flags}
    async with running_cluster(model, 2, 2, **flags) as cluster:
        yield cluster


def crowd_of(cluster: RunningCluster, model: Path, url: str = "") -> Crowd:
    config = parse_hash_config((model / "config.json").read_bytes(), str(model))
    return Crowd(url or cluster.url, config, cluster.until_healthy, bound=60)


def load(rng: random.Random, count: int) -> list[Asked]:
    """Clients that read to the end."""
    drawn_ones = [drawn(rng, longest_answer=60) for _ in range(count)]
    return [Asked(one.prompt, one.params, one.stream, None) for one in drawn_ones]


async def flip(cluster: RunningCluster, *words: str) -> Ran:
    env = {"BATON_CLUSTER_SECRET": SECRET, "BATON_URL": cluster.url}
    return await baton_process("flip", *words, env=env)


async def roles(url: str) -> dict[str, str]:
    """Of the workers that take requests."""
    async with Client(url) as client:
        return {w["id"]: w["role"] for w in await client.workers() if w["state"] == "ready"}


async def until_roles(url: str, **expected: str) -> None:
    wanted = {name.replace("_", "-"): role for name, role in expected.items()}
    async with asyncio.timeout(30):
        while not wanted.items() <= (await roles(url)).items():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_workers_that_change_places_under_load_lose_no_answer(slow_hash_model: Path) -> None:
    async with cluster_of(slow_hash_model) as cluster:
        pids = await cluster.pids()
        crowd = crowd_of(cluster, slow_hash_model)
        asking = asyncio.create_task(crowd.ask(load(random.Random(5), 90), AT_ONCE))
        for worker, role in (
            *(("decode-1", "prefill"), ("prefill-0", "decode"), ("prefill-1", "decode")),
            *(("decode-0", "prefill"), ("decode-1", "decode"), ("decode-1", "prefill")),
        ):
            told = await flip(cluster, worker, role, "--wait")
            assert told.exit_code == 0, told.stderr
            assert told.stdout.startswith(f"{worker} serves as a {role} worker (")
            await until_roles(cluster.url, **{worker.replace("-", "_"): role})
        assert not asking.done()  # it was under load
        await asking
        assert (crowd.ends, crowd.wrong) == ({End.ANSWER: 90}, []), crowd.errors
        assert await cluster.pids() == pids  # nobody was started again
        status = await cluster.status()
        assert {w["id"]: (w["flips"], w["restarts"]) for w in status["workers"]} == {
            "decode-0": (1, 0),
            "decode-1": (3, 0),
            "prefill-0": (1, 0),
            "prefill-1": (1, 0),
        }
        assert await flips_done(status) == 6
        await nothing_is_held(cluster)


async def flips_done(status: dict[str, Any]) -> float:
    """By the workers' own pages."""
    total = 0.0
    async with httpx.AsyncClient(trust_env=False) as http:
        for worker in status["workers"]:
            page = (await http.get(worker["metrics_url"])).text
            lines = [line for line in page.splitlines() if 'result="done"' in line]
            total += sum(float(line.rsplit(" ", 1)[1]) for line in lines if "role_flips" in line)
    return total


@pytest.mark.timeout(180)
async def test_a_worker_killed_while_it_changes_its_role_comes_back_as_what_it_was(
    slow_hash_model: Path,
) -> None:
    async with cluster_of(slow_hash_model) as cluster:
        crowd = crowd_of(cluster, slow_hash_model)
        asking = asyncio.create_task(crowd.ask(load(random.Random(7), 50), AT_ONCE))
        async with asyncio.timeout(30), Client(cluster.url) as client:
            while not any(w["running"] for w in await client.workers() if w["id"] == "decode-1"):
                pass
        waiting = asyncio.create_task(flip(cluster, "decode-1", "prefill", "--wait"))
        async with asyncio.timeout(30), Client(cluster.url) as client:
            while not any(w["next_role"] or w["flips"] for w in await client.workers()):
                pass
        await cluster.kill("decode-1")
        await waiting  # it may have been faster
        await cluster.until_restarted("decode-1")
        await until_roles(cluster.url, decode_1="decode")
        await asking
        assert (crowd.ends, crowd.wrong) == ({End.ANSWER: 50}, []), crowd.errors
        await nothing_is_held(cluster)


@pytest.mark.timeout(180)
async def test_two_gateways_that_meet_in_redis_follow_the_roles(
    hash_model: Path, tmp_path: Path
) -> None:
    async with redis_under_test(tmp_path) as redis:
        told: dict[str, Any] = {"redis_url": redis.url, "cluster_secret": SECRET}
        async with (
            cluster_of(hash_model, **told) as cluster,
            lone_gateway(hash_model, **told) as other,
        ):
            await until_roles(other.url, decode_1="decode")
            crowds = [crowd_of(cluster, hash_model, url) for url in (cluster.url, other.url)]
            asking = [
                asyncio.create_task(crowd.ask(load(random.Random(i), 60), AT_ONCE))
                for i, crowd in enumerate(crowds)
            ]
            for role in ("prefill", "decode", "prefill"):
                assert (await flip(cluster, "decode-1", role, "--wait")).exit_code == 0
                for url in (cluster.url, other.url):
                    await until_roles(url, decode_1=role)
            await asyncio.gather(*asking)
            for crowd in crowds:
                assert (crowd.ends, crowd.wrong) == ({End.ANSWER: 60}, []), crowd.errors
            await nothing_is_held(cluster)
