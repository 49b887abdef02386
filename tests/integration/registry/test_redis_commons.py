"""Gateways that count together in a real Redis."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from baton.registry.quota import Bound, Quota
from baton.registry.redis_commons import RedisCommons
from baton.registry.redis_place import RedisPlace
from baton.registry.redis_store import TIMEOUT, RedisStore
from gateway.admission.shares import Bill, Shares
from tests.support.redis_members import until
from tests.support.redis_server import RedisUnderTest


class HoldingStore(RedisStore):
    """What is told in the background waits on its way while `free` is not set."""

    def __init__(self, place: RedisPlace, client_name: str) -> None:
        super().__init__(place, client_name)
        self.free = asyncio.Event()
        self.free.set()
        self.held = asyncio.Event()
        self.told = 0

    async def script(
        self,
        script: str,
        keys: Sequence[str],
        words: Sequence[str | bytes | float],
        seconds: float = TIMEOUT,
    ) -> Any:
        if not keys and not self.free.is_set():
            self.held.set()
            await self.free.wait()
        found = await super().script(script, keys, words, seconds)
        self.told += not keys
        return found


@asynccontextmanager
async def gateway(
    redis: RedisUnderTest, shares: Shares | None = None, store: RedisStore | None = None
) -> AsyncIterator[RedisCommons]:
    commons = RedisCommons(store or RedisStore(redis.place(), "gateway under test"))
    running = asyncio.create_task(commons.run({"m": shares or Shares()}))
    try:
        yield commons
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def admitted(commons: RedisCommons, quota: Quota, tokens: float = 10.0) -> bool:
    return (await commons.admit("t", quota, tokens)).bound is Bound.NONE


async def test_two_gateways_keep_one_limit_of_requests(redis: RedisUnderTest) -> None:
    quota = Quota(requests_per_minute=200)
    async with gateway(redis) as one, gateway(redis) as two:
        loop = asyncio.get_running_loop()
        began = loop.time()
        granted = 0
        for _ in range(20):
            asks = [admitted(commons, quota) for commons in (one, two) for _ in range(10)]
            granted += sum(await asyncio.gather(*asks))
        allowed = 200 + 200 / 60 * (loop.time() - began)
        assert 0.95 * 200 <= granted <= 1.05 * allowed


async def test_two_gateways_keep_one_limit_of_tokens_by_what_was_really_used(
    redis: RedisUnderTest,
) -> None:
    quota = Quota(tokens_per_minute=10_000)
    used = 0
    async with gateway(redis) as one, gateway(redis) as two:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for turn in range(400):
            commons = (one, two)[turn % 2]
            if await admitted(commons, quota, tokens=100):
                commons.settle("t", quota, 0, 60 - 100)
                used += 60
        await until(lambda: not one._settled and not two._settled)
        while await admitted(one, quota, tokens=60):
            one.settle("t", quota, 0, 0)
            used += 60
        allowed = 10_000 + 10_000 / 60 * (loop.time() - began)
        assert 0.95 * 10_000 <= used <= 1.05 * allowed


async def test_what_is_told_late_takes_back_nothing_that_was_granted_since(
    redis: RedisUnderTest,
) -> None:
    quota, store = Quota(concurrent_requests=2), HoldingStore(redis.place(), "gateway under test")
    async with gateway(redis, store=store) as one, gateway(redis) as two:
        assert await admitted(one, quota)
        await until(lambda: store.told > 0)
        store.free.clear()
        one.settle("t", quota, 0, 0)  # nothing runs: that is told, and overtaken
        async with asyncio.timeout(20):
            await store.held.wait()
        assert await admitted(one, quota)
        assert await admitted(one, quota)
        told = store.told
        store.free.set()
        await until(lambda: store.told > told)
        assert not await admitted(two, quota)


async def test_running_requests_are_counted_in_all_gateways_and_a_killed_one_is_forgotten(
    redis: RedisUnderTest,
) -> None:
    quota = Quota(concurrent_requests=3)
    async with gateway(redis) as one:
        async with gateway(redis) as two:
            assert await admitted(one, quota)
            assert await admitted(two, quota)
            assert await admitted(two, quota)
            assert not await admitted(one, quota)
            two.settle("t", quota, 0, 0)
            await until(lambda: not two._news.is_set())
            await until_async(one, quota)
        # The other one has left in order: what ran there is not counted any more.
        one.settle("t", quota, 0, 0)
        assert await admitted(one, quota)
        assert await admitted(one, quota)
        # One that is killed is believed for as long as its lease.
        killed = RedisCommons(RedisStore(redis.place(), "killed gateway"), lease=0.05)
        one.settle("t", quota, 0, 0)
        await until_async(killed, quota)
        await killed._store.close()
        await until_async(one, quota)


async def until_async(commons: RedisCommons, quota: Quota) -> None:
    """Until one more is let in. Bounded."""
    async with asyncio.timeout(20):
        while not await admitted(commons, quota):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_one_gateway_served_counts_in_the_lines_of_all(redis: RedisUnderTest) -> None:
    one, two = Shares(), Shares()
    async with gateway(redis, one) as first, gateway(redis, two):
        one.charge(Bill("a", 2.0, 100))
        first._news.set()
        await until(lambda: two.time_of("a") == 50)
        one.charge(Bill("a", 2.0, 20))
        two.charge(Bill("a", 2.0, 40))
        await until(lambda: one.time_of("a") == two.time_of("a") == 80)


async def test_a_worker_that_one_gateway_doubts_is_doubted_by_all(redis: RedisUnderTest) -> None:
    async with gateway(redis) as one, gateway(redis) as two:
        one.doubt("w")
        await until(lambda: two.doubts("w"))
        assert not two.doubts("other")


async def test_without_redis_each_goes_on_with_its_part_from_what_was_left(
    redis: RedisUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    quota = Quota(requests_per_minute=100)
    async with gateway(redis) as one, gateway(redis) as two:
        await until(lambda: one._gateways == two._gateways == 2)
        assert all([await admitted(one, quota) for _ in range(80)])
        await redis.stop()
        alone = [await admitted(one, quota) for _ in range(60)]
        assert 15 <= sum(alone) <= 30  # 20 were left, and few have come since
        both = [await admitted(two, quota) for _ in range(100)]
        assert 45 <= sum(both) <= 60  # half of what it knew of
        away = [r for r in caplog.records if "cannot reach Redis" in r.message]
        assert len(away) == 2  # once per gateway
        await redis.start()
        await until(lambda: not one._away and not two._away)
        # Redis has lost all, and is told what is left.
        assert sum([await admitted(one, quota) for _ in range(60)]) < 20


@dataclass
class Load:
    """Clients of one tenant who ask both gateways all the time, and what they were granted."""

    quota: Quota
    asked: int = 0
    granted: int = 0
    out_of_requests: int = 0
    running: int = 0
    most_running: int = 0

    async def client(self, commons: RedisCommons, draw: random.Random) -> None:
        while True:
            verdict = await commons.admit("t", self.quota, 10.0)
            self.asked += 1
            if verdict.bound is Bound.NONE:
                self.granted += 1
                self.running += 1
                self.most_running = max(self.most_running, self.running)
                await asyncio.sleep(draw.uniform(0.0, 0.01))  # its answer
                self.running -= 1
                commons.settle("t", self.quota, 0, 0)
            elif verdict.bound is Bound.REQUESTS:
                self.out_of_requests += 1
            await asyncio.sleep(draw.uniform(0.0, 0.01))

    async def goes_on(self) -> None:
        """Until a hundred more were answered."""
        before = self.asked
        await until(lambda: self.asked >= before + 100)


@asynccontextmanager
async def load_on(gateways: Sequence[RedisCommons], quota: Quota) -> AsyncIterator[Load]:
    load, draw = Load(quota), random.Random(1)
    clients = [
        asyncio.create_task(load.client(commons, draw)) for commons in gateways for _ in range(8)
    ]
    try:
        yield load
        assert not any(client.done() for client in clients), "no request fails"
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def test_killed_and_started_again_under_load_it_gives_no_tenant_more_than_is_bounded(
    redis: RedisUnderTest,
) -> None:
    """A Redis that comes back without its data would give each tenant its whole minute again."""
    quota, times = Quota(requests_per_minute=300, concurrent_requests=6), 3
    loop = asyncio.get_running_loop()
    async with gateway(redis) as one, gateway(redis) as two:
        await until(lambda: one._gateways == two._gateways == 2)
        began = loop.time()
        async with load_on((one, two), quota) as load:
            await until(lambda: load.out_of_requests > 0)
            for _ in range(times):
                await redis.stop()
                await until(lambda: one._away and two._away)
                await load.goes_on()
                await redis.start()
                await until(lambda: not one._away and not two._away)
                await load.goes_on()
            refilled = 300 / 60 * (loop.time() - began)
            # What each knew to be left when it was alone, and was the other's as well: next to nothing.
            assert 300 <= load.granted <= 1.05 * (300 + refilled) + times * 10
            assert load.most_running <= 2 * 6


async def test_after_an_outage_under_load_no_running_request_is_counted_that_has_ended(
    redis: RedisUnderTest,
) -> None:
    quota = Quota(concurrent_requests=4)
    async with gateway(redis) as one, gateway(redis) as two:
        async with load_on((one, two), quota) as load:
            await load.goes_on()
            await redis.stop()
            await until(lambda: one._away and two._away)
            await load.goes_on()
            await redis.start()
            await until(lambda: not one._away and not two._away)
            await load.goes_on()
        for commons in (one, two):
            while commons._local.account("t").running:  # of clients that were cancelled
                commons.settle("t", quota, 0, 0)
        for _ in range(4):
            await until_async(one, quota)
        assert not await admitted(one, quota)
        assert not await admitted(two, quota)


async def test_a_redis_that_hangs_holds_no_request_up_twice(redis: RedisUnderTest) -> None:
    quota = Quota(requests_per_minute=1000)
    async with gateway(redis) as one:
        assert await admitted(one, quota)
        redis.hang()
        async with asyncio.timeout(20):
            assert all(await asyncio.gather(*(admitted(one, quota) for _ in range(50))))
        assert one._away
        redis.go_on()
        await until(lambda: not one._away)
        assert await admitted(one, quota)


async def test_nothing_is_left_when_the_last_gateway_has_gone_but_what_expires(
    redis: RedisUnderTest,
) -> None:
    async with gateway(redis) as one:
        await until(lambda: one._gateways == 1)
        await admitted(one, Quota(requests_per_minute=5))
    async with redis.client() as client:
        for key in await redis.keys():
            assert await client.pttl(key) > 0, key
