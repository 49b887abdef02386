"""Several streams as one, in the order in which things arrive."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")

AT_A_TIME = 32  # streams that are open together; one request must not fill the queue
BUFFERED = 64


async def merged(
    sources: Sequence[Callable[[], AsyncGenerator[T, None]]],
) -> AsyncGenerator[tuple[int, T], None]:
    """(index of the source, item). The first error ends all of them."""
    letters: asyncio.Queue[tuple[int, T] | Exception | None] = asyncio.Queue(BUFFERED)
    gate = asyncio.Semaphore(AT_A_TIME)

    async def read(index: int) -> None:
        try:
            async with gate, aclosing(sources[index]()) as items:
                async for item in items:
                    await letters.put((index, item))
        except Exception as error:  # the top of a task: the reader raises it
            await letters.put(error)
        else:
            await letters.put(None)

    tasks = [asyncio.create_task(read(index)) for index in range(len(sources))]
    try:
        open_sources = len(tasks)
        while open_sources:
            letter = await letters.get()
            if isinstance(letter, Exception):
                raise letter
            if letter is None:
                open_sources -= 1
            else:
                yield letter
    finally:
        await _end(tasks)


async def all_of(works: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
    """The results in order. The first error ends all of them."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with gate:
            return await work()

    tasks = [asyncio.create_task(run(work)) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
