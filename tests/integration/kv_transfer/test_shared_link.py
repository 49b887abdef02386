"""One link serves many hand-offs: giving one of them up costs the others nothing."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from baton.engine.blocks.kv_pool import KvPool
from kv_transfer import pulling
from kv_transfer.memory import Run
from kv_transfer.stream_copy import Stop, copy_in_python
from kv_transfer.transports import mapping
from tests.support.kv_pair import LAYOUT, bytes_of, receiving_side, sending_side, until

pytestmark = pytest.mark.integration

BATCH_S = 0.1  # of the slow link


@pytest.fixture
def slow_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """One block at a time; a cancelled read may wait for four of them."""
    pace = threading.Event()

    def slowly(target: int, source: int, runs: Sequence[Run], stop: Stop) -> bool:
        pace.wait(BATCH_S)
        return copy_in_python(target, source, runs, stop)

    monkeypatch.setattr(mapping, "best_copy", lambda: slowly)
    monkeypatch.setattr(mapping, "BATCH_BYTES", LAYOUT.block_bytes)
    monkeypatch.setattr(pulling, "CANCEL_S", 4 * BATCH_S)


@pytest.mark.usefixtures("slow_link")
async def test_a_cancelled_pull_does_not_break_the_read_that_it_stands_behind(
    pools: tuple[KvPool, KvPool],
) -> None:
    async with sending_side(pools[0]) as p, receiving_side(pools[1], "shm") as d:
        first, second = p.handoff(), p.handoff()
        reads, waits = d.pull(first), d.pull(second)
        prefill = p.prefill(first, 10 * LAYOUT.block_size).run()
        await until(lambda: len(d.books.held) == 10)
        p.prefill(second, 20).run()
        await until(lambda: len(d.books.held) == 12)
        waits.cancel()
        pulled = await asyncio.wait_for(reads, 10)
        assert bytes_of(pools[1], pulled.blocks) == prefill.bytes()
        d.books.release(pulled.blocks)
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert not d.books.held
