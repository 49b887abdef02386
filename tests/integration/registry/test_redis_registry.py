"""Workers joining and leaving over a real Redis."""

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from baton.core.errors import SettingsError
from baton.registry.redis_membership import Lease
from baton.registry.redis_store import RedisStore
from baton.registry.signed_record import sign
from tests.support.redis_members import SECRET, joined, member, reader, until
from tests.support.redis_server import RedisUnderTest
from tests.support.worker_infos import worker_info

FOR_EVER = Lease(length=3600.0, heartbeat=3600.0)
DECODE, PREFILL = worker_info("decode-0"), worker_info("prefill-0")


async def test_a_worker_joins_with_its_whole_description(redis: RedisUnderTest) -> None:
    async with member(DECODE, redis.place()), reader(redis.place()) as gateway:
        assert await gateway.until_named("decode-0") == (DECODE,)


async def test_workers_come_and_go_and_every_gateway_hears_of_it(redis: RedisUnderTest) -> None:
    place = redis.place()
    # Nothing is read a second time here, unless a change was told.
    async with reader(place, period=3600) as one, reader(place, period=3600) as other:
        for gateway in (one, other):
            await gateway.until_named()
        async with member(DECODE, place, lease=FOR_EVER):
            for gateway in (one, other):
                await gateway.until_named("decode-0")
            async with member(PREFILL, place, lease=FOR_EVER):
                for gateway in (one, other):
                    await gateway.until_named("decode-0", "prefill-0")
            for gateway in (one, other):
                await gateway.until_named("decode-0")


async def test_when_the_last_worker_has_left_no_key_is_left(redis: RedisUnderTest) -> None:
    async with member(DECODE, redis.place()) as (one, _):
        async with member(PREFILL, redis.place()) as (other, _):
            await joined(one)
            await joined(other)
            assert await redis.keys() == ["baton:leases", "baton:workers"]
        assert await redis.keys() == ["baton:leases", "baton:workers"]
    assert await redis.keys() == []


async def test_a_lease_that_nobody_renews_ends(redis: RedisUnderTest) -> None:
    async with reader(redis.place()) as gateway, member(PREFILL, redis.place()):
        store = RedisStore(redis.place(), "died")
        record = sign(DECODE, SECRET, "baton")
        await store.enter("decode-0", record, 3600.0)
        await gateway.until_named("decode-0", "prefill-0")
        await store.renew("decode-0", record, 0.2)
        await store.close()
        await gateway.until_named("prefill-0")


async def test_of_workers_that_all_died_no_key_is_left(redis: RedisUnderTest) -> None:
    store = RedisStore(redis.place(), "died")
    for info, lease in ((DECODE, 0.4), (PREFILL, 0.2)):
        await store.enter(info.worker_id, sign(info, SECRET, "baton"), lease)
    async with asyncio.timeout(20):
        while await redis.keys():  # noqa: ASYNC110 Redis tells nobody
            await asyncio.sleep(0.05)
    await store.close()


async def test_a_newer_instance_replaces_the_older_and_tells_it(redis: RedisUnderTest) -> None:
    older, newer = worker_info(instance_id="older"), worker_info(instance_id="newer")
    async with member(older, redis.place()) as (first, first_task):
        await joined(first)
        async with member(newer, redis.place()) as (second, second_task):
            await joined(second)
            with pytest.raises(SettingsError, match=r"joined as worker prefill-0.*--worker-id"):
                await asyncio.wait_for(first_task, 20)
            async with reader(redis.place()) as gateway:
                assert await gateway.until_named("prefill-0") == (newer,)
            assert not second_task.done()


async def test_clusters_with_a_prefix_of_their_own_do_not_meet(redis: RedisUnderTest) -> None:
    async with AsyncExitStack() as stack:
        for info, prefix in ((DECODE, "blue"), (PREFILL, "green")):
            membership, _ = await stack.enter_async_context(member(info, redis.place(prefix)))
            await joined(membership)
        blue = await stack.enter_async_context(reader(redis.place("blue")))
        green = await stack.enter_async_context(reader(redis.place("green")))
        assert await blue.until_named("decode-0") == (DECODE,)
        assert await green.until_named("prefill-0") == (PREFILL,)


async def test_a_record_without_the_secret_is_said_once_and_never_used(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(DECODE, redis.place(), secret="guess") as (guesser, _):
        await joined(guesser)
        async with reader(redis.place()) as gateway, member(PREFILL, redis.place()):
            await gateway.until_named("prefill-0")
            async with member(worker_info("prefill-1"), redis.place()):
                await gateway.until_named("prefill-0", "prefill-1")
            await gateway.until_named("prefill-0")
            assert not any("decode-0" in str(members) for members in gateway.seen)
    told = [r.getMessage() for r in caplog.records if "is not used" in r.getMessage()]
    assert told == [
        "worker 'decode-0' in Redis is not used: it is not signed with this cluster's secret"
    ]


async def test_a_record_without_the_secret_drives_no_worker_away(redis: RedisUnderTest) -> None:
    async with (
        member(DECODE, redis.place()) as (membership, task),
        redis.client() as client,
        reader(redis.place()) as gateway,
    ):
        await joined(membership)
        await gateway.until_named("decode-0")
        await client.hset("baton:workers", "decode-0", b"me instead")
        async with asyncio.timeout(20):
            while await client.hget("baton:workers", "decode-0") == b"me instead":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await gateway.until_named("decode-0") == (DECODE,)
        assert not task.done()


async def test_the_secret_is_nowhere_in_redis(redis: RedisUnderTest) -> None:
    async with member(DECODE, redis.place()) as (membership, _), redis.client() as client:
        await joined(membership)
        held = await client.hgetall("baton:workers")
        assert list(held) == [b"decode-0"]
        assert all(SECRET.encode() not in value for value in held.values())


async def test_connections_are_few_and_named(redis: RedisUnderTest) -> None:
    async with (
        member(worker_info("decode 0"), redis.place()) as (membership, _),
        reader(redis.place()) as gateway,
        redis.client() as client,
    ):
        await joined(membership)
        await gateway.until_named("decode 0")
        names = sorted(entry["name"] for entry in await client.client_list() if entry["name"])
        assert names == ["gateway_under_test"] * 2 + ["worker_under_test"]
    async with redis.client() as client:
        async with asyncio.timeout(20):
            while [e for e in await client.client_list() if e["name"]]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_socket_in_the_file_system_serves_as_well(redis: RedisUnderTest) -> None:
    place = type(redis.place())(f"unix://{redis.socket}?db=1")
    place.check()
    async with member(DECODE, place), reader(place) as gateway:
        await gateway.until_named("decode-0")


async def test_beats_do_not_wake_the_gateways(redis: RedisUnderTest) -> None:
    async with member(DECODE, redis.place()) as (membership, _), redis.client() as client:
        await joined(membership)
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        await pubsub.subscribe("baton:changes")
        before = await _evals(client)
        async with asyncio.timeout(20):
            while await _evals(client) < before + 5:  # noqa: ASYNC110 Redis tells nobody
                await asyncio.sleep(0.01)
        heard = [await pubsub.get_message(timeout=0.05) for _ in range(3)]
        assert heard == [None] * 3
        await pubsub.aclose()  # type: ignore[no-untyped-call]


async def _evals(client: Redis) -> int:
    stats = await client.info("commandstats")
    return int(stats["cmdstat_eval"]["calls"])


async def test_a_gateway_says_nothing_of_a_registry_that_works(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(DECODE, redis.place()), reader(redis.place()) as gateway:
        await gateway.until_named("decode-0")
        await until(lambda: gateway.directory.trouble is None)
    ours = [r for r in caplog.records if r.name.startswith("baton.")]
    assert [r for r in ours if r.levelno >= logging.WARNING] == []
