"""Workers and gateways, as far as a registry in Redis has to do with them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from baton.core.errors import SettingsError
from baton.core.worker_info import WorkerInfo
from baton.registry.redis_directory import RedisDirectory
from baton.registry.redis_membership import Lease, RedisMembership
from baton.registry.redis_place import RedisPlace
from baton.registry.redis_store import RedisStore

SECRET = "the cluster's secret"
QUICK = Lease(length=10.0, heartbeat=0.05)
PERIOD = 0.05  # seconds
Members = tuple[WorkerInfo, ...]


@asynccontextmanager
async def member(
    info: WorkerInfo, place: RedisPlace, secret: str = SECRET, lease: Lease = QUICK
) -> AsyncIterator[tuple[RedisMembership, "asyncio.Task[None]"]]:
    """A worker that joins; leaves at the end as a worker that is told to stop."""
    membership = RedisMembership(info, RedisStore(place, "worker under test"), secret, lease)
    task = asyncio.create_task(membership.run())
    try:
        yield membership, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, SettingsError):
            await task


class Reader:
    """What a gateway has read so far."""

    def __init__(self, directory: RedisDirectory) -> None:
        self.directory = directory
        self.seen: list[Members] = []
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async for members in self.directory.subscribe():
            async with self._changed:
                self.seen.append(members)
                self._changed.notify_all()

    async def until(self, holds: Callable[[Members], bool]) -> Members:
        """The first membership, latest included, for which it holds. Bounded."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: bool(self.seen) and holds(self.seen[-1]))
            return self.seen[-1]

    async def until_named(self, *worker_ids: str) -> Members:
        return await self.until(lambda members: ids(members) == list(worker_ids))


@asynccontextmanager
async def reader(
    place: RedisPlace, secret: str = SECRET, period: float = PERIOD
) -> AsyncIterator[Reader]:
    reading = Reader(RedisDirectory(RedisStore(place, "gateway under test"), secret, period))
    task = asyncio.create_task(reading.run())
    try:
        yield reading
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ids(members: Members) -> list[str]:
    return [info.worker_id for info in members]


async def joined(membership: RedisMembership) -> None:
    async with asyncio.timeout(20):
        await membership.joined.wait()


async def until(holds: Callable[[], bool]) -> None:
    """For what tells nobody when it changes. Bounded."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
