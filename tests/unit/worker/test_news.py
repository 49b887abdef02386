"""What a watching gateway is told: all of it at once, then what is new."""

import asyncio
from dataclasses import replace

import pytest

from baton.core.kv_events import KvChange, key_of
from baton.engine.blocks.block_pool import BlockPool
from baton.worker import news as module
from baton.worker.load import LoadBoard
from baton.worker.news import news
from tests.unit.worker.test_load_board import IDLE, Reading


def store(pool: BlockPool, *names: bytes) -> None:
    for name, block in zip(names, pool.allocate(len(names)) or (), strict=True):
        assert pool.publish([block], [name], None) == [block]


async def test_a_snapshot_and_then_changes_beside_the_load() -> None:
    reading, pool = Reading(), BlockPool(8)
    board = LoadBoard(reading)
    store(pool, b"a")
    told = news(board, pool.kv_change)
    async with asyncio.timeout(20):
        snapshot = KvChange(0, 1, snapshot=True, stored=(key_of(b"a"),))
        assert await anext(told) == (IDLE, snapshot)
        store(pool, b"b", b"c")
        board.touch()
        change = KvChange(1, 3, stored=(key_of(b"b"), key_of(b"c")))
        assert await anext(told) == (None, change)
        reading.load = replace(IDLE, running=1)
        board.touch()
        assert await anext(told) == (reading.load, None)
        board.close()
        assert [one async for one in told] == []


async def test_a_long_snapshot_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEYS", 2)
    pool = BlockPool(8)
    names = [bytes([i]) for i in range(5)]
    store(pool, *names)
    told = news(LoadBoard(Reading()), pool.kv_change)
    async with asyncio.timeout(20):
        first = await anext(told)
        assert first == (IDLE, KvChange(0, 5, snapshot=True, to_come=5))
        pieces = [(await anext(told))[1] for _ in range(3)]
    keys = [key for piece in pieces if piece is not None for key in piece.stored]
    assert sorted(keys) == [key_of(name) for name in names]
    await told.aclose()
