"""A worker's side of a registry in Redis: a lease, renewed for as long as the process lives."""

import asyncio
import logging
from dataclasses import dataclass

from baton.core.errors import SettingsError, UnavailableError
from baton.core.worker_info import WorkerInfo
from baton.registry.outage import Outage
from baton.registry.redis_store import RedisStore
from baton.registry.signed_record import UntrustedRecordError, opened, sign

logger = logging.getLogger(__name__)

LEAVE_TIMEOUT = 1.0  # seconds; a Redis that does not answer must not hold up the end


@dataclass(frozen=True, slots=True)
class Lease:
    """Seconds. A lease outlives three heartbeats, so that a Redis that restarts ends none."""

    length: float = 10.0
    heartbeat: float = 3.0


class RedisMembership:
    """`run()` joins and renews until it is cancelled, which leaves.

    `joined` is set while Redis is known to count this worker in.
    """

    def __init__(
        self, info: WorkerInfo, store: RedisStore, secret: str, lease: Lease | None = None
    ) -> None:
        self._id = info.worker_id
        self._store = store
        self._secret = secret
        self._lease = lease or Lease()
        self._record = sign(info, secret, store.place.prefix)
        self._has_entered = False
        self._outage = Outage(
            logger,
            away=f"not in the registry in Redis at {store.place.shown}",
            back=f"joined the registry in Redis at {store.place.shown}",
        )
        self.joined = asyncio.Event()

    async def run(self) -> None:
        """Returns never. Raises SettingsError where trying again cannot help: Redis refuses the
        settings, or another process has joined under the same worker id."""
        try:
            while True:
                delay = await self._beat()
                await asyncio.sleep(delay)
        finally:
            self.joined.clear()
            await self._leave()

    async def _beat(self) -> float:
        """One heartbeat; seconds until the next."""
        try:
            is_mine = await self._renew()
        except (UnavailableError, SettingsError) as error:
            # Once it has worked, somebody is changing Redis, and the worker goes on serving.
            if isinstance(error, SettingsError) and not self._has_entered:
                raise
            self.joined.clear()
            return self._outage.failed(str(error))
        if not is_mine:
            raise SettingsError(
                f"another process has joined as worker {self._id}; give each worker a "
                "--worker-id of its own"
            )
        self._has_entered = True
        self._outage.over()
        self.joined.set()
        return self._lease.heartbeat

    async def _renew(self) -> bool:
        """False: another process has this worker id now."""
        length = self._lease.length
        if self._has_entered:
            other = await self._store.renew(self._id, self._record, length)
            if other is None:
                return True
            if self._is_trusted(other):
                return False
        await self._store.enter(self._id, self._record, length)
        return True

    def _is_trusted(self, record: bytes) -> bool:
        try:
            opened(record, self._id, self._secret, self._store.place.prefix)
        except UntrustedRecordError as error:
            logger.error("replacing a foreign record for %s in Redis: %s", self._id, error)
            return False
        return True

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._store.leave(self._id, self._record)
        except (UnavailableError, SettingsError, TimeoutError) as error:
            logger.info("could not leave the registry (%s); the lease will end", error)
        finally:
            await self._store.close()
