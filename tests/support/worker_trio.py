"""A prefill and two decode workers with a real model: what one answer is, written in several ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role
from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import load_torch_runner
from baton.rpc import wire
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

Answer = tuple[tuple[TokenRecord, ...], ...]
PROMPT = tuple(range(5, 45))


@dataclass(frozen=True, slots=True)
class Cluster:
    prefill: Served
    decode: Served
    alone: Served

    async def relayed(self, params: SamplingParams) -> Answer:
        handoff = handoff_to(self.prefill)
        answer = aiter(self.decode.generate(generate_request(handoff, PROMPT, params)))
        assert (await anext(answer)).HasField("reserved")
        request = prefill_request(handoff, PROMPT, params)
        reading = asyncio.ensure_future(_drained(self.prefill, request))
        records: list[TokenRecord] = []
        async for response in answer:
            records += wire.records_from_pb(response.tokens.records)
        await asyncio.wait_for(reading, 30)
        return by_choice(records, params.n)

    async def by_one(self, params: SamplingParams) -> Answer:
        records: list[TokenRecord] = []
        async for response in self.alone.generate(generate_request(None, PROMPT, params)):
            records += wire.records_from_pb(response.tokens.records)
        return by_choice(records, params.n)


async def _drained(prefill: Served, request: object) -> None:
    async for _ in prefill.prefill(request):  # type: ignore[arg-type]
        pass


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    runners = [load_torch_runner(str(folder), EngineConfig()) for _ in range(3)]
    async with (
        serving(Role.PREFILL, runner=runners[0]) as prefill,
        serving(Role.DECODE, runner=runners[1]) as decode,
        serving(Role.DECODE, runner=runners[2]) as alone,
    ):
        yield Cluster(prefill, decode, alone)
