"""A worker that is told to stop finishes what it has, and says why it ends the rest."""

import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest

from baton.core.errors import UnavailableError
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role, WorkerState
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from baton.rpc.server import make_server
from baton.worker.drain import drain, say_goodbye
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.worker_pair import (
    Served,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

SLOW = replace(HASH_MODEL, step_seconds=0.01)
LONG = 60.0  # seconds; no test waits for them
PROMPT = prompt_of(20)
ANSWER = sampled(60)
ENDLESS = replace(GREEDY, max_tokens=4000, ignore_eos=True)  # no test waits for its end


class Begun:
    """A generation whose first tokens have come."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self._responses = aiter(call)
        self._records: list[TokenRecord] = []

    async def begin(self) -> None:
        while not self._records:
            self._take(await anext(self._responses))

    async def whole(self) -> tuple[TokenRecord, ...]:
        async for response in self._responses:
            self._take(response)
        return tuple(self._records)

    def _take(self, response: Any) -> None:
        self._records += wire.records_from_pb(response.tokens.records)


async def begun(served: Served, params: SamplingParams = ANSWER) -> Begun:
    generation = Begun(served.generate(generate_request(None, PROMPT, params)))
    await generation.begin()
    return generation


async def test_an_idle_worker_is_done_at_once() -> None:
    async with serving(Role.DECODE) as served, asyncio.timeout(10):
        await drain(served.worker, LONG, asyncio.Event())
        assert served.worker.desk.state is WorkerState.DRAINING


async def test_a_running_answer_is_finished_first() -> None:
    async with serving(Role.DECODE, SLOW) as served, asyncio.timeout(20):
        generation = await begun(served)
        draining = asyncio.create_task(drain(served.worker, LONG, asyncio.Event()))
        assert (await generation.whole(),) == hash_answer(HASH_MODEL, PROMPT, ANSWER)
        await draining
        assert served.worker.idle


async def test_a_lease_keeps_the_worker_until_it_is_over() -> None:
    async with serving(Role.PREFILL) as served, asyncio.timeout(20):
        call = served.prefill(prefill_request(handoff_to(served), PROMPT, GREEDY))
        while not (await call.read()).HasField("tokens"):
            pass
        draining = asyncio.create_task(drain(served.worker, LONG, asyncio.Event()))
        await served.until(lambda load: load.state is WorkerState.DRAINING)
        assert served.worker.load().leased_blocks > 0
        assert not draining.done()  # nobody has pulled
        call.cancel()
        await draining
        assert served.worker.load().leased_blocks == 0


async def test_a_second_word_ends_the_waiting() -> None:
    async with serving(Role.DECODE, SLOW) as served, asyncio.timeout(20):
        generation = await begun(served, ENDLESS)
        hurry = asyncio.Event()
        draining = asyncio.create_task(drain(served.worker, LONG, hurry))
        await served.until(lambda load: load.state is WorkerState.DRAINING)
        assert not draining.done()
        hurry.set()
        await draining
        assert not served.worker.idle
        generation.call.cancel()


async def test_what_is_left_after_the_time_hears_why_it_ends() -> None:
    async with serving(Role.DECODE, SLOW) as served, asyncio.timeout(20):
        generation = await begun(served, ENDLESS)
        await drain(served.worker, 0.0, asyncio.Event())
        await say_goodbye(make_server(), served.worker)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await generation.whole()
        error = from_rpc_error(caught.value)
        assert isinstance(error, UnavailableError)
        assert "the engine has stopped" in str(error)
