"""A running cluster gets more workers and fewer, under requests."""

import asyncio
import os
from pathlib import Path

import pytest

from baton.cluster.cluster_access import ClusterAccess
from baton.cluster.keeper import Patience, Voices
from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.process_orchestrator import ProcessOrchestrator
from baton.cluster.supervisor import Supervisor
from baton.cluster.told_worker import tell_to_drain
from baton.cluster.up_settings import UpSettings
from baton.core.worker_info import Role
from baton.worker.settings import WorkerSettings
from gateway.settings import GatewaySettings
from tests.support.clients import Client

pytestmark = pytest.mark.timeout(180)
SECRET = "5ec2e7"


async def test_answers_outlive_the_worker_that_is_not_wanted_any_more(
    slow_hash_model: Path,
) -> None:
    settings = UpSettings(
        model=str(slow_hash_model),
        gateway=GatewaySettings(port=0, served_model_name=("hash",)),
        worker=WorkerSettings(kv_cache_memory_bytes=8 << 20),
    )
    plan = LaunchPlan(settings, SECRET, dict(os.environ), 2, "json")
    lines: asyncio.Queue[str] = asyncio.Queue()
    voices, hurry, patience = Voices(lines.put_nowait, print), asyncio.Event(), Patience()
    access = ClusterAccess(SECRET)
    workers = ProcessOrchestrator(
        *(plan, voices, hurry, patience), lambda address: tell_to_drain(address, access)
    )
    running = asyncio.create_task(Supervisor(plan, workers, voices, hurry, patience).run())
    try:
        url = (await until_said(lines, "endpoint: ")).removesuffix("/v1")
        await workers.scale(Role.DECODE, 2)
        await until_said(lines, "decode-1 ready: ")
        async with Client(url) as client:
            answers = [
                asyncio.create_task(client.complete([n, 7, 9], max_tokens=60, ignore_eos=True))
                for n in range(1, 9)
            ]
            await workers.scale(Role.DECODE, 1)
            for (answer,) in await asyncio.gather(*answers):
                assert len(answer.token_ids) == 60
        await until_said(lines, "decode-1 has left (exit code 0)")
        assert [worker.worker_id for worker in workers.workers()] == ["prefill-0", "decode-0"]
    finally:
        running.cancel()
        await asyncio.wait({running})


async def until_said(lines: "asyncio.Queue[str]", start: str) -> str:
    """The rest of the line that begins so."""
    async with asyncio.timeout(50):
        while not (line := await lines.get()).startswith(start):
            pass
    return line.removeprefix(start)
