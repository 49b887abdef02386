"""A real gateway and real workers of a hash model, all inside the test's process."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from baton.core.errors import BatonError
from baton.core.worker_info import Role
from baton.engine.plan import SliceResult, StepPlan
from baton.engine.runners.hash_model import HashModelConfig, HashRunner
from baton.registry.membership import Membership
from baton.worker.settings import WorkerSettings
from gateway.members.worker import Worker
from tests.support.engine_hash_model import HASH_MODEL, hash_runner
from tests.support.gateway_cluster import SECRET, GatewayUnderTest, running_gateway
from tests.support.worker_pair import BLOCKS, Served, serving

MODEL = replace(HASH_MODEL, vocab_size=383)
PACE = 0.01  # seconds that a step takes until the test has seen what it waits for
# Such steps, after which each takes ten times as long: no busy machine reaches the end.
PATIENCE = 50


class PacedRunner(HashRunner):
    """Slow steps, so that a test finds an answer under way, until it lets go."""

    def __init__(self, model: HashModelConfig, tokenizer_digest: str) -> None:
        known = hash_runner(model).fingerprint
        super().__init__(model, replace(known, tokenizer_digest=tokenizer_digest))
        self.pace = PACE
        self.paced = 0  # steps

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        if self.pace:
            self.paced += 1
            time.sleep(self.pace if self.paced <= PATIENCE else 10 * self.pace)
        return super().run(plan)


class ServedCluster:
    def __init__(self, gateway: GatewayUnderTest) -> None:
        self.gateway = gateway
        self.workers: dict[str, Served] = {}
        self._runners: dict[str, PacedRunner] = {}
        self._lives: dict[str, AsyncExitStack] = {}

    async def join(
        self,
        worker_id: str,
        role: Role,
        num_blocks: int = BLOCKS,
        model: HashModelConfig = MODEL,
        tokenizer_digest: str = "",
    ) -> Served:
        """`tokenizer_digest` empty: that of the gateway's first model."""
        runner = PacedRunner(model, tokenizer_digest or self.gateway.tokenizer_digest)
        settings = WorkerSettings(
            model="tiny",
            worker_id=worker_id,
            cluster_secret=SECRET,
            kv_cache_memory_bytes=num_blocks * runner.layout.block_bytes,
        )
        life = AsyncExitStack()
        served = await life.enter_async_context(serving(role, settings=settings, runner=runner))
        member = Membership(served.worker.info, self.gateway.registry, SECRET)
        joining = asyncio.create_task(member.run())
        life.push_async_callback(_ended, joining)
        self.workers[worker_id], self._runners[worker_id] = served, runner
        self._lives[worker_id] = life
        await self.gateway.until_known(worker_id)
        return served

    async def kill(self, worker_id: str) -> None:
        """Its connections break; it gets no chance to say anything."""
        self.workers.pop(worker_id)
        await self._lives.pop(worker_id).aclose()

    def hurry(self) -> None:
        """No step waits any more."""
        for runner in self._runners.values():
            runner.pace = 0.0

    def slow_down(self) -> None:
        for runner in self._runners.values():
            runner.pace, runner.paced = PACE, 0

    def drain(self, worker_id: str) -> None:
        """As its Drain rpc does it."""
        self.workers[worker_id].worker.desk.drain()

    def known(self, worker_id: str) -> Worker:
        """As the gateway knows it."""
        workers = self.gateway.all_workers()
        return next(worker for worker in workers if worker.info.worker_id == worker_id)

    @property
    def busy(self) -> list[str]:
        """Those that write answers."""
        decodes = [i for i, s in self.workers.items() if s.worker.info.role is Role.DECODE]
        return [i for i in decodes if self.workers[i].worker.desk.requests]

    async def until_idle(self) -> None:
        """Of nothing that anybody had is anything left anywhere."""
        await self.gateway.until_idle()
        for served in self.workers.values():
            await served.until_idle()
            served.worker.blocks.check_integrity()
            assert served.worker.sender.counts().open_leases == 0

    async def close(self) -> None:
        for worker_id in list(self.workers):
            await self.kill(worker_id)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def served_cluster(
    folder: Path, decode: int = 2, prefill: int = 0, **settings: Any
) -> AsyncIterator[ServedCluster]:
    """Workers d0, d1, ... and p0, ...; at the end nobody may hold anything."""
    async with running_gateway(folder, **settings) as gateway:
        cluster = ServedCluster(gateway)
        try:
            for number in range(decode):
                await cluster.join(f"d{number}", Role.DECODE)
            for number in range(prefill):
                await cluster.join(f"p{number}", Role.PREFILL)
            yield cluster
            cluster.hurry()
            await cluster.until_idle()
        finally:
            await cluster.close()
