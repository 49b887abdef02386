"""A read that is under way when its hand-off ends: its blocks wait until no byte can land."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from baton.core.errors import TransferError, UnavailableError
from baton.engine.blocks.kv_pool import KvPool
from kv_transfer.puller import PullLimits
from kv_transfer.pulling import Pulled
from kv_transfer.receiver_events import ReceiverLimits
from kv_transfer.transports.base import LinkLimits
from tests.support.kv_pair import (
    Pair,
    Prefill,
    receiving_side,
    sending_side,
    until,
)
from tests.support.kv_stall import StallingExporter

pytestmark = pytest.mark.integration

PATIENT = PullLimits(
    ReceiverLimits(receiving_s=0.3), LinkLimits(connect_s=2, stall_s=60)
)  # the link alone would wait for a minute


@dataclass
class Stalled:
    """A pull of 6 blocks whose first read hangs in the third of them."""

    pair: Pair
    prefill: Prefill
    pull: "asyncio.Task[Pulled]"


@pytest.fixture
async def stalled(pools: tuple[KvPool, KvPool]) -> AsyncIterator[Stalled]:
    exporter = StallingExporter(pools[0])
    await exporter.listen()
    async with (
        sending_side(pools[0], exporters=[exporter]) as p,
        receiving_side(pools[1], "tcp", PATIENT) as d,
    ):
        warm = p.handoff()
        p.prefill(warm, 20).run()
        d.books.release((await d.pull(warm)).blocks)
        exporter.pass_only(2 * pools[0].block_bytes + 100)
        handoff = p.handoff()
        pull = d.pull(handoff)
        prefill = p.prefill(handoff, 96)
        prefill.lend()
        prefill.compute(80)
        await asyncio.wait_for(exporter.stalled.wait(), 10)
        yield Stalled(Pair(p, d), prefill, pull)


async def test_a_cancelled_pull_returns_only_when_its_read_has_ended(stalled: Stalled) -> None:
    stalled.pull.cancel()
    await stalled.prefill.ended()  # the sender is free at once
    assert stalled.pair.d.books.held  # the target blocks are not: bytes may still land
    assert not stalled.pull.done()
    stalled.pull.cancel()  # impatience changes nothing
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(stalled.pull), 10)
    assert not stalled.pair.d.books.held


async def test_a_read_without_progress_ends_by_the_receivers_own_bound(stalled: Stalled) -> None:
    with pytest.raises(UnavailableError, match="no progress"):
        await asyncio.wait_for(stalled.pull, 10)
    assert not stalled.pair.d.books.held
    assert await stalled.prefill.ended() is False


async def test_others_of_the_same_peer_fail_with_it(
    stalled: Stalled,
) -> None:
    p, d = stalled.pair.p, stalled.pair.d
    handoff = p.handoff()
    other = p.prefill(handoff, 40)
    behind = d.pull(handoff)
    other.lend()
    other.compute(40)
    await until(lambda: len(d.books.held) == 6 + 3)
    stalled.pull.cancel()
    with pytest.raises((TransferError, UnavailableError)):
        await asyncio.wait_for(behind, 10)
    assert await other.ended() is False
    await until(lambda: not d.books.held)


async def test_closing_the_puller_ends_a_read_that_hangs(stalled: Stalled) -> None:
    await asyncio.wait_for(stalled.pair.d.puller.close(), 10)
    with pytest.raises(TransferError):
        await stalled.pull
    assert not stalled.pair.d.books.held
