"""A stream of items that somebody else may end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def until_set(stop: asyncio.Event, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Ends with `items`, or as soon as `stop` is set; `items` is closed then."""
    stopping = asyncio.create_task(stop.wait())
    try:
        async with aclosing(items):
            while True:
                coming = asyncio.create_task(_next(items))
                try:
                    await asyncio.wait({stopping, coming}, return_when=asyncio.FIRST_COMPLETED)
                    if stopping.done():
                        return
                    found = coming.result()
                finally:
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
                if not found:
                    return
                yield found[0]
    finally:
        stopping.cancel()


async def _next(items: AsyncGenerator[T, None]) -> list[T]:
    """Empty at the end."""
    async for item in items:
        return [item]
    return []
