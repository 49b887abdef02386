"""What decode wrote comes back to prefill: real workers on the hash model, whose text any foreign
byte changes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from baton.core.handoff import new_id, new_ticket
from baton.core.worker_info import Role
from baton.rpc import wire
from baton.v1 import kv_transfer_pb2, kv_transfer_pb2_grpc
from baton.worker import prefix_pulls
from baton.worker.prefix_pulls import FAILED, NO_ROOM, NOT_NEEDED, PULLED
from baton.worker.settings import WorkerSettings
from kv_transfer.memory import Memory, Run
from kv_transfer.receiver_events import ReceiverLimits
from kv_transfer.transports.base import Reader
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.kv_damage import WrappedReader, wrap_readers
from tests.support.link_relay import Links, link
from tests.support.prefix_turn import Turn, source_of, turn
from tests.support.worker_pair import (
    BLOCKS,
    Served,
    handoff_to,
    prefill_request,
    serving,
)
from tests.support.worker_relay import drain

pytestmark = pytest.mark.integration

PARAMS = sampled(100)
FIRST = prompt_of(200)
MORE = prompt_of(50, salt=9)
BLOCK_BYTES = HASH_MODEL.layout(16).block_bytes


def settings(num_blocks: int = BLOCKS, **more: Any) -> WorkerSettings:
    return WorkerSettings(
        model="test",
        worker_id="prefill",
        kv_cache_memory_bytes=num_blocks * BLOCK_BYTES,
        **more,
    )


@asynccontextmanager
async def pair(
    prefill_settings: WorkerSettings | None = None, decode_settings: WorkerSettings | None = None
) -> AsyncIterator[tuple[Served, Served]]:
    """Whatever happened between them, nothing is held or lent at the end."""
    async with (
        serving(Role.PREFILL, settings=prefill_settings) as prefill,
        serving(Role.DECODE, settings=decode_settings) as decode,
    ):
        yield prefill, decode
        for served in (prefill, decode):
            await served.until_idle()
            served.worker.blocks.check_integrity()
            counts = served.worker.sender.counts()
            assert (counts.open_leases, counts.leased_blocks, counts.waiting_pulls) == (0, 0, 0)


def right(prompt: tuple[int, ...], **params: Any) -> tuple[tuple[Any, ...], ...]:
    return hash_answer(HASH_MODEL, prompt, replace(PARAMS, **params))


def results(served: Served) -> dict[str, int]:
    return {name: n for name, n in served.worker.reading().prefix_pulls.items() if n}


async def first_turn(
    prefill: Served, decode: Served, cache_salt: str = "", tenant: str = ""
) -> tuple[int, ...]:
    """The prompt of the second one."""
    done = await turn(prefill, decode, FIRST, PARAMS, None, cache_salt, tenant)
    assert done.answer == right(FIRST)
    return done.then(FIRST, *MORE)


async def test_the_second_turn_starts_behind_what_decode_wrote_and_is_answered_alike() -> None:
    async with pair() as (prefill, decode):
        second = await first_turn(prefill, decode)
        # prefill has 12 blocks of the prompt, decode 18 of prompt and answer
        done = await turn(prefill, decode, second, PARAMS, source_of(decode))
        assert done == Turn(288, 96, right(second))
        assert results(prefill) == {PULLED: 1}
        reading = prefill.worker.reading()
        assert reading.prefix_tokens == 96
        # it lacked 9 blocks of what the answer before it may have left, of which 6 were there
        assert (reading.external_queries, reading.external_hits) == (144, 96)
        assert reading.transfer_bytes == 6 * BLOCK_BYTES
        third = done.then(second, *MORE)
        done = await turn(prefill, decode, third, PARAMS, source_of(decode))
        # prefill has 350 tokens of it, in whole blocks; decode 449 of 450
        assert done == Turn(448, 112, right(third))
        assert decode.worker.sender.counts().confirmed == 2


async def test_a_prefill_worker_that_knows_nothing_of_it_gets_all_of_it() -> None:
    async with pair() as (prefill, decode), serving(Role.PREFILL) as other:
        second = await first_turn(prefill, decode)
        done = await turn(other, decode, second, PARAMS, source_of(decode))
        assert done == Turn(288, 288, right(second))
        # and lends it in turn: the lender's role does not matter
        third = done.then(second, *MORE)
        done = await turn(prefill, decode, third, PARAMS, source_of(other))
        assert done == Turn(336, 144, right(third))
        await other.until_idle()


async def test_every_choice_goes_on_behind_what_came() -> None:
    async with pair() as (prefill, decode):
        second = await first_turn(prefill, decode)
        params = replace(PARAMS, n=3, logprobs=2)
        done = await turn(prefill, decode, second, params, source_of(decode))
        assert done == Turn(288, 96, hash_answer(HASH_MODEL, second, params))


async def test_what_prefill_has_itself_is_not_asked_for() -> None:
    async with pair() as (prefill, decode):
        second = await first_turn(prefill, decode)
        done = await turn(prefill, decode, second, PARAMS)
        assert done == Turn(192, 0, right(second))
        done = await turn(prefill, decode, second, PARAMS, source_of(decode))
        assert done == Turn(336, 0, right(second))
        third = done.then(second, 1)
        most = 336 + prefix_pulls.MIN_TOKENS - 16  # too little to be worth the way
        done = await turn(prefill, decode, third, PARAMS, source_of(decode, most))
        assert done == Turn(336, 0, right(third))
        assert results(prefill) == {NOT_NEEDED: 2}
        counts = decode.worker.sender.counts()
        assert (counts.confirmed, counts.aborted) == (0, 0)


async def test_scores_of_the_prompt_are_computed_and_nothing_is_pulled_for_them() -> None:
    async with pair() as (prefill, decode):
        second = await first_turn(prefill, decode)
        params = replace(PARAMS, prompt_logprobs=1)
        done = await turn(prefill, decode, second, params, source_of(decode))
        assert done == Turn(0, 0, right(second))


async def test_a_source_that_has_lost_it_costs_nothing_but_the_question() -> None:
    async with pair() as (prefill, decode), serving(Role.DECODE) as stranger:
        second = await first_turn(prefill, decode)
        done = await turn(prefill, decode, second, PARAMS, source_of(stranger))
        assert done == Turn(192, 0, right(second))
        gone = source_of(decode)
        gone = replace(gone, handoff=replace(gone.handoff, instance_id="an earlier life"))
        done = await turn(prefill, decode, (2, *second), PARAMS, gone)
        assert done == Turn(0, 0, right((2, *second)))
        assert results(prefill) == {FAILED: 2}
        await stranger.until_idle()


async def test_a_source_that_evicted_a_part_lends_the_rest() -> None:
    """18 blocks are cached there, and the last of them are given up first."""
    async with pair(decode_settings=settings(40)) as (prefill, decode):
        second = await first_turn(prefill, decode)
        await turn(prefill, decode, prompt_of(400, salt=3), GREEDY)
        async with serving(Role.PREFILL) as other:
            done = await turn(other, decode, second, PARAMS, source_of(decode))
            assert done == Turn(done.moved, done.moved, right(second))
            assert 0 < done.moved < 288
            await other.until_idle()


async def test_what_the_source_has_in_host_memory_is_lent_too() -> None:
    roomy = settings(40, kv_offloading_size=64 * BLOCK_BYTES / 2**30)
    async with pair(decode_settings=roomy) as (prefill, decode):
        second = await first_turn(prefill, decode)
        for salt in (3, 4):
            await turn(prefill, decode, prompt_of(400, salt), GREEDY)
        async with serving(Role.PREFILL) as other:
            done = await turn(other, decode, second, PARAMS, source_of(decode))
            assert done == Turn(288, 288, right(second))
            await other.until_idle()


@pytest.mark.parametrize("owner", [("salt", ""), ("", "other")])
async def test_another_salt_or_tenant_gets_nothing(owner: tuple[str, str]) -> None:
    async with pair() as (prefill, decode):
        second = await first_turn(prefill, decode, *owner)
        done = await turn(prefill, decode, second, PARAMS, source_of(decode))
        assert done == Turn(0, 0, right(second))
        assert results(prefill) == {FAILED: 1}
        async with serving(Role.PREFILL) as other:
            done = await turn(other, decode, second, PARAMS, source_of(decode), *owner)
            assert done == Turn(288, 288, right(second))
            await other.until_idle()


async def refusal(lender: Served, names: Sequence[bytes], **shown: Any) -> str:
    stub: Any = kv_transfer_pb2_grpc.KvTransferServiceStub(lender.channel)
    call = stub.Pull(iter([kv_transfer_pb2.PullRequest(prefix_names=names, **shown)]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(drain(call), 20)
    return str(caught.value.details())


async def test_a_ticket_opens_one_pull_and_another_ones_opens_none() -> None:
    async with pair() as (prefill, decode):
        second = await first_turn(prefill, decode)
        source = source_of(decode)
        done = await turn(prefill, decode, second, PARAMS, source)
        assert done.moved
        used, names = source.handoff, [b"name"]
        shown = {"transfer_id": used.transfer_id, "ticket": used.ticket}
        assert "is over" in await refusal(decode, names, **shown)
        shown["ticket"] = new_ticket()
        assert "is over" in await refusal(decode, names, **shown)
        assert decode.worker.reading().handoffs["refused_ticket"] == 2
        unknown = {"transfer_id": new_id(), "ticket": new_ticket()}
        assert "nothing of this prefix" in await refusal(decode, names, **unknown)


async def test_a_hand_off_that_was_aborted_first_lends_nothing() -> None:
    async with pair() as (_, decode):
        shown: dict[str, Any] = {"transfer_id": new_id(), "ticket": new_ticket()}
        stub: Any = kv_transfer_pb2_grpc.KvTransferServiceStub(decode.channel)
        await stub.Abort(kv_transfer_pb2.AbortRequest(reason="gone", **shown))
        for _ in range(2):
            assert "was aborted" in await refusal(decode, [b"name"], **shown)


async def test_a_worker_that_drains_lends_nothing() -> None:
    async with pair() as (prefill, decode), serving(Role.DECODE) as leaving:
        await first_turn(prefill, leaving)
        second = await first_turn(prefill, decode)
        leaving.worker.desk.drain()
        done = await turn(prefill, decode, second, PARAMS, source_of(leaving))
        assert done == Turn(192, 0, right(second))
        await leaving.until_idle()


async def test_blocks_that_came_damaged_are_computed_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    comparing = settings(kv_checksums="on")
    async with pair(prefill_settings=comparing) as (prefill, decode):
        second = await first_turn(prefill, decode)

        def wrap(inner: Reader, memory: Memory) -> Reader:
            def after(runs: Sequence[Run]) -> None:
                memory.view[runs[-1].target] ^= 1

            return WrappedReader(inner, after=after) if memory is pool_of(prefill) else inner

        wrap_readers(monkeypatch, wrap)
        done = await turn(prefill, decode, second, PARAMS, source_of(decode))
        assert done == Turn(192, 0, right(second))
        assert results(prefill) == {FAILED: 1}


def pool_of(served: Served) -> Memory:
    return served.worker.bridge.engine.pool


class Interrupt:
    """Something happens in the middle of prefill's first read, which then goes on."""

    def __init__(self, prefill: Served, act: Any) -> None:
        self._prefill = prefill
        self._act = act
        self._loop = asyncio.get_running_loop()
        self.met = False

    def wrap(self, inner: Reader, memory: Memory) -> Reader:
        if memory is not pool_of(self._prefill):
            return inner
        return WrappedReader(inner, before=self._before)

    def _before(self, runs: Sequence[Run]) -> None:
        if self.met:
            return
        self.met = True
        asyncio.run_coroutine_threadsafe(self._act(), self._loop).result(20)


async def test_a_lender_that_stops_in_mid_pull_is_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pair() as (prefill, decode), serving(Role.DECODE) as lender:
        await first_turn(prefill, lender)
        second = await first_turn(prefill, decode)
        interrupt = Interrupt(prefill, lender.worker.give_up)
        wrap_readers(monkeypatch, interrupt.wrap)
        done = await turn(prefill, decode, second, PARAMS, source_of(lender))
        assert done == Turn(192, 0, right(second))
        assert interrupt.met
        assert results(prefill) == {FAILED: 1}
        assert lender.worker.load().leased_blocks == 0


async def test_a_lender_that_is_gone_in_mid_pull_is_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connection is reset, as by kill -9; what can be read of its memory is not believed."""
    links = Links(lambda inode: "prefill")
    async with (
        pair() as (prefill, decode),
        serving(Role.DECODE) as lender,
        links.relay("lender", "control") as relay,
    ):
        await first_turn(prefill, lender)
        second = await first_turn(prefill, decode)
        source = source_of(lender)
        relay.target_port = int(source.handoff.address.rpartition(":")[2])
        here = f"127.0.0.1:{relay.port}"
        source = replace(source, handoff=replace(source.handoff, address=here))

        async def cut() -> None:
            links.cut(link("prefill", "lender"))

        interrupt = Interrupt(prefill, cut)
        wrap_readers(monkeypatch, interrupt.wrap)
        done = await turn(prefill, decode, second, PARAMS, source)
        assert done == Turn(192, 0, right(second))
        assert interrupt.met
        assert results(prefill) == {FAILED: 1}
        await lender.until_idle()


async def test_a_silent_lender_is_waited_for_no_longer_than_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefix_pulls, "LIMITS", ReceiverLimits(opening_s=0.05))
    links = Links(lambda inode: "prefill")
    async with pair() as (prefill, decode), links.relay("lender", "control") as relay:
        links.silence(link("prefill", "lender"))
        second = await first_turn(prefill, decode)
        source = source_of(decode)
        here = f"127.0.0.1:{relay.port}"
        source = replace(source, handoff=replace(source.handoff, address=here))
        done = await turn(prefill, decode, second, PARAMS, source)
        assert done == Turn(192, 0, right(second))
        assert results(prefill) == {FAILED: 1}


async def test_a_request_that_is_given_up_in_mid_pull_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pair() as (prefill, decode):
        second = await first_turn(prefill, decode)
        request = prefill_request(handoff_to(prefill), second, PARAMS)
        request.prefix.CopyFrom(wire.prefix_source_to_pb(source_of(decode)))
        call = prefill.prefill(request)

        async def leave() -> None:
            call.cancel()
            await decode.until(lambda load: load.leased_blocks == 0)

        interrupt = Interrupt(prefill, leave)
        wrap_readers(monkeypatch, interrupt.wrap)
        with pytest.raises(asyncio.CancelledError):
            await call.read()
        await prefill.until_idle()
        assert interrupt.met
        done = await turn(prefill, decode, second, PARAMS, source_of(decode))
        assert done == Turn(288, 96, right(second))


async def test_other_prompts_are_computed_while_a_pull_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pair() as (prefill, decode), serving(Role.DECODE) as lender:
        await first_turn(prefill, lender)
        second = await first_turn(prefill, decode)
        other, others = prompt_of(90, salt=5), []

        async def ask() -> None:
            others.append(await turn(prefill, decode, other, PARAMS))

        wrap_readers(monkeypatch, Interrupt(prefill, ask).wrap)
        done = await turn(prefill, decode, second, PARAMS, source_of(lender))
        assert done == Turn(288, 96, right(second))
        assert others == [Turn(0, 0, right(other))]
        await lender.until_idle()


async def test_without_room_for_it_the_prompt_waits_its_turn_and_is_computed() -> None:
    """A prompt that somebody else's lease leaves no room for: nothing is taken meanwhile."""
    async with pair(prefill_settings=settings(30)) as (prefill, decode):
        second = await first_turn(prefill, decode)
        lent = prefill.worker.blocks.allocate(20)
        assert lent is not None
        waiting = asyncio.ensure_future(
            turn(prefill, decode, second, PARAMS, source_of(decode)),
        )
        await prefill.until(lambda load: load.waiting == 1)
        prefill.worker.release(lent)
        assert (await waiting).answer == right(second)
        assert results(prefill) == {NO_ROOM: 1}


@pytest.mark.parametrize("which", ["prefill", "decode"])
async def test_while_requests_lack_blocks_nothing_is_pulled_nor_lent(
    monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    async with pair() as (prefill, decode), serving(Role.DECODE) as lender:
        await first_turn(prefill, lender)
        second = await first_turn(prefill, decode)
        short = prefill if which == "prefill" else lender
        engine = short.worker.bridge.engine
        crowded = replace(engine.load(), lacks=0)
        monkeypatch.setattr(engine, "load", lambda: crowded)
        done = await turn(prefill, decode, second, PARAMS, source_of(lender))
        assert done == Turn(192, 0, right(second))
        assert results(prefill) == {NO_ROOM if which == "prefill" else FAILED: 1}
        monkeypatch.undo()


async def test_many_conversations_at_once_through_small_pools_are_answered_as_if_alone() -> None:
    """No pull waits for a block that another one's prompt keeps."""
    firsts = [prompt_of(120 + 9 * i, salt=i) for i in range(10)]
    params = replace(PARAMS, max_tokens=40)
    async with pair(settings(45), settings(600)) as (prefill, decode):
        turns = await asyncio.gather(*(turn(prefill, decode, p, params) for p in firsts[:4]))
        seconds = [done.then(p, 1, 2, 3) for p, done in zip(firsts, turns, strict=False)]
        prompts = [*seconds, *firsts[4:], *seconds]
        done = await asyncio.gather(
            *(turn(prefill, decode, p, params, source_of(decode)) for p in prompts)
        )
        assert [d.answer for d in done] == [right(p, max_tokens=40) for p in prompts]
