"""One timer for many waits: who waits for too long is late, who waits again is not."""

import asyncio

from gateway.time_limit import TimeLimit

LONG = 60.0  # seconds; longer than any test


async def test_a_wait_that_lasts_too_long_is_late() -> None:
    late = asyncio.Event()
    TimeLimit(late.set).begin(0.001)
    async with asyncio.timeout(LONG):
        await late.wait()


async def test_a_shorter_wait_is_late_though_a_longer_one_was_begun_before() -> None:
    late = asyncio.Event()
    limit = TimeLimit(late.set)
    limit.begin(LONG)
    limit.end()
    limit.begin(0.001)
    async with asyncio.timeout(LONG):
        await late.wait()
    limit.close()


async def test_the_timer_of_a_wait_that_ended_looks_after_the_next_one() -> None:
    late = asyncio.Event()
    limit = TimeLimit(late.set)
    limit.begin(0.001)
    limit.end()
    limit.begin(0.01)
    async with asyncio.timeout(LONG):
        await late.wait()


async def test_the_timer_of_a_wait_that_ended_does_not_end_the_next_one() -> None:
    calls: list[None] = []
    limit = TimeLimit(lambda: calls.append(None))
    limit.begin(0.001)
    limit.end()
    limit.begin(LONG)
    other = asyncio.Event()
    TimeLimit(other.set).begin(0.01)  # fires behind the first one's timer
    async with asyncio.timeout(LONG):
        await other.wait()
    assert not calls
    limit.close()


async def test_nobody_is_late_who_does_not_wait() -> None:
    calls: list[None] = []
    limit = TimeLimit(lambda: calls.append(None))
    limit.begin(0.001)
    limit.end()
    other = asyncio.Event()
    TimeLimit(other.set).begin(0.01)  # fires behind the first one's timer
    async with asyncio.timeout(LONG):
        await other.wait()
    limit.begin(0.001)
    limit.close()
    other.clear()
    TimeLimit(other.set).begin(0.01)
    async with asyncio.timeout(LONG):
        await other.wait()
    assert not calls
