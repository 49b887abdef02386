"""Hand-offs over real gRPC and all data planes that nothing disturbs, and who may take part."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import grpc
import pytest

from baton.core.errors import RefusedError, TransferError, UnavailableError
from baton.core.handoff import Epoch, Handoff, new_ticket
from baton.engine.blocks.kv_pool import KvPool
from baton.rpc.wire import epoch_to_pb
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer.sender_events import SenderLimits
from tests.support.kv_pair import (
    FINGERPRINT,
    LAYOUT,
    SENDER_LIMITS,
    Pair,
    bytes_of,
    control,
    kinds_of,
    opened,
    other_model,
    receiving_side,
    sending_side,
    until,
)
from tests.support.kv_planes import nixl_only, usable
from tests.support.kv_residue import open_files

pytestmark = pytest.mark.integration

Pools = tuple[KvPool, KvPool]


@pytest.fixture(params=["shm", "tcp", "grpc", "nixl"])
async def pair(request: pytest.FixtureRequest, pools: Pools) -> AsyncIterator[Pair]:
    plane = usable(request.param)
    async with (
        sending_side(pools[0], exporters=nixl_only(pools[0], plane)) as p,
        receiving_side(pools[1], plane) as d,
    ):
        yield Pair(p, d)
        await p.books.until(p.holds_nothing)


@pytest.fixture
async def shm_pair(pools: Pools) -> AsyncIterator[Pair]:
    async with sending_side(pools[0]) as p, receiving_side(pools[1]) as d:
        yield Pair(p, d)
        await p.books.until(p.holds_nothing)


@pytest.mark.parametrize("num_tokens", [1, 15, 16, 17, 500])
async def test_bytes_arrive_equal(pair: Pair, num_tokens: int) -> None:
    handoff = pair.p.handoff()
    prefill = pair.p.prefill(handoff, num_tokens).run()
    pulled = await pair.d.pull(handoff)
    assert bytes_of(pair.d.pool, pulled.blocks) == prefill.bytes()
    assert await prefill.ended() is True
    assert (pulled.records, pulled.continuation) == (prefill.records, True)
    assert (pulled.num_tokens, pulled.bytes) == (num_tokens, len(prefill.bytes()))
    reads = pair.d.puller.reads.reading(pulled.transport)
    assert (sum(reads.bytes.counts), reads.bytes.total) == (1, pulled.bytes)
    assert sum(reads.seconds.counts) == 1
    assert reads.failed == 0
    assert pair.p.holds_nothing()
    assert pair.d.books.held == set(pulled.blocks)


async def test_full_blocks_are_read_while_prefill_still_computes(pair: Pair) -> None:
    handoff = pair.p.handoff()
    prefill = pair.p.prefill(handoff, 100)
    pull = pair.d.pull(handoff)
    prefill.lend()
    for num_tokens, full in [(40, 2), (72, 4), (100, 6)]:
        prefill.compute(num_tokens)
        there = bytes_of(pair.p.pool, prefill.blocks[:full])
        await pair.d.books.until(lambda: bool(pair.d.books.held))
        here = tuple(pair.d.books.taken[:full])
        await until(partial(holds, pair.d.pool, here, there))
    assert not pull.done()
    prefill.finish(continuation=False)
    pulled = await pull
    assert bytes_of(pair.d.pool, pulled.blocks) == prefill.bytes()
    assert pulled.continuation is False


def holds(pool: KvPool, blocks: tuple[int, ...], expected: bytes) -> bool:
    return bytes_of(pool, blocks) == expected


async def test_a_pull_may_come_before_its_prefill(pair: Pair) -> None:
    handoff = pair.p.handoff()
    pull = pair.d.pull(handoff)
    await until(lambda: pair.p.sender.counts().waiting_pulls == 1)
    prefill = pair.p.prefill(handoff, 50).run()
    pulled = await pull
    assert bytes_of(pair.d.pool, pulled.blocks) == prefill.bytes()
    assert await prefill.ended() is True


async def test_many_hand_offs_at_once_do_not_mix(pair: Pair) -> None:
    handoffs = [pair.p.handoff() for _ in range(12)]
    pulls = [pair.d.pull(handoff) for handoff in handoffs]
    prefills = [pair.p.prefill(handoff, 33 + i) for i, handoff in enumerate(handoffs)]
    for prefill in reversed(prefills):
        prefill.lend()
    for num_tokens in (16, 30):
        for prefill in prefills:
            prefill.compute(num_tokens)
    for prefill in prefills:
        prefill.finish()
    for prefill, pull in zip(prefills, pulls, strict=True):
        pulled = await pull
        assert bytes_of(pair.d.pool, pulled.blocks) == prefill.bytes()
        assert pulled.num_tokens == prefill.num_tokens
    assert pair.p.sender.counts().confirmed == 12


async def test_a_second_pull_is_refused_and_the_first_goes_on(shm_pair: Pair) -> None:
    handoff = shm_pair.p.handoff()
    prefill = shm_pair.p.prefill(handoff, 50)
    prefill.lend()
    prefill.compute(20)
    pull = shm_pair.d.pull(handoff)
    await shm_pair.d.books.until(lambda: bool(shm_pair.d.books.held))
    with pytest.raises(TransferError, match="another Pull owns"):
        await shm_pair.d.pull(handoff)
    prefill.finish()
    assert bytes_of(shm_pair.d.pool, (await pull).blocks) == prefill.bytes()
    assert await prefill.ended() is True


async def test_a_forged_ticket_is_refused_and_counted(shm_pair: Pair) -> None:
    handoff = shm_pair.p.handoff()
    prefill = shm_pair.p.prefill(handoff, 50).run()
    with pytest.raises(TransferError, match="ticket does not fit"):
        await shm_pair.d.pull(replace(handoff, ticket=new_ticket()))
    assert not shm_pair.d.books.held
    assert shm_pair.p.sender.counts().refused_tickets == 1
    pulled = await shm_pair.d.pull(handoff)
    assert bytes_of(shm_pair.d.pool, pulled.blocks) == prefill.bytes()


async def test_a_used_ticket_is_refused(shm_pair: Pair) -> None:
    handoff = shm_pair.p.handoff()
    shm_pair.p.prefill(handoff, 50).run()
    await shm_pair.d.pull(handoff)
    with pytest.raises(TransferError, match="is over"):
        await shm_pair.d.pull(handoff)
    with pytest.raises(RefusedError, match="is over"):
        shm_pair.p.prefill(handoff, 50)
    assert shm_pair.p.sender.counts().refused_tickets == 1


async def test_an_expired_ticket_is_refused_and_counted(pools: Pools) -> None:
    limits = SenderLimits(ttl_s=0.01)
    async with sending_side(pools[0], limits=limits) as p, receiving_side(pools[1]) as d:
        prefill = p.prefill(handoff := p.handoff(), 50).run()
        assert await prefill.ended() is False
        with pytest.raises(TransferError, match="is over"):
            await d.pull(handoff)
        assert p.sender.counts().expired == p.sender.counts().refused_tickets == 1
        assert not d.books.held


async def test_the_ticket_of_a_hand_off_that_was_given_up_is_refused_as_nobodys_fault(
    shm_pair: Pair,
) -> None:
    handoff = shm_pair.p.handoff()
    shm_pair.p.prefill(handoff, 50).lease.stream_closed()
    with pytest.raises(TransferError, match="is over"):
        await shm_pair.d.pull(handoff)
    assert shm_pair.p.sender.counts().refused_tickets == 0


async def test_a_repeated_confirm_gets_the_first_answer_and_a_guess_gets_stale(
    shm_pair: Pair,
) -> None:
    handoff = shm_pair.p.handoff()
    prefill = shm_pair.p.prefill(handoff, 50).run()
    async with control(shm_pair.p) as stub:
        stream = await opened(stub, handoff)
        message = await stream.read()
        assert isinstance(message, pb.PullResponse)
        assert kinds_of(message) == ["lease", "segment", "last"], "told at once, all of it"
        lease = message.lease
        assert lease.ttl_ms <= SENDER_LIMITS.ttl_s * 1000

        async def confirmed(serial: int) -> bool:
            epoch = epoch_to_pb(Epoch(handoff.instance_id, serial))
            question = pb.ConfirmRequest(transfer_id=handoff.transfer_id, epoch=epoch)
            return (await stub.Confirm(question)).outcome == pb.CONFIRM_OUTCOME_OK

        serial = lease.epoch.serial
        answers = [await confirmed(asked) for asked in (serial + 1, serial, serial, serial + 1)]
        assert answers == [False, True, True, False]
        assert await stream.code() is grpc.StatusCode.OK
    assert await prefill.ended() is True


async def test_workers_of_unequal_fingerprint_exchange_nothing(pools: Pools) -> None:
    async with (
        sending_side(pools[0]) as p,
        receiving_side(pools[1], fingerprint=other_model()) as d,
    ):
        p.prefill(handoff := p.handoff(), 20).run()
        with pytest.raises(TransferError, match="model_digest is 'another model' here"):
            await d.pull(handoff)
        assert not d.books.held


async def test_another_version_of_the_protocol_exchanges_nothing(pools: Pools) -> None:
    other = replace(FINGERPRINT, protocol=FINGERPRINT.protocol + 1)
    async with sending_side(pools[0]) as p, receiving_side(pools[1], fingerprint=other) as d:
        p.prefill(handoff := p.handoff(), 20).run()
        with pytest.raises(TransferError, match="protocol is"):
            await d.pull(handoff)
        assert not d.books.held


@pytest.mark.parametrize("level", ["DEBUG", "CRITICAL"])
async def test_the_level_of_the_logs_changes_nothing(
    pair: Pair, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    handoff = pair.p.handoff()
    prefill = pair.p.prefill(handoff, 100).run()
    pulled = await pair.d.pull(handoff)
    assert bytes_of(pair.d.pool, pulled.blocks) == prefill.bytes()
    cancelled = pair.d.pull(unanswered := pair.p.handoff())
    await until(lambda: pair.p.sender.counts().waiting_pulls == 1)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await pair.d.puller.close()
    with pytest.raises(RefusedError):
        pair.p.prefill(unanswered, 20)


async def test_a_worker_of_another_cluster_is_turned_away(pools: Pools) -> None:
    async with sending_side(pools[0]) as p, receiving_side(pools[1], secret="wrong") as d:
        with pytest.raises(UnavailableError, match="secret"):
            await d.pull(p.handoff())


async def test_another_process_at_the_address_is_not_taken_for_the_peer(shm_pair: Pair) -> None:
    handoff = replace(shm_pair.p.handoff(), instance_id="the one before")
    with pytest.raises(UnavailableError, match="restarted"):
        await shm_pair.d.pull(handoff)


async def test_nobody_at_the_address_is_said_at_once(pools: Pools) -> None:
    async with receiving_side(pools[1]) as d:
        nobody = Handoff("t", new_ticket(), "127.0.0.1:1", "p-1")
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(d.pull(nobody), 20)


async def test_no_descriptor_stays_open(pools: Pools) -> None:
    before = open_files()
    for transport in ("shm", "tcp", "grpc"):
        async with sending_side(pools[0]) as p, receiving_side(pools[1], transport) as d:
            p.prefill(handoff := p.handoff(), 3 * LAYOUT.block_size).run()
            await d.pull(handoff)
    await until(lambda: len(open_files()) <= len(before))
