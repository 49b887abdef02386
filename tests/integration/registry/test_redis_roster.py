"""Records of tenants in a real Redis: put, told of, lost, and not believed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from baton.core.errors import SettingsError
from baton.registry.redis_roster import Records, RedisRoster
from baton.registry.redis_store import RedisStore
from baton.registry.signed_record import sign_tenant
from tests.support.redis_members import SECRET, until
from tests.support.redis_server import RedisUnderTest

NEVER = 3600.0  # seconds


class Follower:
    def __init__(self, roster: RedisRoster) -> None:
        self.roster = roster
        self.latest: Records = {}

    def take(self, records: Records) -> None:
        self.latest = records

    async def until(self, holds: Callable[[Records], bool]) -> None:
        await until(lambda: holds(self.latest))


@asynccontextmanager
async def following(redis: RedisUnderTest, period: float = 0.05) -> AsyncIterator[Follower]:
    """A gateway's side of it."""
    follower = Follower(roster(redis, period=period))
    task = asyncio.create_task(follower.roster.run(follower.take))
    try:
        async with asyncio.timeout(20):
            await follower.roster.began.wait()
        yield follower
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def roster(redis: RedisUnderTest, secret: str = SECRET, period: float = NEVER) -> RedisRoster:
    return RedisRoster(RedisStore(redis.place(), "tenants under test"), secret, period)


@asynccontextmanager
async def operator(redis: RedisUnderTest, secret: str = SECRET) -> AsyncIterator[RedisRoster]:
    writing = roster(redis, secret)
    try:
        yield writing
    finally:
        await writing.close()


async def test_what_is_put_and_removed_is_told_without_waiting(redis: RedisUnderTest) -> None:
    async with operator(redis) as writing, following(redis, NEVER) as one, following(redis, NEVER):
        await writing.put({"a": b"1", "b": b"2"})
        await one.until(lambda found: found == {"a": b"1", "b": b"2"})
        await writing.put({"a": b"3"})
        await one.until(lambda found: found == {"a": b"3", "b": b"2"})
        assert await writing.remove(["a", "nobody"]) == 1
        await one.until(lambda found: found == {"b": b"2"})
        assert await writing.read() == {"b": b"2"}


async def test_what_redis_has_lost_is_put_back_and_what_was_removed_is_not(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(redis) as one, following(redis) as two:
        async with operator(redis) as writing:
            await writing.put({"a": b"1"})
            for each in (one, two):
                await each.until(lambda found: found == {"a": b"1"})
        await redis.stop()
        await until(lambda: "cannot read the tenants in Redis" in caplog.text)
        assert one.latest == two.latest == {"a": b"1"}
        await redis.start()
        async with operator(redis) as writing, asyncio.timeout(20):
            while await writing.read() != {"a": b"1"}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "1 were put back" in caplog.text
        async with operator(redis) as writing:
            await writing.remove(["a"])
            for each in (one, two):
                await each.until(lambda found: found == {})
            assert await writing.read() == {}


async def test_a_record_that_others_wrote_is_named_once_and_not_believed(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with operator(redis) as writing, operator(redis, "guess") as guessing:
        await writing.put({"a": b"1", "b": b"2"})
        async with following(redis) as one:
            await guessing.put({"a": b"bad"})
            await one.until(lambda found: found == {"a": None, "b": b"2"})
            async with redis.client() as client:  # a true record, under another name
                await client.hset("baton:roster", "c", sign_tenant("b", b"2", SECRET, "baton"))
            await one.until(lambda found: found == {"a": None, "b": b"2", "c": None})
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert [line.split(":")[0] for line in told] == [
        "tenant 'a' in Redis is not believed",
        "tenant 'c' in Redis is not believed",
    ]


async def test_a_redis_that_is_away_at_the_start_is_waited_for(redis: RedisUnderTest) -> None:
    await redis.stop()
    async with following(redis) as one:
        assert one.roster.trouble is not None
        await redis.start()
        await until(lambda: one.roster.trouble is None)


async def test_a_key_of_another_kind_stops_the_start(redis: RedisUnderTest) -> None:
    async with redis.client() as client:
        await client.set("baton:roster", "a text")
    with pytest.raises(SettingsError, match="--redis-prefix"):
        await asyncio.wait_for(roster(redis).run(lambda _: None), 20)
