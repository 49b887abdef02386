"""Two small pools, many requests, some given up half-way: nobody hangs, nothing is lost."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, replace

import grpc
import pytest

from baton.core.errors import RefusedError
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

NUM_REQUESTS = 100
AT_ONCE = 20
NUM_BLOCKS = 60  # of each pool; a prompt takes up to 25, an answer up to 8 more per choice


@dataclass(frozen=True)
class Job:
    prompt: tuple[int, ...]
    params: SamplingParams
    patience: int | None  # messages from decode after which the request is given up


def job_of(number: int, rng: random.Random) -> Job:
    params = sampled(
        rng.randint(1, 120), seed=number, n=rng.choice([1, 1, 1, 2, 3]), ignore_eos=False
    )
    given_up = rng.random() < 0.4
    patience = rng.randint(1, 20) if given_up else None
    return Job(prompt_of(rng.randint(1, 400), salt=number), params, patience)


async def attempt(prefill: Served, decode: Served, job: Job) -> list[TokenRecord]:
    """As a gateway does it; gives up after `patience` messages, on both sides."""
    handoff = handoff_to(prefill)
    generation = decode.generate(generate_request(handoff, job.prompt, job.params))
    answer = aiter(generation)
    await anext(answer)
    reading = prefill.prefill(prefill_request(handoff, job.prompt, job.params))
    draining = asyncio.ensure_future(drain(reading))
    records: list[TokenRecord] = []
    try:
        count = 1
        while count != job.patience:
            records += wire.records_from_pb((await anext(answer)).tokens.records)
            count += 1
    except StopAsyncIteration:
        await draining
    finally:
        generation.cancel()
        reading.cancel()
        await asyncio.gather(draining, return_exceptions=True)
    return records


async def drain(call: "grpc.aio.UnaryStreamCall[object, object]") -> None:
    async for _ in call:
        pass


async def answered(prefill: Served, decode: Served, job: Job) -> list[TokenRecord]:
    """Tries again whenever decode refuses; any other error is the test's."""
    while True:
        try:
            return await attempt(prefill, decode, job)
        except grpc.aio.AioRpcError as error:
            if not isinstance(from_rpc_error(error), RefusedError):
                raise
        with suppress(TimeoutError):  # somebody else was faster
            await decode.until(lambda load: load.free_blocks > 25 and not load.waiting, 1.0)


@pytest.mark.parametrize("seed", [1, 2])
async def test_under_pressure_every_answer_is_right_and_nothing_stays_behind(seed: int) -> None:
    rng = random.Random(seed)
    jobs = [job_of(number, rng) for number in range(NUM_REQUESTS)]
    slow = replace(HASH_MODEL, step_seconds=0.001)
    places = asyncio.Semaphore(AT_ONCE)
    async with (
        serving(Role.PREFILL, slow, NUM_BLOCKS) as prefill,
        serving(Role.DECODE, slow, NUM_BLOCKS) as decode,
    ):

        async def one(job: Job) -> None:
            async with places:
                records = await answered(prefill, decode, job)
            if job.patience is None:
                expected = hash_answer(HASH_MODEL, job.prompt, job.params)
                assert by_choice(records, job.params.n) == expected

        async with asyncio.timeout(50):
            await asyncio.gather(*map(one, jobs))
        await prefill.until_idle()
        await decode.until_idle()
        for served in (prefill, decode):
            served.worker.blocks.check_integrity()
        assert prefill.worker.sender.counts().expired == 0
