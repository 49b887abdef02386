"""The asyncio tasks of a cluster's processes, as their metrics pages count them."""

import asyncio
from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from baton.telemetry.task_metrics import FAMILY
from tests.support.cluster import RunningCluster

GATEWAY = "gateway"
PEERS = "Peers._watch"  # one for each peer that a worker has pulled from, for as long as both live

Tasks = dict[str, Counter[str]]  # by worker id, and the gateway's: by coroutine


async def tasks_of(cluster: RunningCluster) -> Tasks:
    """Now."""
    pages = {w["id"]: w["metrics_url"] for w in (await cluster.status())["workers"]}
    pages[GATEWAY] = f"{cluster.url}/metrics"
    async with httpx.AsyncClient(trust_env=False) as http:
        return {name: _counts((await http.get(url)).text) for name, url in pages.items()}


async def no_task_is_left(cluster: RunningCluster, idle: Tasks, seconds: float = 15) -> None:
    """Returns once no process has more tasks of any kind than it had in `idle`, when the cluster had
    just begun; whoever was started again is compared too. Raises TimeoutError with what is left.
    """
    left: Tasks = {}
    try:
        async with asyncio.timeout(seconds):
            while left := _more(await tasks_of(cluster), idle):  # noqa: ASYNC110 no event
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(f"tasks are left behind: {left}") from None


def _more(now: Tasks, idle: Tasks) -> Tasks:
    """Beyond a task for each of the other workers."""
    others = len(idle) - 2  # without itself and the gateway
    allowed = {name: counts + Counter({PEERS: others}) for name, counts in idle.items()}
    return {name: more for name, counts in now.items() if (more := counts - allowed[name])}


def _counts(page: str) -> Counter[str]:
    return Counter(
        {
            sample.labels["coroutine"]: int(sample.value)
            for family in text_string_to_metric_families(page)
            if family.name == FAMILY
            for sample in family.samples
        }
    )
