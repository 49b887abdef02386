"""Watchers see the latest load: at once, then when it differs."""

import asyncio
from dataclasses import replace

from baton.core.worker_info import WorkerLoad, WorkerState
from baton.worker.load import LoadBoard
from tests.support.watched_loads import loads

IDLE = WorkerLoad(WorkerState.READY, 0, 0, 10, 0, 0, 10)


class Reading:
    def __init__(self) -> None:
        self.load = IDLE

    def __call__(self) -> WorkerLoad:
        return self.load


async def test_a_watcher_sees_the_load_at_once_and_then_the_latest() -> None:
    reading = Reading()
    board = LoadBoard(reading)
    watch = loads(board)
    assert await asyncio.wait_for(anext(watch), 20) == IDLE
    for running in (1, 2, 3):
        reading.load = replace(IDLE, running=running)
        board.touch()
    assert (await asyncio.wait_for(anext(watch), 20)).running == 3
    await watch.aclose()


async def test_a_touch_without_a_change_says_nothing() -> None:
    reading = Reading()
    board = LoadBoard(reading)
    watch = loads(board)
    await anext(watch)
    following = asyncio.ensure_future(anext(watch))
    board.touch()
    done, _ = await asyncio.wait({following}, timeout=0.3)
    assert not done
    reading.load = replace(IDLE, waiting=1)
    board.touch()
    assert (await asyncio.wait_for(following, 20)).waiting == 1
    await watch.aclose()


async def test_closing_the_board_ends_every_watch_with_the_last_load() -> None:
    reading = Reading()
    board = LoadBoard(reading)
    watches = [loads(board), loads(board)]
    for watch in watches:
        await anext(watch)
    reading.load = replace(IDLE, running=1)
    board.close()
    for watch in watches:
        assert [load async for load in watch] == [reading.load]
