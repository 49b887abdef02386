"""Requests to several gateways, one after the other from each of some clients, until told to stop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.support.clients import Client

PROMPT = list(range(100, 180))


class SteadyLoad:
    """`failures` holds what was not the one right answer."""

    def __init__(self) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._stopping = False
        self._counted = asyncio.Condition()

    async def more(self, count: int) -> None:
        """Until so many further answers have come. Bounded."""
        async with asyncio.timeout(60), self._counted:
            target = self.answers + count
            await self._counted.wait_for(lambda: self.answers >= target or bool(self.failures))
            assert self.failures == []

    def stop(self) -> None:
        self._stopping = True

    async def client(self, url: str, expected: list[int]) -> None:
        async with Client(url) as client:
            while not self._stopping:
                try:
                    (choice,) = await client.complete(PROMPT, max_tokens=8, temperature=0)
                    failure = None if choice.token_ids == expected else f"{choice}"
                except Exception as error:  # whatever it is, it is what the test looks for
                    failure = repr(error)
                async with self._counted:
                    self.answers += 1
                    if failure is not None:
                        self.failures.append(f"{url}: {failure}")
                    self._counted.notify_all()


@asynccontextmanager
async def steady_load(urls: Sequence[str], clients: int = 3) -> AsyncIterator[SteadyLoad]:
    """So many clients at each of the gateways; at the end all must have succeeded."""
    async with Client(urls[0]) as client:
        (first,) = await client.complete(PROMPT, max_tokens=8, temperature=0)
    load = SteadyLoad()
    running = [
        asyncio.create_task(load.client(url, first.token_ids))
        for url in urls
        for _ in range(clients)
    ]
    try:
        yield load
        load.stop()
        await asyncio.gather(*running)
        assert load.failures == []
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
