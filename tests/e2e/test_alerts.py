"""What breaks a cluster wakes somebody: from the rules over Alertmanager to whoever it tells."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.alerting import alerting
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.pagers import Pagers, pagers
from tests.support.programs import needed

pytestmark = pytest.mark.timeout(180)


async def pages_of(cluster: RunningCluster) -> dict[str, list[str]]:
    workers = (await cluster.status())["workers"]
    return {
        "baton-gateway": [urlsplit(cluster.url).netloc],
        "baton-workers": [urlsplit(worker["metrics_url"]).netloc for worker in workers],
    }


@asynccontextmanager
async def more_than_fits(url: str) -> AsyncIterator[None]:
    """So many clients that most of them are sent away."""

    async def ask(http: httpx.AsyncClient) -> None:
        while True:
            await http.post("/v1/completions", json={"prompt": "Go on", "max_tokens": 16})

    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        clients = [asyncio.create_task(ask(http)) for _ in range(8)]
        try:
            yield
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


@contextmanager
def hanging(pid: int) -> Iterator[None]:
    """The process does nothing meanwhile, and nobody starts another one."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def told(heard: Pagers, alert: str, status: str = "firing") -> tuple[str, str]:
    """Who, and what."""
    one = await asyncio.to_thread(heard.until, alert, status)
    return one.path, one.summary


def firing(alertmanager: str) -> str:
    program = needed("amtool", "prometheus-alertmanager")
    words = (program, "alert", "query", f"--alertmanager.url={alertmanager}")
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout


async def test_somebody_is_told_of_what_breaks_and_of_its_end(
    slow_hash_model: Path, tmp_path: Path
) -> None:
    small: dict[str, Any] = {"max_num_seqs": 1, "max_queued_requests": 1}
    with pagers() as heard:
        async with running_cluster(slow_hash_model, decode_workers=2, **small) as cluster:
            pids = await cluster.pids()
            async with alerting(tmp_path, await pages_of(cluster), heard.url) as alertmanager:
                async with more_than_fits(cluster.url):
                    who, summary = await told(heard, "BatonQueueFull")
                assert who == "/pager"
                assert summary.endswith("% of requests are sent away for want of room.")
                with hanging(pids["decode-0"]):
                    who, summary = await told(heard, "BatonWorkerDown")
                    assert who == "/desk"
                    with hanging(pids["decode-1"]):
                        who, summary = await told(heard, "BatonNoDecodeWorkers")
                        assert (who, summary) == ("/pager", "No decode worker is left.")
                        listed = await asyncio.to_thread(firing, alertmanager)
                        assert {"BatonQueueFull", "BatonNoDecodeWorkers"} <= set(listed.split())
                await told(heard, "BatonNoDecodeWorkers", "resolved")
