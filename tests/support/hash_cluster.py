"""A gateway's own view of real workers on the hash model, without HTTP: registry, placement, dispatch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from baton.core.handoff import new_id
from baton.core.sampling_params import SamplingParams
from baton.core.worker_info import Role
from baton.engine.runners.hash_model import HashModelConfig
from baton.registry.memory import InMemoryRegistry
from baton.worker.settings import WorkerSettings
from gateway.handles.resume_handle import ResumeHandles
from gateway.job import Job
from gateway.members.assignment import Assignment
from gateway.members.workers import Workers
from gateway.output import Output
from gateway.output.plan import PLAIN
from gateway.placing.policies import policy_of
from gateway.prefixes.prompt_chain import PromptChain
from gateway.prompts.vocabulary import Vocabulary
from gateway.reading import Reading
from gateway.serving.dispatch import Dispatcher
from gateway.serving.queue import AdmissionQueue
from gateway.telemetry.metrics import GatewayMetrics
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.worker_pair import Served, serving

LETTERS = Vocabulary(tuple(b"x" for _ in range(HASH_MODEL.vocab_size)))


@dataclass(frozen=True, slots=True)
class HashCluster:
    served: dict[str, Served]  # by worker id
    workers: Workers
    dispatcher: Dispatcher
    metrics: GatewayMetrics

    async def ask(
        self,
        prompt: tuple[int, ...],
        params: SamplingParams,
        priority: int = 0,
        until_heard: bool = True,
    ) -> tuple[tuple[int, ...], Reading]:
        """The tokens of choice 0, and where they came from; returns when the index has heard it."""
        job = Job(new_id(), prompt, params, priority=priority)
        answered = await self.dispatcher.whole(job, lambda: Output(LETTERS, prompt, params, PLAIN))
        tokens = [t for delta in answered.deltas if delta.choice == 0 for t in delta.token_ids]
        if until_heard:
            await self.until_heard()
        return tuple(tokens), answered.reading

    async def until_heard(self) -> None:
        """Nothing runs, and every event of every cache has reached the index."""
        for served in self.served.values():
            await served.until_idle()
        await self.until(
            lambda: all(
                self.workers.prefixes.index.number(s.worker.info.instance_id)
                == s.worker.blocks.kv_number
                for s in self.served.values()
            )
        )

    def held(self, prompt: Sequence[int]) -> dict[str, int]:
        """Tokens of the prompt, by worker id."""
        found = self.workers.holders(PromptChain(tuple(prompt)))
        return {worker.info.worker_id: tokens for worker, tokens in found}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Looks a hundred times a second. Bounded."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  the index tells nobody
                await asyncio.sleep(0.01)


@asynccontextmanager
async def hash_cluster(
    *worker_ids: str,
    num_blocks: int = 256,
    policy: str = "prefix_aware",
    model: HashModelConfig = HASH_MODEL,
) -> AsyncIterator[HashCluster]:
    """Ids that begin with "p" are prefill workers', the others decode workers'. The default policy
    pairs them always.
    """
    registry = InMemoryRegistry()
    async with AsyncExitStack() as stack:
        served: dict[str, Served] = {}
        for worker_id in worker_ids:
            role = Role.PREFILL if worker_id.startswith("p") else Role.DECODE
            size = num_blocks * HASH_MODEL.layout(16).block_bytes
            settings = WorkerSettings(model="test", worker_id=worker_id, kv_cache_memory_bytes=size)
            served[worker_id] = await stack.enter_async_context(
                serving(role, model, settings=settings)
            )
        workers = Workers(registry, "", policy=policy_of(policy))
        queue: AdmissionQueue[Assignment] = AdmissionQueue(100, 10.0, Assignment.give_back)
        metrics = GatewayMetrics("m")
        metrics.follow("m", workers.prefixes)
        dispatcher = Dispatcher(
            workers, queue, metrics.of("m"), 10.0, 10.0, ResumeHandles("", 60.0)
        )
        following = asyncio.create_task(workers.run(queue.pump))
        cluster = HashCluster(served, workers, dispatcher, metrics)
        try:
            for one in served.values():
                registry.join(one.worker.info)
            await cluster.until(lambda: len(workers.usable) == len(served))
            await cluster.until_heard()
            yield cluster
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await dispatcher.close()
            await workers.close()
