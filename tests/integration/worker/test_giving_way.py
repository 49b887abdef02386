"""A reservation that is more urgent gets its blocks from answers that run, which go on as they would
have.
"""

import asyncio
from dataclasses import replace

import grpc
import pytest

from baton.core.errors import RefusedError
from baton.core.handoff import new_id
from baton.core.sampling_params import SamplingParams
from baton.core.worker_info import Role
from baton.rpc.errors import from_rpc_error
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.hash_cluster import hash_cluster
from tests.support.moving import Stream
from tests.support.worker_pair import Served, generate_request, serving

SLOW = replace(HASH_MODEL, step_seconds=0.005)
PATIENT, LONG = prompt_of(37), sampled(120)  # ten blocks in the end
URGENT, SHORT = prompt_of(150, 3), sampled(20)  # eleven


def asked(decode: Served, prompt: tuple[int, ...], params: SamplingParams, priority: int) -> Stream:
    request = generate_request(None, prompt, params)
    request.request_id, request.priority = new_id(), priority
    return Stream(decode.generate(request), request.request_id)


def answer(prompt: tuple[int, ...], params: SamplingParams) -> tuple[int, ...]:
    return tuple(record.token_id for record in hash_answer(HASH_MODEL, prompt, params)[0])


async def test_a_running_answer_gives_way_to_a_more_urgent_one_and_not_to_its_equal() -> None:
    async with serving(Role.DECODE, SLOW, num_blocks=16) as decode:
        patient = asked(decode, PATIENT, LONG, priority=5)
        await patient.until(lambda stream: len(stream.records) >= 60)
        equal = asked(decode, URGENT, SHORT, priority=5)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await equal.whole()
        assert isinstance(from_rpc_error(refused.value), RefusedError)
        urgent = asked(decode, URGENT, SHORT, priority=0)
        await urgent.whole()
        assert urgent.ids() == answer(URGENT, SHORT)
        await patient.whole()
        assert patient.ids() == answer(PATIENT, LONG)
        await decode.until_idle()


async def test_a_caller_who_leaves_while_room_is_made_holds_nothing() -> None:
    async with serving(Role.DECODE, SLOW, num_blocks=16) as decode:
        patient = asked(decode, PATIENT, LONG, priority=5)
        await patient.until(lambda stream: len(stream.records) >= 60)
        for _ in range(3):
            making = asyncio.ensure_future(decode.worker.rooms.hold(0, (), 11))
            await asyncio.sleep(0)  # it has asked
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
        await patient.whole()
        assert patient.ids() == answer(PATIENT, LONG)
        await decode.until_idle()


async def test_through_a_gateway_the_urgent_go_first_and_no_answer_changes() -> None:
    async with hash_cluster("p0", "d0", num_blocks=16, model=SLOW) as cluster:
        patient = asyncio.ensure_future(cluster.ask(PATIENT, LONG, priority=5))
        await cluster.until(lambda: cluster.served["d0"].worker.blocks.free < 11)
        tokens, _ = await cluster.ask(URGENT, SHORT, priority=0, until_heard=False)
        assert tokens == answer(URGENT, SHORT)
        assert not patient.done()
        tokens, _ = await patient
        assert tokens == answer(PATIENT, LONG)
