"""Room for one request: set aside at once, for a time or until it is closed."""

import asyncio

import pytest

from baton.core.errors import RefusedError
from baton.engine.blocks.block_pool import BlockPool
from baton.worker.room import Room


def nothing() -> None:
    pass


async def test_where_there_is_too_little_it_refuses_at_once() -> None:
    pool = BlockPool(4)
    first = Room.take(pool, (), 3, None, nothing)
    with pytest.raises(RefusedError):
        Room.take(pool, (), 2, None, nothing)
    first.close()
    Room.take(pool, (), 4, None, nothing).close()
    assert (pool.free, pool.reserved) == (4, 0)


async def test_without_a_time_only_closing_ends_it() -> None:
    pool, expired = BlockPool(4), asyncio.Event()
    lasting = Room.take(pool, (), 1, None, nothing)
    Room.take(pool, (), 2, 0.01, lambda: expired.set() if pool.reserved == 1 else None)
    async with asyncio.timeout(10):
        await expired.wait()
    assert (pool.reserved, lasting.reservation.count) == (1, 1)
    lasting.close()
    assert pool.reserved == 0
