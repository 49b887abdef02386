"""kill -9 of each worker, idle and busy: every answer comes whole, nothing hangs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Client
from tests.support.cluster import running_cluster
from tests.support.cluster_state import nothing_is_held

WORKERS = ["prefill-0", "decode-0"]
PROMPT = list(range(100, 600))


@pytest.mark.timeout(240)
async def test_killed_while_idle_a_worker_comes_back_and_serves(hash_model: Path) -> None:
    async with running_cluster(hash_model) as cluster, Client(cluster.url) as client:
        before = await client.complete(PROMPT, max_tokens=8, temperature=0)
        for worker in WORKERS:
            old = await cluster.kill(worker)
            await cluster.until_restarted(worker)
            assert (await cluster.pids())[worker] != old
            assert await client.complete(PROMPT, max_tokens=8, temperature=0) == before


@pytest.mark.timeout(240)
@pytest.mark.parametrize("worker", WORKERS)
async def test_killed_while_busy_every_answer_goes_on_and_the_next_succeeds(
    slow_hash_model: Path, worker: str
) -> None:
    async with running_cluster(slow_hash_model) as cluster, Client(cluster.url) as client:
        whole = [await outcome(client, n) for n in range(8)]
        streams = [asyncio.create_task(outcome(client, n)) for n in range(8)]
        await asyncio.wait(streams, timeout=1.0)  # they are well under way
        await cluster.kill(worker)
        async with asyncio.timeout(90):
            assert await asyncio.gather(*streams) == whole
        await cluster.until_restarted(worker)
        assert await client.complete(PROMPT, max_tokens=4, temperature=0)
        await nothing_is_held(cluster)


async def outcome(client: Client, number: int) -> list[int]:
    """The tokens of a stream."""
    body: dict[str, Any] = {
        "prompt": [number, *PROMPT],
        "max_tokens": 200,
        "ignore_eos": True,
        "seed": number,
        "return_token_ids": True,
    }
    events = await client.stream("/v1/completions", body)
    assert not [event for event in events if "error" in event]
    return [t for event in events for c in event["choices"] for t in c["token_ids"] or ()]


@pytest.mark.timeout(240)
async def test_killed_by_hand_the_gateway_comes_back_at_its_port(hash_model: Path) -> None:
    async with running_cluster(hash_model) as cluster, Client(cluster.url) as client:
        before = await client.complete(PROMPT, max_tokens=8, temperature=0)
        workers = await cluster.pids()
        await cluster.kill_gateway()
        await cluster.until_said(f"gateway ready at {cluster.url}", 60, times=2)
        await cluster.until_members(*workers)
        assert await client.complete(PROMPT, max_tokens=8, temperature=0) == before
        await nothing_is_held(cluster)
