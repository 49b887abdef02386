"""A gateway's side of a registry in Redis: reads it again and again, believes signed records only."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from baton.core.errors import SettingsError, UnavailableError
from baton.core.worker_info import WorkerInfo
from baton.registry.outage import Outage
from baton.registry.redis_store import RedisStore
from baton.registry.signed_record import UntrustedRecordError, opened

logger = logging.getLogger(__name__)

PERIOD = 2.0  # seconds between two readings when no change is told: leases end without a word

Members = tuple[WorkerInfo, ...]


class RedisDirectory:
    """A Directory. A lease that has ended is no member; who still talks to the worker knows better."""

    def __init__(self, store: RedisStore, secret: str, period: float = PERIOD) -> None:
        self._store = store
        self._secret = secret
        self._period = period
        self._refused: dict[str, bytes] = {}  # worker id -> the record that was complained about
        self._outage = Outage(
            logger,
            away=f"cannot read the registry in Redis at {store.place.shown}, going on with the "
            "workers that are known",
            back=f"reading the registry in Redis at {store.place.shown}",
        )
        self.trouble: str | None = None

    async def subscribe(self) -> AsyncIterator[Members]:
        has_read = False
        last: Members | None = None
        try:
            while True:
                try:
                    async with aclosing(self._readings()) as readings:
                        async for members in readings:
                            has_read = True
                            if members != last:
                                last = members
                                yield members
                except (UnavailableError, SettingsError) as error:
                    # Once it has worked, somebody is changing Redis, and requests still succeed.
                    if isinstance(error, SettingsError) and not has_read:
                        raise
                    self.trouble = "The registry in Redis cannot be read."
                    delay = self._outage.failed(str(error))
                    if last is None:
                        last = ()
                        yield last
                    await asyncio.sleep(delay)
        finally:
            await self._store.close()

    async def _readings(self) -> AsyncGenerator[Members, None]:
        async with self._store.changes() as changes:
            while True:
                members = self._trusted(await self._store.records())
                self.trouble = None
                self._outage.over()
                yield members
                await changes.wait(self._period)

    def _trusted(self, records: dict[str, bytes]) -> Members:
        self._refused = {name: r for name, r in self._refused.items() if records.get(name) == r}
        found = [self._opened(name, record) for name, record in sorted(records.items())]
        return tuple(info for info in found if info is not None)

    def _opened(self, worker_id: str, record: bytes) -> WorkerInfo | None:
        try:
            return opened(record, worker_id, self._secret, self._store.place.prefix)
        except UntrustedRecordError as error:
            if self._refused.get(worker_id) != record:  # one line per record
                self._refused[worker_id] = record
                logger.error("worker %r in Redis is not used: %s", worker_id, error)
            return None
