"""Processes die and fall silent at random under mixed load: right answers or clean errors, nothing
that hangs, nothing that stays.
"""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from baton.core.sampling_params import SamplingParams
from tests.support.chaos import Asked, End, drawn
from tests.support.chaos_checks import AT_ONCE, crowd_of, drawn_rng, nothing_grows
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.cluster_state import nothing_is_held
from tests.support.task_counts import no_task_is_left, tasks_of

POOL = 64 << 20  # bytes
GATEWAY = "gateway"


@pytest.mark.timeout(300)
async def test_random_kills_end_in_right_answers_or_clean_errors(slow_hash_model: Path) -> None:
    await kill_at_random(slow_hash_model, rounds=10, requests=80)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_many_random_kills_do_the_same(slow_hash_model: Path) -> None:
    await kill_at_random(slow_hash_model, rounds=50, requests=400)


async def kill_at_random(model: Path, rounds: int, requests: int) -> None:
    """Two kills a round and now and then a SIGTERM, over two prefill and two decode workers and
    the gateway; at least so many requests meanwhile.
    """
    rng = drawn_rng()
    async with running_cluster(model, 2, 2, kv_cache_memory_bytes=POOL) as cluster:
        idle = await tasks_of(cluster)
        members = list(await cluster.pids())
        crowd = crowd_of(cluster, model)

        def start(count: int) -> asyncio.Task[None]:
            return asyncio.create_task(crowd.ask([drawn(rng) for _ in range(count)], AT_ONCE))

        loads = [start(requests)]
        for number in range(rounds):
            await asyncio.wait(loads[-1:], timeout=rng.uniform(0.1, 1.0))
            if loads[-1].done():
                loads.append(start(AT_ONCE))
            await disturb(cluster, victims_of(number, members, rng), members)
        await asyncio.gather(*loads)
        print(dict(crowd.ends), f"longest {crowd.longest:.1f} s")  # noqa: T201
        print(crowd.moved, "prefixes moved")  # noqa: T201
        assert crowd.wrong == []
        assert crowd.ends[End.ANSWER] > 0
        await nothing_is_held(cluster)
        assert await cluster.until_members(*members)
        assert len(cluster.processes()) == len(members) + 2
        await nothing_grows(cluster, model, rng)
        await no_task_is_left(cluster, idle)


def victims_of(number: int, members: list[str], rng: random.Random) -> dict[str, signal.Signals]:
    """Two are killed at once, every other time the gateway is one of them; every third time
    another worker is told to stop.
    """
    first, second, third = rng.sample(members, 3)
    killed = [first, GATEWAY if number % 2 else second]
    told = [third] if number % 3 == 2 else []
    return dict.fromkeys(killed, signal.SIGKILL) | dict.fromkeys(told, signal.SIGTERM)


async def disturb(
    cluster: RunningCluster, victims: dict[str, signal.Signals], members: list[str]
) -> None:
    """Signals all of them at the same moment; until they are back."""
    beginnings = {name: f"{name} ready" for name in victims}
    lives = {
        name: 1 + sum(line.startswith(start) for line in cluster.output)
        for name, start in beginnings.items()
    }
    pids = {**await cluster.pids(), GATEWAY: await cluster.gateway_pid()}
    for name, number in victims.items():
        os.kill(pids[name], number)
    for name, start in beginnings.items():
        await cluster.until_said(start, 60, lives[name])
    await cluster.until_members(*members)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["prefill-0", "decode-0"])
async def test_a_worker_that_falls_silent_is_left_and_comes_back(
    slow_hash_model: Path, victim: str
) -> None:
    rng = drawn_rng()
    async with running_cluster(slow_hash_model, 2, 2, kv_cache_memory_bytes=POOL) as cluster:
        members = await cluster.pids()
        crowd = crowd_of(cluster, slow_hash_model, bound=25)
        load = asyncio.create_task(crowd.ask([steady(rng, n) for n in range(AT_ONCE)], AT_ONCE))
        await asyncio.wait({load}, timeout=0.6)
        os.kill(members[victim], signal.SIGSTOP)
        await cluster.until_members(*(members.keys() - {victim}), seconds=15)
        await load  # nothing of it waits for the silent one
        assert crowd.wrong == []
        os.kill(members[victim], signal.SIGCONT)
        assert await cluster.until_members(*members, seconds=15) == members
        crowd = crowd_of(cluster, slow_hash_model)
        await crowd.ask([drawn(rng) for _ in range(2 * AT_ONCE)], AT_ONCE)
        assert crowd.wrong == []
        assert set(crowd.ends) <= {End.ANSWER, End.LEFT}
        await nothing_is_held(cluster)
        assert not [line for line in cluster.output if line.startswith(("I0", "I1", "E0", "E1"))]


def steady(rng: random.Random, number: int) -> Asked:
    """Still at work when the silence begins."""
    params = SamplingParams(100, seed=number, temperature=0.0, ignore_eos=True)
    return Asked(drawn(rng).prompt, params, stream=number % 2 == 0, leaves_after=None)
