"""A stream of items that somebody else may end."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from gateway.serving.until import until_set


class FakeSource:
    """Yields 1 and 2, then waits forever, ends or breaks."""

    def __init__(self, then: str) -> None:
        self.closed = False
        self._then = then

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
            if self._then == "waits":
                await asyncio.Event().wait()
            if self._then == "breaks":
                raise ValueError("broke")
        finally:
            self.closed = True


async def test_it_ends_with_its_source() -> None:
    source = FakeSource("ends")
    assert [item async for item in until_set(asyncio.Event(), source.items())] == [1, 2]
    assert source.closed


async def test_it_ends_when_told_and_closes_its_source() -> None:
    stop, source, seen = asyncio.Event(), FakeSource("waits"), []
    async with asyncio.timeout(30):
        async for item in until_set(stop, source.items()):
            seen.append(item)
            if item == 2:
                asyncio.get_running_loop().call_soon(stop.set)
    assert seen == [1, 2]
    assert source.closed


async def test_what_breaks_its_source_comes_out() -> None:
    with pytest.raises(ValueError, match="broke"):
        async for _ in until_set(asyncio.Event(), FakeSource("breaks").items()):
            pass


async def test_closing_it_closes_its_source() -> None:
    source = FakeSource("waits")
    items = until_set(asyncio.Event(), source.items())
    assert await anext(items) == 1
    await items.aclose()
    assert source.closed
