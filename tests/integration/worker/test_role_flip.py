"""A worker that changes its role: the same engine, process and door, and nothing of the old role holds."""

import asyncio
from dataclasses import replace
from typing import Any

import grpc

from baton.core.errors import BatonError, RefusedError, RequestError, UnavailableError
from baton.core.worker_info import Role, WorkerInfo
from baton.rpc import wire
from baton.rpc.channel import open_channel
from baton.rpc.errors import from_rpc_error
from baton.v1 import worker_pb2, worker_pb2_grpc
from baton.worker.settings import WorkerSettings
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.moving import begun, move, reserved
from tests.support.worker_pair import (
    Served,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

SLOW = replace(HASH_MODEL, step_seconds=0.01)
PROMPT, ANSWER = prompt_of(20), sampled(60)
FLIP = asyncio.timeout


def asked(served: Served, role: Role) -> Any:
    request = worker_pb2.FlipRequest(role=wire.role_to_pb(role))
    return worker_pb2_grpc.WorkerServiceStub(served.channel).Flip(request)


async def flipped(served: Served, role: Role) -> WorkerInfo:
    *_, last = [message async for message in asked(served, role)]
    return wire.worker_info_from_pb(last.serves)


async def refusal(call: Any) -> BatonError:
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("it was not refused")


async def answer_of(prefill: Served, decode: Served) -> tuple[int, ...]:
    """Over a hand-off."""
    handoff = handoff_to(prefill)
    stream = await reserved(decode, handoff, PROMPT, ANSWER, ())
    reading = prefill.prefill(prefill_request(handoff, PROMPT, ANSWER))
    await stream.whole()
    assert [message async for message in reading][-1].released.confirmed
    assert stream.report.tokens + stream.report.cached_tokens == len(PROMPT)
    return stream.ids()


async def test_a_pair_that_changes_places_answers_as_before_and_keeps_its_caches() -> None:
    [records] = hash_answer(HASH_MODEL, PROMPT, ANSWER)
    right = tuple(record.token_id for record in records)
    async with FLIP(30), serving(Role.PREFILL) as one, serving(Role.DECODE) as two:
        assert await answer_of(one, two) == right
        before = one.worker.info
        for _ in range(2):  # there, and back
            first, second = await flipped(one, Role.DECODE), await flipped(two, Role.PREFILL)
            assert (first.role, second.role) == (Role.DECODE, Role.PREFILL)
            hits = two.worker.reading().cache_hits
            assert await answer_of(two, one) == right
            assert two.worker.reading().cache_hits > hits  # what it wrote before
            one, two = two, one
        after = one.worker.info
        assert (after.address, after.pid, after.worker_id) == (
            *(before.address, before.pid, before.worker_id),
        )
        assert (after.role, after.flips) == (Role.PREFILL, 2)
        assert after.instance_id != before.instance_id
        for served in (one, two):
            await served.until(lambda load: not load.leased_blocks)


async def test_what_runs_is_finished_first_and_then_the_old_role_is_refused() -> None:
    async with FLIP(30), serving(Role.DECODE, SLOW) as served:
        stream = await begun(served, PROMPT, ANSWER, 1)
        flip = asked(served, Role.PREFILL)
        assert (await flip.read()).requests_left == 1
        assert isinstance(
            await refusal(served.generate(generate_request(None, PROMPT, ANSWER))), RefusedError
        )
        assert served.worker.load().next_role is Role.PREFILL
        await stream.whole()
        assert (stream.of(),) == hash_answer(SLOW, PROMPT, ANSWER)
        assert (await flip.read()).serves.worker_id == served.worker.info.worker_id
        late = await refusal(served.generate(generate_request(None, PROMPT, ANSWER)))
        assert isinstance(late, RefusedError)
        assert "prefill worker now" in str(late)


async def test_a_running_answer_moves_and_the_worker_need_not_wait_for_its_end() -> None:
    async with FLIP(30), serving(Role.DECODE, SLOW) as one, serving(Role.DECODE, SLOW) as two:
        long = sampled(400)
        stream = await begun(one, PROMPT, long, 3)
        flip = asked(one, Role.PREFILL)
        assert (await flip.read()).requests_left == 1
        there = await move(one, two, stream, PROMPT, long)
        await stream.whole()
        assert (await flip.read()).HasField("serves")
        assert not there.call.done()
        there.call.cancel()


async def test_a_lease_is_seen_through_before_the_role_ends() -> None:
    async with FLIP(30), serving(Role.PREFILL) as served:
        call = served.prefill(prefill_request(handoff_to(served), PROMPT, ANSWER))
        while not (await call.read()).HasField("tokens"):
            pass
        flip = asked(served, Role.DECODE)
        await flip.read()
        await served.until(lambda load: load.next_role is Role.DECODE)
        assert served.worker.info.role is Role.PREFILL  # nobody has pulled yet
        call.cancel()
        assert (await flip.read()).HasField("serves")
        assert served.worker.load().leased_blocks == 0


async def test_who_comes_for_something_of_the_old_role_gets_nothing() -> None:
    async with FLIP(30), serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        stale = handoff_to(prefill)
        stream = await reserved(decode, stale, PROMPT, ANSWER, ())
        await flipped(prefill, Role.DECODE)
        await flipped(prefill, Role.PREFILL)
        reading = prefill.prefill(prefill_request(stale, PROMPT, ANSWER))
        assert isinstance(await refusal(stream.call), BatonError)
        assert not stream.records
        reading.cancel()
        await decode.until_idle()


async def test_watchers_of_the_old_role_hear_its_end_and_cannot_begin_again() -> None:
    async with FLIP(30), serving(Role.DECODE) as served:
        stub: Any = worker_pb2_grpc.WorkerServiceStub(served.channel)
        old = worker_pb2.WatchRequest(instance_id=served.worker.info.instance_id)
        watch = stub.Watch(old)
        assert (await watch.read()).HasField("load")
        await flipped(served, Role.PREFILL)
        while (message := await watch.read()) is not grpc.aio.EOF:
            assert message.load.next_role  # nothing of the new role
        assert isinstance(await refusal(stub.Watch(old)), UnavailableError)
        new = stub.Watch(worker_pb2.WatchRequest(instance_id=served.worker.info.instance_id))
        assert (await new.read()).HasField("load")
        new.cancel()


async def test_it_takes_the_clusters_secret() -> None:
    settings = WorkerSettings(
        model="test", worker_id="d0", cluster_secret="the secret", kv_cache_memory_bytes=1 << 20
    )
    async with (
        FLIP(30),
        serving(Role.DECODE, settings=settings) as served,
        open_channel(served.worker.info.address) as stranger,
    ):
        stub = worker_pb2_grpc.WorkerServiceStub(stranger)
        call = stub.Flip(worker_pb2.FlipRequest(role=wire.role_to_pb(Role.PREFILL)))
        assert "secret" in str(await refusal(call))
        assert served.worker.info.role is Role.DECODE
        assert (await flipped(served, Role.PREFILL)).role is Role.PREFILL


async def test_a_role_that_it_cannot_have_is_refused_by_name() -> None:
    async with FLIP(30), serving(Role.DECODE, roles=(Role.DECODE,)) as served:
        error = await refusal(asked(served, Role.PREFILL))
        assert isinstance(error, RequestError)
        assert "no prefill service" in str(error)
        nothing = worker_pb2_grpc.WorkerServiceStub(served.channel).Flip(worker_pb2.FlipRequest())
        assert "no role 0" in str(await refusal(nothing))
