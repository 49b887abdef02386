"""Redis restarts, forgets, hangs, or refuses: what workers and gateways make of it."""

import asyncio
import logging
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from baton.registry.redis_directory import RedisDirectory
from baton.registry.redis_place import RedisPlace
from baton.registry.redis_store import RedisStore
from tests.support.redis_members import SECRET, Reader, ids, joined, member, reader, until
from tests.support.redis_server import RedisUnderTest, redis_under_test
from tests.support.worker_infos import worker_info

DECODE, PREFILL = worker_info("decode-0"), worker_info("prefill-0")


def warnings(caplog: pytest.LogCaptureFixture, start: str) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return [text for text in found if text.startswith(start)]


async def test_workers_join_again_after_redis_came_back_without_its_data(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        member(DECODE, redis.place()) as (membership, task),
        reader(redis.place()) as gateway,
    ):
        await gateway.until_named("decode-0")
        await redis.stop()
        await until(lambda: not membership.joined.is_set())
        await until(lambda: gateway.directory.trouble is not None)
        await redis.start()
        await joined(membership)
        await until(lambda: gateway.directory.trouble is None)
        await gateway.until_named("decode-0")
        assert not task.done()
    assert len(warnings(caplog, "not in the registry in Redis at 127.0.0.1")) == 1
    assert len(warnings(caplog, "joined the registry in Redis at 127.0.0.1")) == 1
    assert len(warnings(caplog, "cannot read the registry in Redis at 127.0.0.1")) == 1
    assert len(warnings(caplog, "reading the registry in Redis at 127.0.0.1")) == 1


async def test_while_redis_is_away_a_gateway_keeps_what_it_has_read(redis: RedisUnderTest) -> None:
    async with member(DECODE, redis.place()), reader(redis.place()) as gateway:
        await gateway.until_named("decode-0")
        await redis.stop()
        await until(lambda: gateway.directory.trouble is not None)
        assert ids(gateway.seen[-1]) == ["decode-0"]
        assert gateway.directory.trouble == "The registry in Redis cannot be read."


async def test_workers_that_died_with_redis_are_gone_after_it(redis: RedisUnderTest) -> None:
    async with reader(redis.place()) as gateway, member(PREFILL, redis.place()):
        async with member(DECODE, redis.place()):
            await gateway.until_named("decode-0", "prefill-0")
            await redis.stop()
        await redis.start()
        await gateway.until_named("prefill-0")


async def test_after_a_flush_workers_are_back_with_their_next_heartbeat(
    redis: RedisUnderTest,
) -> None:
    async with (
        member(DECODE, redis.place()) as (membership, _),
        member(PREFILL, redis.place()) as (other, _),
        redis.client() as client,
    ):
        await joined(membership)
        await joined(other)
        await client.flushall()
        async with reader(redis.place()) as gateway:
            await gateway.until_named("decode-0", "prefill-0")


async def test_workers_and_gateways_that_start_before_redis_find_it_later(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.stop()
    async with member(DECODE, redis.place()) as (membership, _), reader(redis.place()) as gateway:
        assert await gateway.until_named() == ()
        assert gateway.directory.trouble is not None
        await until(lambda: bool(warnings(caplog, "not in the registry")))
        assert not membership.joined.is_set()
        await redis.start()
        await gateway.until_named("decode-0")
        assert gateway.directory.trouble is None


async def test_a_redis_that_hangs_is_an_outage_like_any_other(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        member(DECODE, redis.place()) as (membership, task),
        reader(redis.place()) as gateway,
    ):
        await gateway.until_named("decode-0")
        redis.hang()
        await until(lambda: gateway.directory.trouble is not None)
        await until(lambda: not membership.joined.is_set())
        assert ids(gateway.seen[-1]) == ["decode-0"]
        redis.go_on()
        await joined(membership)
        await until(lambda: gateway.directory.trouble is None)
        assert not task.done()
    assert warnings(caplog, "cannot read")[0].endswith("no answer within 2 s; retrying")


async def test_a_worker_can_stop_while_redis_hangs(redis: RedisUnderTest) -> None:
    async with member(DECODE, redis.place()) as (membership, task):
        await joined(membership)
        redis.hang()
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=20)
        assert done
    redis.go_on()


@pytest.mark.parametrize("password", ["", ":wrong@"])
async def test_a_wrong_password_is_said_and_not_tried_again(tmp_path: Path, password: str) -> None:
    async with redis_under_test(tmp_path, "--requirepass", "right") as redis:
        place = RedisPlace(f"redis://{password}127.0.0.1:{redis.port}")
        async with member(DECODE, place) as (_, task):
            with pytest.raises(SettingsError, match=r"refuses what --redis-url"):
                await asyncio.wait_for(task, 20)
        with pytest.raises(SettingsError, match=r"refuses what --redis-url"):
            await asyncio.wait_for(Reader(directory(place)).run(), 20)
        good = RedisPlace(f"redis://:right@127.0.0.1:{redis.port}")
        async with member(DECODE, good), reader(good) as gateway:
            await gateway.until_named("decode-0")


@pytest.mark.parametrize("words", ["resetkeys ~other:*", "-eval"])
async def test_a_user_who_may_not_use_the_keys_is_said_and_not_tried_again(
    tmp_path: Path, words: str
) -> None:
    acl = ("--user", "default", "on", "nopass", *words.split())
    async with redis_under_test(tmp_path, *acl) as redis:
        async with member(DECODE, redis.place()) as (_, task):
            with pytest.raises(SettingsError, match=r"refuses what --redis-url"):
                await asyncio.wait_for(task, 20)
        with pytest.raises(SettingsError, match=r"refuses what --redis-url"):
            await asyncio.wait_for(Reader(directory(redis.place())).run(), 20)


async def test_rights_to_the_keys_of_the_cluster_alone_suffice(tmp_path: Path) -> None:
    commands = "eval subscribe unsubscribe publish ping select client time hget hset hdel zadd zrem"
    rights = [*(f"+{name}" for name in commands.split()), "+zrangebyscore", "+pttl", "+pexpire"]
    user = ("--user", "baton", "on", ">pass", "~blue:*", "&blue:*", *rights)
    async with redis_under_test(tmp_path, *user) as redis:
        place = RedisPlace(f"redis://baton:pass@127.0.0.1:{redis.port}/0", "blue")
        async with reader(place) as gateway:
            async with member(DECODE, place):
                await gateway.until_named("decode-0")
            await gateway.until_named()


async def test_keys_of_somebody_else_are_said_and_left_alone(redis: RedisUnderTest) -> None:
    async with redis.client() as client:
        await client.set("baton:workers", "not ours")
        await client.set("baton:leases", "not ours")
        async with member(DECODE, redis.place()) as (_, task):
            with pytest.raises(SettingsError, match="--redis-prefix"):
                await asyncio.wait_for(task, 20)
        with pytest.raises(SettingsError, match="--redis-prefix"):
            await asyncio.wait_for(Reader(directory(redis.place())).run(), 20)
        assert await client.get("baton:workers") == b"not ours"


async def test_a_database_that_is_not_there_is_said_and_not_tried_again(
    redis: RedisUnderTest,
) -> None:
    place = RedisPlace(f"{redis.url}/99")
    async with member(DECODE, place) as (_, task):
        with pytest.raises(SettingsError, match="DB index"):
            await asyncio.wait_for(task, 20)


async def test_a_password_that_changes_later_disturbs_nobody(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        member(DECODE, redis.place()) as (membership, task),
        reader(redis.place()) as gateway,
    ):
        await gateway.until_named("decode-0")
        async with redis.client() as client:
            await client.config_set("requirepass", "new")
            for kind in ("normal", "pubsub"):
                await client.client_kill_filter(_type=kind)
            await until(lambda: gateway.directory.trouble is not None)
            await until(lambda: not membership.joined.is_set())
            assert ids(gateway.seen[-1]) == ["decode-0"]
            await client.config_set("requirepass", "")
        await joined(membership)
        await until(lambda: gateway.directory.trouble is None)
        assert not task.done()


def directory(place: RedisPlace) -> RedisDirectory:
    return RedisDirectory(RedisStore(place, "gateway under test"), SECRET)
