"""First come, first placed; bounded in length and in time."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from baton.core.aging import OLDEST_EVERY
from baton.core.errors import UnavailableError
from gateway.admission.line import Turn
from gateway.errors import OverloadedError, TooLateError
from gateway.serving.queue import MOST_LANES, AdmissionQueue


class Rooms:
    """So many places; `undone` holds what came back by itself."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.undone: list[str] = []

    def take(self, name: str) -> str | None:
        if self.free == 0:
            return None
        self.free -= 1
        return name

    def queue(self, limit: int = 10, patience: float = 30.0) -> AdmissionQueue[str]:
        return AdmissionQueue(limit, patience, self.undone.append)


async def enter(
    queue: AdmissionQueue[str], rooms: Rooms, name: str, order: list[str]
) -> asyncio.Task[str]:
    async def run() -> str:
        result = await queue.admit(queue.turn(), lambda: rooms.take(name))
        order.append(name)
        return result

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    return task


async def test_with_room_nobody_waits() -> None:
    rooms = Rooms(1)
    queue = rooms.queue()
    assert await queue.admit(queue.turn(), lambda: rooms.take("a")) == "a"
    assert len(queue) == 0


async def test_those_who_wait_are_placed_in_order() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue()
    tasks = [await enter(queue, rooms, name, order) for name in "abc"]
    assert len(queue) == 3
    rooms.free = 2
    queue.pump()
    await asyncio.gather(*tasks[:2])
    assert order == ["a", "b"]
    rooms.free = 1
    queue.pump()
    assert await tasks[2] == "c"


async def test_a_newcomer_does_not_overtake() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue()
    first = await enter(queue, rooms, "a", order)
    rooms.free = 1
    second = await enter(queue, rooms, "b", order)
    queue.pump()
    assert await first == "a"
    second.cancel()


async def test_a_lower_priority_is_placed_earlier_and_equals_in_order() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue()

    async def enter_with(priority: int, name: str) -> asyncio.Task[str]:
        turn = queue.turn(priority)
        task = asyncio.create_task(queue.admit(turn, lambda: rooms.take(name)))
        task.add_done_callback(lambda ended: order.append(ended.result()))
        await asyncio.sleep(0)
        return task

    asked = [(0, "a"), (5, "b"), (-1, "c"), (0, "d"), (-1, "e")]
    tasks = [await enter_with(priority, name) for priority, name in asked]
    rooms.free = 5
    queue.pump()
    await asyncio.gather(*tasks)
    assert "".join(order) == "ceadb"


async def test_one_of_so_many_places_is_for_whoever_waits_longest() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue(limit=2 * OLDEST_EVERY)
    turns = [queue.turn(7), *(queue.turn(-10) for _ in range(OLDEST_EVERY + 1))]
    tasks = []
    for turn in turns:

        async def run(turn: Turn = turn) -> None:
            await queue.admit(turn, lambda: rooms.take("room"))
            order.append(str(turn.priority))

        tasks.append(asyncio.create_task(run()))
        await asyncio.sleep(0)
    rooms.free = len(turns)
    queue.pump()
    await asyncio.gather(*tasks)
    assert order.index("7") == OLDEST_EVERY - 1


async def test_who_is_more_urgent_than_the_head_of_the_line_need_not_wait_behind_it() -> None:
    rooms = Rooms(0)
    queue = rooms.queue()
    task = await enter(queue, rooms, "a", [])
    rooms.free = 1
    assert await queue.admit(queue.turn(-1), lambda: rooms.take("urgent")) == "urgent"
    task.cancel()


async def test_who_comes_back_keeps_the_place_and_is_not_refused_for_length() -> None:
    rooms = Rooms(0)
    queue = rooms.queue(limit=1)
    early = queue.turn()
    later = asyncio.create_task(queue.admit(queue.turn(), lambda: rooms.take("later")))
    await asyncio.sleep(0)
    back = asyncio.create_task(queue.admit(early, lambda: rooms.take("back"), returning=True))
    await asyncio.sleep(0)
    rooms.free = 1
    queue.pump()
    assert await back == "back"
    assert not later.done()
    rooms.free = 1
    queue.pump()
    await later


async def test_who_has_begun_comes_before_all_others_of_the_same_priority() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue()
    turns = [queue.turn(-1), queue.turn(), replace(queue.turn(), begun=True)]
    tasks = []
    for name, turn in zip("abc", turns, strict=True):
        task = asyncio.create_task(queue.admit(turn, lambda name=name: rooms.take(name)))  # type: ignore[misc]
        task.add_done_callback(lambda ended: order.append(ended.result()))
        tasks.append(task)
        await asyncio.sleep(0)
    rooms.free = 3
    queue.pump()
    await asyncio.gather(*tasks)
    assert "".join(order) == "acb"


async def test_a_full_line_refuses_and_says_when_to_come_back() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue(limit=1)
    waiting = await enter(queue, rooms, "a", order)
    with pytest.raises(OverloadedError) as caught:
        await queue.admit(queue.turn(), lambda: rooms.take("b"))
    assert 1 <= caught.value.retry_after <= 30
    waiting.cancel()


async def test_patience_ends() -> None:
    rooms = Rooms(0)
    queue = rooms.queue(patience=0.02)
    with pytest.raises(TooLateError):
        await queue.admit(queue.turn(), lambda: rooms.take("a"))
    assert len(queue) == 0


async def test_who_leaves_the_line_makes_way() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue()
    first = await enter(queue, rooms, "a", order)
    second = await enter(queue, rooms, "b", order)
    rooms.free = 1
    first.cancel()
    assert await second == "b"


async def test_a_placement_that_its_request_cannot_take_is_undone() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue()
    task = await enter(queue, rooms, "a", order)
    rooms.free = 1
    queue.pump()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rooms.undone == ["a"]


async def test_closing_tells_everyone() -> None:
    rooms, order = Rooms(0), list[str]()
    queue = rooms.queue()
    task = await enter(queue, rooms, "a", order)
    queue.close(UnavailableError("closing"))
    with pytest.raises(UnavailableError):
        await task
    rooms.free = 1
    with pytest.raises(UnavailableError):
        await queue.admit(queue.turn(), lambda: rooms.take("b"))


async def test_who_is_particular_keeps_nobody_else_waiting() -> None:
    rooms, order = Rooms(0), list[str]()
    wanted = Rooms(0)
    queue = rooms.queue()

    async def enter_lane(name: str, lane: str | None, where: Rooms) -> asyncio.Task[str]:
        turn = queue.turn(lane=lane)
        task = asyncio.create_task(queue.admit(turn, lambda: where.take(name)))
        task.add_done_callback(lambda ended: order.append(ended.result()))
        await asyncio.sleep(0)
        return task

    first = await enter_lane("a1", "a", wanted)
    second = await enter_lane("a2", "a", wanted)
    plain = await enter_lane("x", None, rooms)
    rooms.free = 2
    queue.pump()
    assert await plain == "x"  # past the lane that waits
    assert await queue.admit(queue.turn(), lambda: rooms.take("y")) == "y"  # and at once
    wanted.free = 1
    late = await enter_lane("a3", "a", wanted)
    assert not late.done()  # but within the lane nobody overtakes
    queue.pump()
    assert await first == "a1"
    wanted.free = 2
    queue.pump()
    assert [await second, await late] == ["a2", "a3"]


async def test_nobody_goes_past_a_head_that_takes_any_worker() -> None:
    rooms = Rooms(0)
    queue, order = rooms.queue(), list[str]()
    plain = await enter(queue, rooms, "x", order)
    roomy = Rooms(1)
    picky = asyncio.create_task(queue.admit(queue.turn(lane="a"), lambda: roomy.take("a")))
    await asyncio.sleep(0)
    queue.pump()
    assert not picky.done()
    rooms.free = 1
    queue.pump()
    assert [await plain, await picky] == ["x", "a"]


async def test_many_lanes_that_wait_are_looked_at_only_so_far() -> None:
    rooms, asked = Rooms(0), list[int]()
    queue = rooms.queue(limit=1000)
    tasks = []

    def find_none(lane: int) -> None:
        asked.append(lane)

    for lane in range(100):
        turn = queue.turn(lane=lane)
        tasks.append(asyncio.create_task(queue.admit(turn, partial(find_none, lane))))
        await asyncio.sleep(0)
    asked.clear()
    queue.pump()
    assert len(asked) <= MOST_LANES + 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
