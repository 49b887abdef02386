"""Processes are killed and stopped, and every link is cut and silenced, while requests stream: right
answers, no hang, nothing left.
"""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.chaos import Asked, Crowd, End, drawn
from tests.support.chaos_checks import AT_ONCE, crowd_of, drawn_rng, nothing_grows
from tests.support.cluster_state import nothing_is_held
from tests.support.faults import Saboteur, draw_faults
from tests.support.relayed_cluster import RelayedCluster, relayed_cluster
from tests.support.task_counts import no_task_is_left, tasks_of

POOL = 64 << 20  # bytes


@pytest.mark.timeout(300)
async def test_no_fault_of_a_process_or_a_link_spoils_an_answer(slow_hash_model: Path) -> None:
    await disturb(slow_hash_model, requests=100, faults=10, at_once=3)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_many_faults_of_processes_and_links_spoil_none(slow_hash_model: Path) -> None:
    await disturb(slow_hash_model, requests=500, faults=50, at_once=2)


async def disturb(model: Path, requests: int, faults: int, at_once: int) -> None:
    rng = drawn_rng()
    async with relayed_cluster(model, 2, 2, kv_cache_memory_bytes=POOL) as relayed:
        idle = await tasks_of(relayed.cluster)
        await use_links(relayed, model, rng)
        saboteur = Saboteur(relayed, rng)
        drawn_faults = draw_faults(relayed, faults, rng)
        harm = asyncio.create_task(saboteur.inflict(drawn_faults, at_once))
        crowd = crowd_of(relayed.cluster, model)
        await crowd.ask([streamed(rng) for _ in range(requests)], AT_ONCE)
        while not harm.done():  # there is always somebody to be harmed
            await crowd.ask([streamed(rng) for _ in range(AT_ONCE)], AT_ONCE)
        await harm
        print(dict(crowd.ends), dict(crowd.errors), f"longest {crowd.longest:.1f} s")  # noqa: T201
        print(crowd.moved, "prefixes moved")  # noqa: T201
        print(*map(str, saboteur.inflicted), sep="\n")  # noqa: T201
        check_ends(crowd, saboteur)
        await nothing_is_held(relayed.cluster)
        await relayed.cluster.until_members(*relayed.workers)
        await nothing_grows(relayed.cluster, model, rng)
        await no_task_is_left(relayed.cluster, idle)


def streamed(rng: random.Random) -> Asked:
    return replace(drawn(rng), stream=True)


async def use_links(relayed: RelayedCluster, model: Path, rng: random.Random) -> None:
    """Faults are drawn for links that are in use."""
    crowd = crowd_of(relayed.cluster, model)
    await crowd.ask([streamed(rng) for _ in range(AT_ONCE)], AT_ONCE)
    assert crowd.wrong == []
    assert set(crowd.ends) <= {End.ANSWER, End.LEFT}


def check_ends(crowd: Crowd, saboteur: Saboteur) -> None:
    """Only the gateway's own death breaks a connection. Errors are clean, and none comes where an
    answer can go on elsewhere: no role is ever without a worker for as long as that takes.
    """
    assert crowd.wrong == []
    assert crowd.ends[End.ANSWER] > 0
    lost = crowd.ends[End.CUT] + crowd.ends[End.REFUSED]
    assert lost <= 2 * AT_ONCE * saboteur.gateway_kills
    assert not [error for error in crowd.errors if error.startswith("500")]
    assert crowd.errors == {}
