"""Several streams as one, in the order in which things arrive."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

AT_A_TIME = 32  # streams that are open together; one request must not fill the queue
BUFFERED = 64


@dataclass(frozen=True, slots=True)
class _End:
    """Of one source."""

    error: Exception | None = None


class Streams(Generic[T]):
    """(index of the source, item), as they come; the first error ends all. Leaving the `with` block
    closes what is still open.
    """

    def __init__(self, sources: Sequence[Callable[[], AsyncGenerator[T, None]]]) -> None:
        self._letters: asyncio.Queue[tuple[int, T | _End]] = asyncio.Queue(BUFFERED)
        self._gate = asyncio.Semaphore(AT_A_TIME)
        self._sources = sources
        self._open = set(range(len(sources)))
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Streams[T]":
        self._tasks = [asyncio.create_task(self._read(index)) for index in sorted(self._open)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await _end(self._tasks)

    async def __aiter__(self) -> AsyncIterator[tuple[int, T]]:
        while self._open:
            index, letter = await self._letters.get()
            if index not in self._open:
                continue
            if not isinstance(letter, _End):
                yield index, letter
            elif letter.error is not None:
                raise letter.error
            else:
                self._open.discard(index)

    def stop(self, index: int) -> None:
        """No more is wanted from this source."""
        self._open.discard(index)
        self._tasks[index].cancel()

    async def _read(self, index: int) -> None:
        try:
            async with self._gate, aclosing(self._sources[index]()) as items:
                async for item in items:
                    await self._letters.put((index, item))
        except Exception as error:  # the top of a task: the reader raises it
            await self._letters.put((index, _End(error)))
        else:
            await self._letters.put((index, _End()))


async def merged(
    sources: Sequence[Callable[[], AsyncGenerator[T, None]]],
) -> AsyncGenerator[tuple[int, T], None]:
    """(index of the source, item). The first error ends all of them."""
    async with Streams(sources) as streams:
        async for letter in streams:
            yield letter


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
