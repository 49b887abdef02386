"""SIGTERM to workers and to the whole: nothing is lost that there is time for."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.core.sampling_params import SamplingParams
from baton.engine.runners.hash_model import parse_hash_config
from tests.support.chaos import Asked, Crowd, End, drawn
from tests.support.clients import Client
from tests.support.cluster import RunningCluster, baton_up, running_cluster
from tests.support.cluster_state import nothing_is_held

POOL = 64 << 20  # bytes
AT_ONCE = 8
BOUND = 50.0  # seconds that any request may take
LEAVERS, STAYERS = ("prefill-1", "decode-1"), ("prefill-0", "decode-0")


def crowd_of(cluster: RunningCluster, model: Path) -> Crowd:
    config = parse_hash_config((model / "config.json").read_bytes(), str(model))
    return Crowd(cluster.url, config, cluster.until_healthy, BOUND)


def staying(rng: random.Random) -> Asked:
    """A client that reads to the end."""
    asked = drawn(rng, longest_answer=30)
    return Asked(asked.prompt, asked.params, asked.stream, leaves_after=None)


def long_streams(count: int, tokens: int = 200) -> list[Asked]:
    """At 20 ms a token each runs for seconds."""
    return [
        Asked((number, 1, 2, 3), SamplingParams(tokens, seed=number, ignore_eos=True), True, None)
        for number in range(count)
    ]


async def busy(cluster: RunningCluster, worker_id: str, requests: int) -> None:
    """Returns once the worker has so many to finish, or more."""
    async with asyncio.timeout(30), Client(cluster.url) as client:
        while True:
            running = {w["id"]: w["running"] or 0 for w in await client.workers()}
            if running.get(worker_id, 0) >= requests:
                return


@pytest.mark.timeout(180)
async def test_workers_told_to_stop_under_load_lose_no_request(slow_hash_model: Path) -> None:
    rng = random.Random(11)
    flags: dict[str, Any] = {"kv_cache_memory_bytes": POOL, "shutdown_seconds": 60}
    async with running_cluster(slow_hash_model, 2, 2, **flags) as cluster:
        pids = await cluster.pids()
        long, load = crowd_of(cluster, slow_hash_model), crowd_of(cluster, slow_hash_model)
        asking = [
            asyncio.create_task(long.ask(long_streams(AT_ONCE), AT_ONCE)),
            asyncio.create_task(load.ask([staying(rng) for _ in range(60)], AT_ONCE)),
        ]
        await busy(cluster, "decode-1", 1)
        for worker_id in LEAVERS:
            await cluster.terminate(worker_id)
        for worker_id in LEAVERS:
            await cluster.until_said(f"{worker_id} has left (exit code 0)", 60)
        await asyncio.gather(*asking)
        assert (long.ends, load.ends) == ({End.ANSWER: AT_ONCE}, {End.ANSWER: 60}), load.errors
        assert long.wrong == load.wrong == []
        assert await cluster.until_members(*STAYERS) == {name: pids[name] for name in STAYERS}
        await nothing_is_held(cluster)


@pytest.mark.timeout(120)
async def test_ctrl_c_lets_what_runs_finish_and_takes_nothing_new(slow_hash_model: Path) -> None:
    words = (f"--model={slow_hash_model}", "--port=0", "--shutdown-seconds=60")
    async with baton_up(*words, f"--kv-cache-memory-bytes={POOL}") as cluster:
        await cluster.begin(60)
        crowd = crowd_of(cluster, slow_hash_model)
        streaming = asyncio.create_task(crowd.ask(long_streams(2), 2))
        await busy(cluster, "decode-0", 2)
        async with Client(cluster.url) as late:
            cluster.process.send_signal(signal.SIGINT)
            health = await until_closed(late)
            assert health.headers["retry-after"]
            refused = await late.post("/v1/completions", {"prompt": [1], "max_tokens": 1})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "shutting down" in refused.json()["error"]["message"]
        await streaming
        assert (crowd.ends, crowd.wrong) == ({End.ANSWER: 2}, [])
        assert await cluster.exit_code() == 0
        assert cluster.processes() == []
    assert cluster.output[-1] == "stopped"
    (told,) = [line for line in cluster.output if "still running" in line]
    assert "stopping: 2 requests are still running; Ctrl-C again ends them now" in told


@pytest.mark.timeout(120)
async def test_ctrl_c_twice_ends_what_runs(slow_hash_model: Path) -> None:
    words = (f"--model={slow_hash_model}", "--port=0", "--shutdown-seconds=3600")
    async with baton_up(*words, f"--kv-cache-memory-bytes={POOL}") as cluster:
        await cluster.begin(60)
        crowd = crowd_of(cluster, slow_hash_model)
        streaming = asyncio.create_task(crowd.ask(long_streams(2, tokens=3000), 2))
        await busy(cluster, "decode-0", 2)
        async with Client(cluster.url) as late:
            cluster.process.send_signal(signal.SIGINT)
            await until_closed(late)
        assert not streaming.done()
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.exit_code() == 0
        assert cluster.processes() == []
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
    assert not any("Traceback" in line for line in cluster.output)


async def until_closed(client: Client) -> httpx.Response:
    """The first refusal that the health page tells."""
    async with asyncio.timeout(30):
        while (response := await client.http.get("/health")).status_code != 503:
            pass
    return response
