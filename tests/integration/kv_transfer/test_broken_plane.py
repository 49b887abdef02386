"""A data plane that lets the probe through and then breaks: the next pull goes another way."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from baton.core.errors import TransferError
from baton.engine.blocks.kv_pool import KvPool
from kv_transfer import set_aside
from kv_transfer.pulling import Pulled
from kv_transfer.transports.base import CANARY_BYTES, Exporter
from kv_transfer.transports.shm import ShmExporter
from kv_transfer.transports.sockets import hang_up
from kv_transfer.transports.tcp_export import TcpExporter
from kv_transfer.transports.tcp_protocol import Range
from tests.support.kv_pair import (
    LINK,
    ReceivingSide,
    SendingSide,
    bytes_of,
    receiving_side,
    sending_side,
)

pytestmark = pytest.mark.integration


class FakeCutExporter(TcpExporter):
    """Lets a probe through; breaks off what is longer, until it is mended."""

    mended = False

    def _send(self, connection: socket.socket, ranges: Sequence[Range]) -> None:
        if not self.mended and sum(length for _, length in ranges) > CANARY_BYTES:
            super()._send(connection, [(ranges[0][0], CANARY_BYTES)])
            hang_up(connection)
        else:
            super()._send(connection, ranges)


async def hand_off(p: SendingSide, d: ReceivingSide) -> Pulled:
    handoff = p.handoff()
    pull = d.pull(handoff)
    prefill = p.prefill(handoff, 40).run()
    pulled = await asyncio.wait_for(pull, 10)
    assert bytes_of(d.pool, pulled.blocks) == prefill.bytes()
    d.books.release(pulled.blocks)
    return pulled


async def test_the_next_pull_goes_over_another_plane_and_a_later_one_back(
    pools: tuple[KvPool, KvPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(set_aside, "monotonic", lambda: now)
    tcp = FakeCutExporter(pools[0], limits=LINK)
    exporters: list[Exporter] = [tcp, ShmExporter(pools[0], LINK)]
    async with (
        sending_side(pools[0], exporters=exporters) as p,
        receiving_side(pools[1]) as d,
    ):
        with pytest.raises(TransferError, match="the link to the peer broke"):
            await hand_off(p, d)
        assert d.puller.reads.reading("tcp").failed == 1
        assert (await hand_off(p, d)).transport == "shm"
        now += set_aside.SET_ASIDE_S / 2
        tcp.mended = True
        assert (await hand_off(p, d)).transport == "shm"
        now += set_aside.SET_ASIDE_S
        async with asyncio.timeout(10):  # the pull that asks for the change may be faster than it
            while (await hand_off(p, d)).transport != "tcp":
                pass
        assert not d.books.held


async def test_a_plane_that_broke_is_taken_again_where_there_is_no_other(
    pools: tuple[KvPool, KvPool],
) -> None:
    tcp = FakeCutExporter(pools[0], limits=LINK)
    async with sending_side(pools[0], exporters=[tcp]) as p, receiving_side(pools[1]) as d:
        with pytest.raises(TransferError, match="the link to the peer broke"):
            await hand_off(p, d)
        tcp.mended = True
        assert (await hand_off(p, d)).transport == "tcp"
