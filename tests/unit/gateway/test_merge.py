"""Several streams as one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import pytest

from baton.core.errors import UnavailableError
from gateway.serving.merge import AT_A_TIME, Streams, all_of, merged


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def test_everything_arrives_in_order_within_its_source() -> None:
    sources = [partial(numbers, 3 + i) for i in range(2 * AT_A_TIME)]
    seen: dict[int, list[int]] = {i: [] for i in range(len(sources))}
    async with aclosing(merged(sources)) as letters:
        async for index, number in letters:
            seen[index].append(number)
    assert seen == {i: list(range(3 + i)) for i in range(len(sources))}


async def test_the_first_error_ends_all() -> None:
    ended = asyncio.Event()

    async def breaks() -> AsyncGenerator[int, None]:
        yield 1
        raise UnavailableError("x")

    async def waits() -> AsyncGenerator[int, None]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            ended.set()

    async with aclosing(merged([breaks, waits])) as letters:
        assert await anext(letters) == (0, 1)
        with pytest.raises(UnavailableError):
            await anext(letters)
    assert ended.is_set()


async def test_leaving_early_ends_sources_that_wait_to_be_read() -> None:
    async with aclosing(merged([partial(numbers, 10_000)] * 3)) as letters:
        async for _ in letters:
            break


async def test_a_source_that_is_added_while_all_places_are_taken_may_begin_at_once() -> None:
    go = asyncio.Event()

    async def waits() -> AsyncGenerator[int, None]:
        await go.wait()
        yield 1

    async with Streams([waits] * AT_A_TIME) as streams, asyncio.timeout(20):
        streams.add(partial(numbers, 1))
        streams.add(partial(numbers, 2), at_once=True)
        letters = aiter(streams)
        assert [await anext(letters) for _ in range(2)] == [(AT_A_TIME + 1, n) for n in (0, 1)]
        go.set()
        rest = [letter async for letter in letters]
    assert rest.count((AT_A_TIME, 0)) == 1
    assert len(rest) == AT_A_TIME + 1


async def test_results_come_in_order_and_an_error_cancels_the_rest() -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    assert await all_of([partial(double, n) for n in range(40)]) == [2 * n for n in range(40)]
    ended = asyncio.Event()

    async def fails() -> int:
        raise UnavailableError("x")

    async def waits() -> int:
        try:
            return await asyncio.Future[int]()
        finally:
            ended.set()

    with pytest.raises(UnavailableError):
        await all_of([waits, fails])
    assert ended.is_set()
