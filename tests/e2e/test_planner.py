"""`baton up --planner on` under a load that reads much and writes little: roles follow, no answer is lost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from baton.core.sampling_params import SamplingParams
from baton.engine.runners.hash_model import parse_hash_config
from tests.support.baton_command import baton_process
from tests.support.chaos import Asked, Crowd, End
from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.cluster_state import nothing_is_held

PROMPT = 1500  # tokens, at 128 a step of 20 ms: a quarter of a second
FLAGS: dict[str, Any] = {
    "kv_cache_memory_bytes": 64 << 20,
    "max_num_batched_tokens": 128,
    "placement_policy": "prefix_aware",  # decode workers read nothing by themselves
    "planner_seconds": 0.5,
    "slo_ttft_ms": 1500,
    "slo_itl_ms": 200,
}


def prompts(count: int) -> list[Asked]:
    """Each another one, and short answers."""
    return [
        Asked(
            tuple((number * 37 + place) % 4096 for place in range(PROMPT)),
            SamplingParams(4, seed=number, ignore_eos=True),
            True,
            None,
        )
        for number in range(count)
    ]


def crowd_of(cluster: RunningCluster, model: Path) -> Crowd:
    config = parse_hash_config((model / "config.json").read_bytes(), str(model))
    return Crowd(cluster.url, config, cluster.until_healthy, bound=60)


async def roles(cluster: RunningCluster) -> list[str]:
    async with Client(cluster.url) as client:
        return sorted(worker["role"] for worker in await client.workers())


@pytest.mark.timeout(180)
async def test_a_worker_is_given_the_role_that_is_asked_for(slow_hash_model: Path) -> None:
    async with running_cluster(slow_hash_model, 1, 2, planner="on", **FLAGS) as cluster:
        pids = await cluster.pids()
        crowd = crowd_of(cluster, slow_hash_model)
        asking = asyncio.create_task(crowd.ask(prompts(120), 8))
        line = await cluster.until_said("planner: decode-", 60)
        assert " is to be a prefill worker. prefill: " in line
        assert "prompts take " in line
        await asking
        assert await roles(cluster) == ["decode", "prefill", "prefill"]
        assert (crowd.ends, crowd.wrong) == ({End.ANSWER: 120}, []), crowd.errors
        assert await cluster.pids() == pids
        await nothing_is_held(cluster)


@pytest.mark.timeout(180)
async def test_a_dry_run_says_what_it_would_do_and_does_not(slow_hash_model: Path) -> None:
    async with running_cluster(slow_hash_model, 1, 2, planner="dry-run", **FLAGS) as cluster:
        crowd = crowd_of(cluster, slow_hash_model)
        asking = asyncio.create_task(crowd.ask(prompts(60), 8))
        words = ("--live", "--looks=6", "--every=0.5", "--slo-ttft-ms=1500", "--slo-itl-ms=200")
        watched = await baton_process("plan", *words, env={"BATON_URL": cluster.url})
        await cluster.until_said("planner, dry run: decode-", 60)
        await asking
        assert watched.exit_code == 0, watched.stderr
        lines = watched.stdout.splitlines()
        assert lines[0] == "nothing to compare with yet"
        assert any(line.startswith("prefill: ") and "prompts take" in line for line in lines)
        assert [line for line in lines if line.startswith("-> ")]  # what, hangs on the moment
        assert await roles(cluster) == ["decode", "decode", "prefill"]
        assert crowd.ends == {End.ANSWER: 60}, crowd.errors
