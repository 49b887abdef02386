"""The registry's keys in Redis, and the only place that speaks to it.

`PREFIX:workers` is a hash, worker id -> signed record. `PREFIX:leases` is a sorted set, worker id ->
the moment its lease ends, in milliseconds of Redis's own clock, so that nobody else's clock counts.
Both keys expire with their last lease. `PREFIX:changes` is a channel: a message there says that the
membership has changed. Every step is one script, hence atomic.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from baton.core.errors import SettingsError, UnavailableError
from baton.registry.redis_place import RedisPlace

TIMEOUT = 2.0  # seconds for Redis to take a connection, and to answer
_CONNECTIONS = 4
_HEALTH_CHECK = 10  # seconds of silence after which a connection is tried before it is used

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_RENEW = f"""{_NOW}
local id, record, ttl, channel, overtake = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)
for _, gone in ipairs(ended) do
    redis.call('ZREM', KEYS[2], gone)
    redis.call('HDEL', KEYS[1], gone)
end
local held = redis.call('HGET', KEYS[1], id)
if held and held ~= record and overtake == '0' then return held end
redis.call('HSET', KEYS[1], id, record)
redis.call('ZADD', KEYS[2], now + ttl, id)
for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end
if held ~= record or #ended > 0 then redis.call('PUBLISH', channel, id) end
return false
"""
_LEAVE = """
local id, record, channel = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', KEYS[1], id) ~= record then return end
redis.call('HDEL', KEYS[1], id)
redis.call('ZREM', KEYS[2], id)
redis.call('PUBLISH', channel, id)
"""
_READ = f"""{_NOW}
local found = {{}}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf')) do
    local record = redis.call('HGET', KEYS[1], id)
    if record then
        found[#found + 1] = id
        found[#found + 1] = record
    end
end
return found
"""


class RedisStore:
    """Every call raises UnavailableError when Redis is away, silent or refuses for the moment, and
    SettingsError when it will refuse again: `--redis-url` or `--redis-prefix` is wrong."""

    def __init__(self, place: RedisPlace, client_name: str) -> None:
        self.place = place
        self.connections = _CONNECTIONS  # at most so many calls at a time
        self._keys = (place.key("workers"), place.key("leases"))
        self._channel = place.key("changes")
        self._redis: Redis = Redis.from_url(
            place.url,
            protocol=2,
            max_connections=_CONNECTIONS,
            socket_connect_timeout=TIMEOUT,
            socket_timeout=None,  # its way to bound a write can lose a cancellation; see `bounded`
            health_check_interval=_HEALTH_CHECK,
            retry=Retry(NoBackoff(), 0),  # the callers try again, at their own pace
            client_name=re.sub(r"[^!-~]", "_", client_name),  # all that Redis takes in a name
        )

    async def enter(self, worker_id: str, record: bytes, lease: float) -> None:
        """In place of whoever has that id; for `lease` seconds."""
        await self._renew(worker_id, record, lease, overtake=True)

    async def renew(self, worker_id: str, record: bytes, lease: float) -> bytes | None:
        """None: done, also where the record was lost. Else the record of who has the id now."""
        return await self._renew(worker_id, record, lease, overtake=False)

    async def leave(self, worker_id: str, record: bytes) -> None:
        """Nothing happens when another has the id."""
        await self._eval(_LEAVE, worker_id, record, self._channel)

    async def records(self) -> dict[str, bytes]:
        """worker id -> record of every lease that has not ended."""
        flat = await self._eval(_READ)
        ids, records = flat[::2], flat[1::2]
        return {
            worker_id.decode(errors="replace"): record
            for worker_id, record in zip(ids, records, strict=True)
        }

    @asynccontextmanager
    async def changes(self, channel: str | None = None) -> AsyncIterator["Changes"]:
        """Changes from now on: of the membership, or of what has another channel."""
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        try:
            async with self.bounded():
                await pubsub.subscribe(channel or self._channel)
            yield Changes(self, pubsub)
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        await self._redis.aclose()

    async def _renew(
        self, worker_id: str, record: bytes, lease: float, overtake: bool
    ) -> bytes | None:
        milliseconds = int(lease * 1000)
        held: bytes | None = await self._eval(
            _RENEW, worker_id, record, milliseconds, self._channel, int(overtake)
        )
        return held

    async def script(
        self,
        script: str,
        keys: Sequence[str],
        words: Sequence[str | bytes | float],
        seconds: float = TIMEOUT,
    ) -> Any:
        """For those who keep something else under the same prefix."""
        async with self.bounded(seconds):
            return await self._redis.eval(script, len(keys), *keys, *words)

    async def _eval(self, script: str, *arguments: str | bytes | int) -> Any:
        async with self.bounded():
            return await self._redis.eval(script, len(self._keys), *self._keys, *arguments)

    @asynccontextmanager
    async def bounded(self, seconds: float = TIMEOUT) -> AsyncIterator[None]:
        """Something is asked of Redis: ends in time, and in our errors."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise UnavailableError(f"no answer within {seconds:g} s") from error
        except (exceptions.RedisError, OSError) as error:
            reason = str(error) or type(error).__name__
            if _is_hopeless(error):
                raise SettingsError(
                    f"Redis at {self.place.shown} refuses what --redis-url and --redis-prefix "
                    f"say: {reason}"
                ) from error
            raise UnavailableError(reason) from error


class Changes:
    def __init__(self, store: RedisStore, pubsub: PubSub) -> None:
        self._store = store
        self._pubsub = pubsub

    async def wait(self, seconds: float) -> None:
        """Until something has changed since the last call, at most so long."""
        async with self._store.bounded(seconds + TIMEOUT):
            message = await self._pubsub.get_message(timeout=seconds)
            while message is not None:  # one reading will do for all
                message = await self._pubsub.get_message(timeout=0)


_HOPELESS = (
    exceptions.AuthenticationError,
    exceptions.AuthenticationWrongNumberOfArgsError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
)
# Replies that the client has no class for.
_HOPELESS_WORDS = ("WRONGTYPE", "ACL failure", "DB index", "invalid DB index")


def _is_hopeless(error: Exception) -> bool:
    return isinstance(error, _HOPELESS) or (
        isinstance(error, exceptions.ResponseError) and str(error).startswith(_HOPELESS_WORDS)
    )
