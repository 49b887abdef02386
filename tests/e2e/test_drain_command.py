"""`baton drain` under load: the worker leaves, its answers move, and no client can tell."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.core.sampling_params import SamplingParams
from baton.engine.runners.hash_model import parse_hash_config
from tests.support.baton_command import baton_process
from tests.support.chaos import Asked, Crowd, End
from tests.support.clients import Client
from tests.support.cluster import running_cluster
from tests.support.cluster_state import nothing_is_held

SECRET = "of the cluster"


def streams() -> list[Asked]:
    """At 20 ms a token they run for longer than a drain that waits for them would be quick."""
    wide = Asked((9, 1, 2), SamplingParams(300, n=2, seed=9, ignore_eos=True), True, None)
    many = [
        Asked((number, 1, 2, 3), SamplingParams(300, seed=number, ignore_eos=True), True, None)
        for number in range(5)
    ]
    return [wide, *many]


@pytest.mark.timeout(120)
async def test_a_drained_decode_worker_hands_its_answers_over_and_leaves(
    slow_hash_model: Path,
) -> None:
    config = parse_hash_config((slow_hash_model / "config.json").read_bytes(), str(slow_hash_model))
    flags: dict[str, Any] = {"kv_cache_memory_bytes": 64 << 20, "cluster_secret": SECRET}
    async with running_cluster(slow_hash_model, 1, 2, **flags) as cluster:
        pids = await cluster.pids()
        crowd = Crowd(cluster.url, config, cluster.until_healthy, bound=60)
        asked = streams()
        asking = asyncio.create_task(crowd.ask(asked, len(asked)))
        async with asyncio.timeout(30), Client(cluster.url) as client:
            while not all(w["running"] for w in await client.workers() if w["role"] == "decode"):
                pass
        env = {"BATON_CLUSTER_SECRET": SECRET, "BATON_URL": cluster.url}
        drained = await baton_process("drain", "decode-1", "--wait", env=env)
        assert drained.exit_code == 0, drained.stderr
        assert drained.stdout.endswith("decode-1 is empty and has left\n")
        assert not asking.done()  # it did not wait for their ends
        await cluster.until_said("decode-1 has left (exit code 0); it is not started again", 10)
        await asking
        assert (crowd.ends, crowd.wrong) == ({End.ANSWER: len(asked)}, [])
        assert await moved(cluster.url) > 0
        stayed = {"prefill-0": pids["prefill-0"], "decode-0": pids["decode-0"]}
        assert await cluster.until_members(*stayed) == stayed
        await nothing_is_held(cluster)


async def moved(url: str) -> float:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        page = (await http.get("/metrics")).text
    [count] = re.findall(r'baton_moves_total{.*result="moved"} ([0-9.]+)', page)
    return float(count)
