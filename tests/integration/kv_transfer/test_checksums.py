"""A byte that changed on its way is found, read again, and never used."""

import logging
from collections.abc import AsyncIterator

import pytest

from baton.core.errors import TransferError
from baton.engine.blocks.kv_pool import KvPool
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer import checksums, peers
from tests.support.kv_damage import Damage, DamagingExporter, wrap_readers
from tests.support.kv_pair import (
    LAYOUT,
    Pair,
    bytes_of,
    control,
    kinds_of,
    opened,
    receiving_side,
    sending_side,
)

pytestmark = pytest.mark.integration

Pools = tuple[KvPool, KvPool]
ALWAYS = 1_000_000


@pytest.fixture
async def wire(pools: Pools) -> AsyncIterator[tuple[Pair, DamagingExporter]]:
    """Over TCP with checksums; the link is made and whole so far."""
    exporter = DamagingExporter(pools[0])
    await exporter.listen()
    async with (
        sending_side(pools[0], exporters=[exporter]) as p,
        receiving_side(pools[1], "tcp", checksums="on") as d,
    ):
        p.prefill(handoff := p.handoff(), 20).run()
        pulled = await d.pull(handoff)
        assert pulled.repaired_blocks == 0
        d.books.release(pulled.blocks)
        yield Pair(p, d), exporter
        await p.books.until(p.holds_nothing)


async def test_a_byte_that_changes_on_the_wire_is_read_again(
    wire: tuple[Pair, DamagingExporter], caplog: pytest.LogCaptureFixture
) -> None:
    pair, exporter = wire
    exporter.damage = 1
    prefill = pair.p.prefill(handoff := pair.p.handoff(), 100).run()
    with caplog.at_level(logging.WARNING):
        pulled = await pair.d.pull(handoff)
    assert bytes_of(pair.d.pool, pulled.blocks) == prefill.bytes()
    assert pulled.repaired_blocks == pair.d.puller.repaired_blocks == 1
    assert pair.d.puller.wrong_blocks == 1
    (warning,) = caplog.messages
    assert "1 blocks from" in warning
    assert "over tcp with a wrong checksum" in warning


async def test_a_wire_that_always_changes_bytes_ends_the_hand_off(
    wire: tuple[Pair, DamagingExporter],
) -> None:
    pair, exporter = wire
    exporter.damage = ALWAYS
    prefill = pair.p.prefill(handoff := pair.p.handoff(), 100).run()
    with pytest.raises(TransferError, match="wrong checksum 3 times"):
        await pair.d.pull(handoff)
    assert exporter.damage < ALWAYS - 2
    assert not pair.d.books.held
    assert await prefill.ended() is False
    assert pair.d.puller.wrong_blocks >= 3 * pair.d.puller.repaired_blocks > 0


@pytest.mark.parametrize("transport", ["shm", "tcp"])
@pytest.mark.parametrize("num_tokens", [5, 100])
async def test_the_partial_last_block_is_compared_whole(
    pools: Pools, monkeypatch: pytest.MonkeyPatch, transport: str, num_tokens: int
) -> None:
    """The last byte of it is behind its last token."""
    wrap_readers(monkeypatch, Damage(1).wrap)
    async with (
        sending_side(pools[0]) as p,
        receiving_side(pools[1], transport, checksums="on") as d,
    ):
        prefill = p.prefill(handoff := p.handoff(), num_tokens).run()
        pulled = await d.pull(handoff)
        assert bytes_of(d.pool, pulled.blocks) == prefill.bytes()
        assert pulled.repaired_blocks == 1


@pytest.mark.parametrize(
    ("choice", "transport", "same_host", "found"),
    [
        ("auto", "tcp", False, True),
        ("auto", "tcp", True, False),
        ("auto", "shm", False, False),  # which cannot be: shared memory does not leave the host
        ("on", "shm", True, True),
        ("off", "tcp", False, False),
    ],
)
async def test_who_compares(
    pools: Pools,
    monkeypatch: pytest.MonkeyPatch,
    choice: str,
    transport: str,
    same_host: bool,
    found: bool,
) -> None:
    wrap_readers(monkeypatch, Damage(1).wrap)
    monkeypatch.setattr(peers, "is_this_host", lambda address: same_host)
    async with (
        sending_side(pools[0]) as p,
        receiving_side(pools[1], transport, checksums=choice) as d,
    ):
        prefill = p.prefill(handoff := p.handoff(), 100).run()
        pulled = await d.pull(handoff)
        assert (bytes_of(d.pool, pulled.blocks) == prefill.bytes()) is found
        assert pulled.repaired_blocks == found


async def test_long_segments_are_named_in_parts_that_cover_them(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "AT_ONCE", 2 * LAYOUT.block_bytes)
    async with sending_side(pools[0]) as p, control(p) as stub:
        prefill = p.prefill(handoff := p.handoff(), 70).run()
        stream = await opened(stub, handoff, checksums=True)
        messages = [await stream.read() for _ in range(3)]
        stream.cancel()
        told = [kinds_of(message) for message in messages]
        assert told == [["lease", "segment"], ["segment"], ["segment", "last"]]
        parts = [m.segment for m in messages if isinstance(m, pb.PullResponse)]
        assert [part.first_block for part in parts] == [0, 2, 4]
        named = tuple(block for part in parts for block in part.block_ids)
        assert named == prefill.blocks
        sums = tuple(value for part in parts for value in part.checksums)
        assert sums == checksums.checksums_of(pools[0], named)
        assert len(set(sums)) == 5
        assert await prefill.ended() is False


async def test_nobody_gets_checksums_unasked(pools: Pools) -> None:
    async with sending_side(pools[0]) as p, control(p) as stub:
        p.prefill(handoff := p.handoff(), 70).run()
        stream = await opened(stub, handoff)
        message = await stream.read()
        stream.cancel()
        assert isinstance(message, pb.PullResponse)
        assert len(message.segment.block_ids) == 5
        assert not message.segment.checksums
        await p.books.until(p.holds_nothing)
