"""Several streams as one, in the order in which things arrive."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Source = Callable[[], AsyncGenerator[T, None]]

AT_A_TIME = 32  # streams that are open together; one request must not fill the queue
BUFFERED = 64


@dataclass(frozen=True, slots=True)
class _End:
    """Of one source."""

    error: Exception | None = None


class Streams(Generic[T]):
    """(index of the source, item), as they come; the first error ends all. Leaving the `with` block
    closes what is still open. Sources are numbered as they are added.
    """

    def __init__(self, sources: Sequence[Source[T]] = ()) -> None:
        self._letters: asyncio.Queue[tuple[int, T | _End]] = asyncio.Queue(BUFFERED)
        self._gate = asyncio.Semaphore(AT_A_TIME)
        self._sources = sources
        self._open: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Streams[T]":
        for source in self._sources:
            self.add(source)
        return self

    def add(self, source: Source[T], at_once: bool = False) -> None:
        """One more. `at_once`: it has begun already, and does not wait for others to end."""
        index = len(self._tasks)
        self._open.add(index)
        gate = nullcontext() if at_once else self._gate
        self._tasks.append(asyncio.create_task(self._read(index, source, gate)))

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

    async def _read(
        self, index: int, source: Source[T], gate: AbstractAsyncContextManager[None]
    ) -> None:
        try:
            async with gate, aclosing(source()) as items:
                async for item in items:
                    await self._letters.put((index, item))
        except Exception as error:  # the top of a task: the reader raises it
            await self._letters.put((index, _End(error)))
        else:
            await self._letters.put((index, _End()))


async def merged(
    sources: Sequence[Source[T]],
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
