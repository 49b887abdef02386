"""What gateways know together, in Redis. The admission of a request is one script; everything else is
told and learnt by one script in the background, for all requests at once.

`PREFIX:tenant:NAME` is a hash: `r` and `t`, requests and tokens left at the moment `at`; `c:GATEWAY`,
its requests that run there, the moment until which that gateway is believed, and a number that grows
with each time it tells them: scripts go over several connections, and one may overtake another.
`PREFIX:times:MODEL` is a hash, tenant -> virtual time among those who ask for that model. `PREFIX:doubts`
is a sorted set, instance id -> until when. `PREFIX:gateways`
is one of gateways. Moments are milliseconds of Redis's own clock. All keys expire.
"""

import asyncio
import itertools
import json
import logging
import secrets
from collections.abc import Iterable, Mapping

from baton.core.errors import SettingsError, UnavailableError
from baton.registry.commons import DOUBTED_FOR, FairTimes, LocalCommons
from baton.registry.outage import Outage
from baton.registry.quota import Bound, Quota, Verdict, numbers
from baton.registry.redis_store import RedisStore

logger = logging.getLogger(__name__)

LEASE = 10.0  # seconds that a gateway is believed without a word
PERIOD = 0.5  # seconds between two exchanges when there is nothing to tell
SHORTEST = 0.05  # seconds between two exchanges
ANSWER = 0.25  # seconds that a request waits for Redis; then it is away
LEAVE = 1.0  # seconds for a last word

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function number(value) return string.format('%.17g', value) end
local function full(limit) if limit < 0 then return 1e18 else return limit end end
local function level(stored, at, full)
    return math.min(full, stored + math.max(0, now - at) * full / 60000)
end
"""
_ADMIT = f"""{_NOW}
local gateway, lease, mine = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local rpm, tpm, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local tokens, r, t = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local telling, told = tonumber(ARGV[10]), 0
local flat, running, at = redis.call('HGETALL', KEYS[1]), mine, now
for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if name == 'r' then r = tonumber(value)
    elseif name == 't' then t = tonumber(value)
    elseif name == 'at' then at = tonumber(value)
    elseif name == 'c:' .. gateway then
        told = tonumber(string.match(value, '%d+ %d+ (%d+)') or '0')
    else
        local count, ends = string.match(value, '(%d+) (%d+)')
        if tonumber(ends) > now then running = running + count
        else redis.call('HDEL', KEYS[1], name) end
    end
end
r, t = level(r, at, full(rpm)), level(t, at, full(tpm))
local bound, wait = 0, 0
if most >= 0 and running >= most then bound, wait = 1, 1
elseif rpm >= 0 and r < 1 then bound, wait = 2, (1 - r) * 60 / rpm
elseif tpm >= 0 and t < math.min(tokens, tpm) then
    bound, wait = 3, (math.min(tokens, tpm) - t) * 60 / tpm
end
if bound == 0 then
    r, t = r - 1, t - tokens
    redis.call('HSET', KEYS[1], 'r', number(r), 't', number(t), 'at', now)
    if telling > told then
        redis.call('HSET', KEYS[1], 'c:' .. gateway,
            (mine + 1) .. ' ' .. (now + lease) .. ' ' .. string.format('%.0f', telling))
    end
    local debts = 0
    if tpm > 0 then debts = math.max(0, -t) / tpm end
    redis.call('PEXPIRE', KEYS[1], math.ceil((debts + 2) * 60000))
end
return {{bound, number(wait), number(r), number(t)}}
"""
_EXCHANGE = f"""{_NOW}
local said = cjson.decode(ARGV[1])
local prefix, ends = said.prefix, now + said.lease
for name, count in pairs(said.running) do
    local key, field = prefix .. ':tenant:' .. name, 'c:' .. said.gateway
    local value = redis.call('HGET', key, field)
    local told = value and tonumber(string.match(value, '%d+ %d+ (%d+)') or '0') or 0
    if said.telling > told and redis.call('EXISTS', key) == 1 then
        redis.call('HSET', key, field, count .. ' ' .. ends .. ' ' .. string.format('%.0f', said.telling))
    end
end
for name, more in pairs(said.settled) do
    local key = prefix .. ':tenant:' .. name
    local found = redis.call('HMGET', key, 'r', 't', 'at')
    if found[1] then
        redis.call('HSET', key, 'at', now,
            'r', number(level(found[1], found[3], full(more[3])) - more[1]),
            't', number(level(found[2], found[3], full(more[4])) - more[2]))
    end
end
local learnt = {{}}
for place, model in ipairs(said.models) do
    local times = prefix .. ':times:' .. model.name
    for name, growth in pairs(model.growth) do
        if redis.call('HEXISTS', times, 't:' .. name) == 1 then
            redis.call('HINCRBYFLOAT', times, 't:' .. name, number(growth[1]))
        else
            redis.call('HSET', times, 't:' .. name, number(growth[2]))
        end
    end
    if next(model.growth) then
        local latest = math.max(model.now, tonumber(redis.call('HGET', times, 'now') or '0'))
        redis.call('HSET', times, 'now', number(latest))
        redis.call('PEXPIRE', times, 3600000)
    end
    learnt[place] = redis.call('HGETALL', times)
end
local doubts = prefix .. ':doubts'
for name, milliseconds in pairs(said.doubts) do
    redis.call('ZADD', doubts, 'GT', now + milliseconds, name)
    redis.call('PEXPIRE', doubts, 60000)
end
redis.call('ZREMRANGEBYSCORE', doubts, '-inf', now)
local gateways = prefix .. ':gateways'
redis.call('ZADD', gateways, ends, said.gateway)
redis.call('ZREMRANGEBYSCORE', gateways, '-inf', now)
redis.call('PEXPIRE', gateways, said.lease)
local doubted = {{}}
local flat = redis.call('ZRANGE', doubts, 0, -1, 'WITHSCORES')
for i = 1, #flat, 2 do
    doubted[#doubted + 1] = flat[i]
    doubted[#doubted + 1] = number(flat[i + 1] - now)
end
return {{learnt, doubted, redis.call('ZCARD', gateways)}}
"""
_LEAVE = """
redis.call('ZREM', ARGV[1] .. ':gateways', ARGV[2])
for _, name in ipairs(cjson.decode(ARGV[3])) do
    redis.call('HDEL', ARGV[1] .. ':tenant:' .. name, 'c:' .. ARGV[2])
end
if redis.call('ZCARD', ARGV[1] .. ':gateways') == 0 then -- times matter only beside each other
    redis.call('DEL', ARGV[1] .. ':doubts')
    for _, name in ipairs(cjson.decode(ARGV[4])) do redis.call('DEL', ARGV[1] .. ':times:' .. name) end
end
"""


class RedisCommons:
    """While Redis is away each gateway goes on with its part of every tenant's limits, from what was
    left when it was last heard.
    """

    def __init__(self, store: RedisStore, lease: float = LEASE) -> None:
        self._store = store
        self._local = LocalCommons()
        self._lease = int(lease * 1000)  # milliseconds
        self._id = secrets.token_hex(8)
        self._slots = asyncio.Semaphore(store.connections - 1)  # one is the exchange's
        self._telling = itertools.count(1)  # of running requests; what is told later counts
        self._away = False
        self._gateways = 1  # that live, as far as is known
        self._settled: dict[str, list[float]] = {}  # requests, tokens, and their limits
        self._changed: set[str] = set()  # tenants whose running requests are to be told
        self._doubted: set[str] = set()
        self._news = asyncio.Event()
        self._outage = Outage(
            logger,
            away=f"cannot reach Redis at {store.place.shown}, so each gateway counts its part of the "
            "tenants' limits",
            back=f"gateways count together in Redis at {store.place.shown}",
        )

    async def admit(self, tenant: str, quota: Quota, tokens: float) -> Verdict:
        if self._away:
            return await self._alone(tenant, quota, tokens)
        account = self._local.account(tenant)
        before, known = account.running, self._local.left(tenant, quota)
        account.running += 1  # others that ask meanwhile must count it
        try:
            verdict = await self._ask(tenant, quota, tokens, before, known)
        except (UnavailableError, SettingsError) as error:
            account.running -= 1
            self._changed.add(tenant)  # Redis may have counted it all the same
            self._lost(error)
            return await self._alone(tenant, quota, tokens)
        except BaseException:
            account.running -= 1
            self._changed.add(tenant)
            raise
        self._local.learn(tenant, verdict.requests_left, verdict.tokens_left)
        if verdict.bound is not Bound.NONE:
            account.running -= 1
        return verdict

    def settle(self, tenant: str, quota: Quota, requests: float, tokens: float) -> None:
        self._local.settle(tenant, quota, requests, tokens)
        rpm, tpm, _ = numbers(quota)
        self._note_settled(tenant, [requests, tokens, rpm, tpm])
        self._changed.add(tenant)
        self._news.set()

    def doubt(self, instance_id: str) -> None:
        self._local.doubt(instance_id)
        self._doubted.add(instance_id)
        self._news.set()

    def doubts(self, instance_id: str) -> bool:
        return self._local.doubts(instance_id)

    @property
    def any_doubts(self) -> bool:
        return self._local.any_doubts

    async def run(self, times: Mapping[str, FairTimes]) -> None:
        try:
            while True:
                delay = await self._exchange(times)
                if not self._away:
                    await asyncio.sleep(SHORTEST)
                    delay = PERIOD
                try:
                    async with asyncio.timeout(delay):
                        await self._news.wait()
                except TimeoutError:
                    pass
                else:
                    if self._away:
                        await asyncio.sleep(delay)
        finally:
            await self._leave(times)

    async def _alone(self, tenant: str, quota: Quota, tokens: float) -> Verdict:
        return await self._local.admit(tenant, quota.shared_by(self._gateways), tokens)

    async def _ask(
        self, tenant: str, quota: Quota, tokens: float, before: int, known: tuple[float, float]
    ) -> Verdict:
        key = self._store.place.key(f"tenant:{tenant}")
        words = (
            *(self._id, self._lease, before, *numbers(quota)),
            *(tokens, *known, next(self._telling)),
        )
        async with self._slots:
            if self._away:  # it was lost while this one waited
                raise UnavailableError("Redis is away")
            bound, *rest = await self._store.script(_ADMIT, (key,), words, ANSWER)
        wait, requests, left = map(float, rest)
        return Verdict(Bound(bound), wait, requests, left)

    async def _exchange(self, times: Mapping[str, FairTimes]) -> float:
        """Seconds until the next."""
        self._news.clear()
        growth = {model: own.unsent() for model, own in times.items()}
        settled, doubted = self._settled, self._doubted
        changed, self._changed = self._changed, set()
        self._settled, self._doubted = {}, set()
        said = {
            "prefix": self._store.place.prefix,
            "gateway": self._id,
            "lease": self._lease,
            "telling": next(self._telling),
            "running": {t: self._local.account(t).running for t in changed},
            "settled": settled,
            "models": [
                {
                    "name": model,
                    "growth": {t: [more, own.time_of(t)] for t, more in growth[model].items()},
                    "now": own.now,
                }
                for model, own in times.items()
            ],
            "doubts": {name: int(DOUBTED_FOR * 1000) for name in doubted},
        }
        try:
            heard = await self._store.script(_EXCHANGE, (), (json.dumps(said),))
        except (UnavailableError, SettingsError) as error:
            for model, own in times.items():
                own.give_back(growth[model])
            for tenant, told in settled.items():
                self._note_settled(tenant, told)
            self._changed |= changed
            self._doubted |= doubted
            return self._lost(error)
        self._away = False
        self._outage.over()
        self._hear(times, *heard)
        self._changed |= {t for t in changed if self._local.account(t).running}  # leases go on
        return PERIOD

    def _hear(
        self,
        times: Mapping[str, FairTimes],
        learnt: list[list[bytes]],
        doubted: list[bytes],
        count: int,
    ) -> None:
        for own, flat in zip(times.values(), learnt, strict=True):
            known = dict(zip(flat[::2], map(float, flat[1::2]), strict=True))
            now = known.pop(b"now", 0.0)
            own.learn({name.decode().removeprefix("t:"): t for name, t in known.items()}, now)
        for name, milliseconds in zip(doubted[::2], map(float, doubted[1::2]), strict=True):
            self._local.doubt_for(name.decode(), milliseconds / 1000)
        self._gateways = max(1, count)

    def _note_settled(self, tenant: str, more: list[float]) -> None:
        told = self._settled.setdefault(tenant, [0.0, 0.0, *more[2:]])
        told[:2] = [told[0] + more[0], told[1] + more[1]]

    def _lost(self, error: Exception) -> float:
        self._away = True
        return self._outage.failed(str(error))

    async def _leave(self, models: Iterable[str]) -> None:
        running = json.dumps(self._local.busy())
        words = (self._store.place.prefix, self._id, running, json.dumps([*models]))
        try:
            async with asyncio.timeout(LEAVE):
                await self._store.script(_LEAVE, (), words)
        except (UnavailableError, SettingsError, TimeoutError) as error:
            logger.info("could not take leave in Redis (%s); the lease will end", error)
        finally:
            await self._store.close()
