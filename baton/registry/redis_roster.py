"""Records of tenants in Redis: what an operator writes there, and what gateways believe of it.

`PREFIX:roster` is a hash, tenant -> signed record, and "" -> a mark that makes it differ from one that
is lost: it stays when the last tenant is removed. It does not expire. `PREFIX:roster-changes` is a
channel: a message there says that it has changed. What a record says is its reader's affair.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from baton.core.errors import SettingsError, UnavailableError
from baton.registry.outage import Outage
from baton.registry.redis_store import RedisStore
from baton.registry.signed_record import UntrustedRecordError, opened_tenant, sign_tenant

logger = logging.getLogger(__name__)

PERIOD = 2.0  # seconds between two readings when no change is told
NOT_YET = "The tenants in Redis have not been read yet."

_PUT = """
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], '', ARGV[2])
redis.call('PUBLISH', ARGV[1], '')
"""
_REMOVE = """
local removed = 0
for i = 3, #ARGV do removed = removed + redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('HSET', KEYS[1], '', ARGV[2])
redis.call('PUBLISH', ARGV[1], '')
return removed
"""
_PUT_BACK = f"if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end {_PUT} return 1"
_READ = "return redis.call('HGETALL', KEYS[1])"
_MARK = "1"

# By name; None: a record that cannot be believed.
Records = Mapping[str, bytes | None]


class RedisRoster:
    """Every call but `run` raises UnavailableError when Redis is away, and SettingsError when
    --redis-url or --redis-prefix is wrong.
    """

    def __init__(self, store: RedisStore, secret: str, period: float = PERIOD) -> None:
        self._store = store
        self._secret = secret
        self._period = period
        self._key = store.place.key("roster")
        self._channel = store.place.key("roster-changes")
        self._latest: dict[str, bytes] = {}  # as they stand there, signed
        self._refused: dict[str, bytes] = {}  # those that were complained about
        self._outage = Outage(
            logger,
            away=f"cannot read the tenants in Redis at {store.place.shown}, going on with those "
            "that are known",
            back=f"reading the tenants in Redis at {store.place.shown}",
        )
        self.trouble: str | None = NOT_YET  # why nothing is known; None: something is
        self.began = asyncio.Event()  # it was read, or found to be away

    async def put(self, bodies: Mapping[str, bytes]) -> None:
        """In place of what these tenants had before; others stay."""
        await self._write(_PUT, self._signed(bodies))

    async def remove(self, names: Iterable[str]) -> int:
        """How many of them were there."""
        words = (self._channel, _MARK, *names)
        removed: int = await self._store.script(_REMOVE, (self._key,), words)
        return removed

    async def read(self) -> Records:
        return {name: self._believed(name, raw) for name, raw in (await self._raw()).items()}

    async def close(self) -> None:
        await self._store.close()

    async def run(self, take: Callable[[Records], None]) -> None:
        """Tells what is there, at once and after every change, until it is cancelled. While Redis is
        away nothing is told; one that has lost all is given back what was there. Raises SettingsError
        where trying again cannot help.
        """
        try:
            while True:
                try:
                    await self._follow(take)
                except (UnavailableError, SettingsError) as error:
                    if isinstance(error, SettingsError) and not self.began.is_set():
                        raise
                    self.began.set()
                    await asyncio.sleep(self._outage.failed(str(error)))
        finally:
            await self.close()

    async def _follow(self, take: Callable[[Records], None]) -> None:
        told: dict[str, bytes] | None = None
        async with self._store.changes(self._channel) as changes:
            while True:
                raw = await self._raw_or_put_back()
                self._outage.over()
                if raw != told:
                    self._latest = told = raw
                    take({name: self._believed(name, record) for name, record in raw.items()})
                self.trouble = None
                self.began.set()
                await changes.wait(self._period)

    async def _raw_or_put_back(self) -> dict[str, bytes]:
        while True:
            raw = await self._raw()
            if raw or not self._latest:
                return raw
            if await self._exists():  # the last one was removed
                return raw
            await self._write(_PUT_BACK, self._latest)
            logger.warning("Redis had lost the tenants: %d were put back", len(self._latest))

    async def _raw(self) -> dict[str, bytes]:
        flat = await self._store.script(_READ, (self._key,), ())
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(errors="replace"): record for name, record in pairs if name}

    async def _exists(self) -> bool:
        return bool(
            await self._store.script("return redis.call('EXISTS', KEYS[1])", (self._key,), ())
        )

    async def _write(self, script: str, records: Mapping[str, bytes]) -> None:
        flat = [part for pair in sorted(records.items()) for part in pair]
        await self._store.script(script, (self._key,), (self._channel, _MARK, *flat))

    def _signed(self, bodies: Mapping[str, bytes]) -> dict[str, bytes]:
        prefix = self._store.place.prefix
        return {n: sign_tenant(n, body, self._secret, prefix) for n, body in bodies.items()}

    def _believed(self, name: str, record: bytes) -> bytes | None:
        try:
            body = opened_tenant(record, name, self._secret, self._store.place.prefix)
        except UntrustedRecordError as error:
            if self._refused.get(name) != record:  # one line per record
                self._refused[name] = record
                logger.error("tenant %r in Redis is not believed: %s", name, error)
            return None
        self._refused.pop(name, None)
        return body
