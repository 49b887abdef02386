"""Hand-offs that are aborted, cut off or late: both sides end, hold nothing and say why."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from baton.core.errors import RefusedError, TransferError, UnavailableError
from baton.core.handoff import Epoch, Handoff
from baton.engine.blocks.kv_pool import KvPool
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer.pulling import Pulled
from kv_transfer.sender_events import AnswerConfirm, ClosePull, Outcome, SenderLimits
from kv_transfer.sending import PullQueue
from tests.support.kv_pair import (
    Pair,
    Prefill,
    bytes_of,
    control,
    lease_of,
    opened,
    receiving_side,
    sending_side,
    until,
)
from tests.support.kv_residue import mapped_pools, our_threads

pytestmark = pytest.mark.integration

Pools = tuple[KvPool, KvPool]
Pull = asyncio.Task[Pulled]


@pytest.fixture(params=["shm", "tcp"])
async def pair(request: pytest.FixtureRequest, pools: Pools) -> AsyncIterator[Pair]:
    async with sending_side(pools[0]) as p, receiving_side(pools[1], request.param) as d:
        yield Pair(p, d)


@pytest.fixture
async def shm_pair(pools: Pools) -> AsyncIterator[Pair]:
    async with sending_side(pools[0]) as p, receiving_side(pools[1]) as d:
        yield Pair(p, d)


async def admitted(pair: Pair, prefill: Prefill) -> None:
    """The Pull is attached; there are no blocks yet."""
    await until(lambda: pair.p.sender.counts().pulled_leases == 1)


async def lent(pair: Pair, prefill: Prefill) -> None:
    await admitted(pair, prefill)
    prefill.lend()


async def half_read(pair: Pair, prefill: Prefill) -> None:
    await lent(pair, prefill)
    prefill.compute(40)
    await pair.d.books.until(lambda: bool(pair.d.books.held))


STAGES = [admitted, lent, half_read]
Stage = Callable[[Pair, Prefill], Awaitable[None]]


async def decode_cancels(pair: Pair, prefill: Prefill, pull: Pull) -> None:
    pull.cancel()


async def gateway_aborts(pair: Pair, prefill: Prefill, pull: Pull) -> None:
    await send_abort(pair, prefill.handoff)


async def gateway_leaves(pair: Pair, prefill: Prefill, pull: Pull) -> None:
    prefill.lease.stream_closed()


async def engine_fails(pair: Pair, prefill: Prefill, pull: Pull) -> None:
    prefill.lease.failed(TransferError("the engine broke"))


async def receiver_stops(pair: Pair, prefill: Prefill, pull: Pull) -> None:
    await pair.d.puller.close()


async def sender_stops(pair: Pair, prefill: Prefill, pull: Pull) -> None:
    pair.p.sender.close()


async def server_dies(pair: Pair, prefill: Prefill, pull: Pull) -> None:
    await pair.p.server.stop(0)


WAYS = [
    decode_cancels,
    gateway_aborts,
    gateway_leaves,
    engine_fails,
    receiver_stops,
    sender_stops,
    server_dies,
]
Way = Callable[[Pair, Prefill, Pull], Awaitable[None]]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("way", WAYS)
async def test_a_hand_off_broken_off_at_any_stage_frees_both_sides(
    pair: Pair, stage: Stage, way: Way
) -> None:
    handoff = pair.p.handoff()
    pull = pair.d.pull(handoff)
    prefill = pair.p.prefill(handoff, 100)
    await stage(pair, prefill)
    await way(pair, prefill, pull)
    with pytest.raises((TransferError, UnavailableError, asyncio.CancelledError)):
        await asyncio.wait_for(pull, 10)
    assert await prefill.ended() is False
    assert prefill.dropped.is_set() == (way is not engine_fails)
    assert not pair.d.books.held
    assert pair.p.holds_nothing()
    prefill.lend_late()
    assert pair.p.holds_nothing()


async def send_abort(pair: Pair, handoff: Handoff) -> None:
    async with control(pair.p) as stub:
        request = pb.AbortRequest(
            transfer_id=handoff.transfer_id, ticket=handoff.ticket, reason="the client left"
        )
        await stub.Abort(request)


async def test_an_abort_before_its_request_is_remembered(shm_pair: Pair) -> None:
    handoff = shm_pair.p.handoff()
    await send_abort(shm_pair, handoff)
    with pytest.raises(TransferError, match="aborted"):
        await shm_pair.d.pull(handoff)
    with pytest.raises(RefusedError, match="aborted"):
        shm_pair.p.prefill(handoff, 20)


async def test_a_pull_cancelled_while_it_waits_refuses_its_late_prefill(shm_pair: Pair) -> None:
    handoff = shm_pair.p.handoff()
    pull = shm_pair.d.pull(handoff)
    await until(lambda: shm_pair.p.sender.counts().waiting_pulls == 1)
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    await shm_pair.d.puller.close()  # waits until the abort was sent
    with pytest.raises(RefusedError):
        shm_pair.p.prefill(handoff, 20)


async def test_a_prefill_that_never_comes_ends_the_pull(pools: Pools) -> None:
    limits = SenderLimits(pull_wait_s=0.05)
    async with sending_side(pools[0], limits=limits) as p, receiving_side(pools[1]) as d:
        with pytest.raises(UnavailableError, match="did not come in time"):
            await d.pull(p.handoff())
        assert p.sender.counts().waiting_pulls == 0


async def test_a_lease_that_expired_is_not_confirmed_and_delivers_nothing(pools: Pools) -> None:
    limits = SenderLimits(ttl_s=0.0)
    async with sending_side(pools[0], limits=limits) as p, receiving_side(pools[1]) as d:
        handoff = p.handoff()
        pull = d.pull(handoff)
        prefill = p.prefill(handoff, 100)
        await until(lambda: p.sender.counts().pulled_leases == 1)
        prefill.run()
        with pytest.raises(TransferError, match=r"expired|ended before"):
            await pull
        assert await prefill.ended() is False
        assert p.sender.counts().expired == 1
        assert not d.books.held
        assert p.holds_nothing()


async def test_a_verdict_that_is_lost_with_its_pull_is_asked_for_again(
    shm_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = shm_pair.p.sender

    def lose(queue: PullQueue, transfer_id: str, epoch: Epoch) -> None:
        queue.put(ClosePull(queue.pull_id, "lost"))
        assert sender.confirm(transfer_id, epoch) is Outcome.OK

    monkeypatch.setattr(sender, "confirm_on", lose)
    handoff = shm_pair.p.handoff()
    prefill = shm_pair.p.prefill(handoff, 100).run()
    expected = prefill.bytes()
    pulled = await shm_pair.d.pull(handoff)
    assert bytes_of(shm_pair.d.pool, pulled.blocks) == expected
    assert await prefill.ended() is True


async def test_a_verdict_that_nobody_asked_for_makes_nothing_usable(
    shm_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff = shm_pair.p.handoff()
    attach = shm_pair.p.sender.attach

    def hasty(transfer_id: str, ticket: bytes) -> PullQueue:
        queue = attach(transfer_id, ticket)
        queue.put(AnswerConfirm(Outcome.OK))
        return queue

    monkeypatch.setattr(shm_pair.p.sender, "attach", hasty)
    prefill = shm_pair.p.prefill(handoff, 100).run()
    with pytest.raises(TransferError, match="nobody had asked"):
        await shm_pair.d.pull(handoff)
    assert await prefill.ended() is False
    assert not shm_pair.d.books.held


async def test_confirm_after_expiry_is_stale(pools: Pools) -> None:
    limits = SenderLimits(ttl_s=0.1)
    async with sending_side(pools[0], limits=limits) as p, control(p) as stub:
        handoff = p.handoff()
        prefill = p.prefill(handoff, 100).run()
        lease = await lease_of(await opened(stub, handoff))
        assert await prefill.ended() is False
        question = pb.ConfirmRequest(transfer_id=handoff.transfer_id, epoch=lease.epoch)
        assert (await stub.Confirm(question)).outcome == pb.CONFIRM_OUTCOME_STALE
        assert p.holds_nothing()


async def test_without_room_for_the_blocks_the_pull_fails_and_the_sender_is_freed(
    shm_pair: Pair,
) -> None:
    shm_pair.d.books.take(60)
    handoff = shm_pair.p.handoff()
    prefill = shm_pair.p.prefill(handoff, 100).run()
    with pytest.raises(TransferError, match="no free KV blocks"):
        await shm_pair.d.pull(handoff)
    assert await prefill.ended() is False
    assert len(shm_pair.d.books.held) == 60


async def test_an_allocation_that_raises_reaches_the_caller_and_frees_the_sender(
    shm_pair: Pair,
) -> None:
    def broken(num_blocks: int) -> tuple[int, ...] | None:
        raise ZeroDivisionError("a defect of the caller")

    handoff = shm_pair.p.handoff()
    prefill = shm_pair.p.prefill(handoff, 100).run()
    with pytest.raises(ZeroDivisionError):
        await shm_pair.d.puller.pull(handoff, broken, shm_pair.d.books.release)
    assert await prefill.ended() is False


async def test_a_data_plane_that_breaks_fails_the_pull_and_frees_both_sides(pools: Pools) -> None:
    async with sending_side(pools[0]) as p, receiving_side(pools[1], "tcp") as d:
        handoff = p.handoff()
        pull = d.pull(handoff)
        prefill = p.prefill(handoff, 100)
        prefill.lend()
        prefill.compute(40)
        await d.books.until(lambda: bool(d.books.held))
        p.tcp.close()
        prefill.finish()
        with pytest.raises(TransferError, match="read failed"):
            await pull
        assert await prefill.ended() is False
        assert not d.books.held


async def test_a_restarted_sender_is_a_new_peer_and_the_old_ones_memory_is_let_go(
    pools: Pools,
) -> None:
    before = mapped_pools()
    async with receiving_side(pools[1], "shm") as d:
        async with sending_side(pools[0], "p-1") as p:
            old = p.handoff()
            p.prefill(handoff := p.handoff(), 50).run()
            await d.pull(handoff)
            assert mapped_pools() == before + 1
            port = int(p.address.rpartition(":")[2])
        await until(lambda: mapped_pools() == before and our_threads() == [])
        async with sending_side(pools[0], "p-2", port) as p:
            with pytest.raises(UnavailableError, match="restarted"):
                await d.pull(old)
            prefill = p.prefill(handoff := p.handoff(), 50).run()
            pulled = await d.pull(handoff)
            assert bytes_of(d.pool, pulled.blocks) == prefill.bytes()


async def test_a_sender_that_was_fenced_off_is_another_peer_behind_the_same_door(
    pools: Pools,
) -> None:
    before = mapped_pools()
    async with (
        receiving_side(pools[1], "shm") as d,
        sending_side(pools[0], "p-1") as p,
    ):
        p.prefill(handoff := p.handoff(), 50).run()
        await d.pull(handoff)
        left = p.prefill(p.handoff(), 50)
        left.lend()
        early = d.pull(stale := p.handoff())  # waits for a Prefill
        await until(lambda: p.sender.counts().waiting_pulls == 1)
        p.sender.fence("p-2")
        with pytest.raises((TransferError, UnavailableError)):
            await early
        assert p.sender.counts().open_leases == 0
        prefill = p.prefill(handoff := p.handoff(), 50).run()
        assert handoff.instance_id == "p-2"
        pulled = await d.pull(handoff)
        assert bytes_of(d.pool, pulled.blocks) == prefill.bytes()
        await until(lambda: mapped_pools() == before + 1)  # the older one's is let go
        with pytest.raises(UnavailableError, match="another role"):
            await d.pull(stale)


async def test_a_pull_that_delivered_although_it_was_cancelled_gives_its_blocks_back(
    shm_pair: Pair,
) -> None:
    for turns in range(60):  # cancelled at every point of its life
        handoff = shm_pair.p.handoff()
        prefill = shm_pair.p.prefill(handoff, 50).run()
        pull = shm_pair.d.pull(handoff)
        for _ in range(turns):
            await asyncio.sleep(0)
        pull.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            shm_pair.d.books.release((await pull).blocks)
        prefill.lease.stream_closed()
        await prefill.ended()
        assert not shm_pair.d.books.held
        assert shm_pair.p.holds_nothing()
