"""Tenants of Redis as a gateway takes them, of a source that is told what to say."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from baton.core.errors import SettingsError
from baton.registry.quota import Quota
from baton.registry.redis_roster import Records, RedisRoster
from baton.registry.redis_settings import RedisSettings
from gateway.settings import GatewaySettings
from gateway.tenants.entry import read_entry
from gateway.tenants.roster import Roster
from gateway.tenants.shared_tenants import SharedTenants, UnusableRecord, read_record, written
from gateway.tenants.tenant import Known, Tenant


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def record(name: str, *keys: str, **fields: Any) -> bytes:
    return json.dumps({"name": name, "key_sha256": [*map(digest, keys)], **fields}).encode()


class FakeSource(RedisRoster):
    def __init__(self) -> None:
        self.trouble: str | None = "not yet"
        self.began = asyncio.Event()
        self.say: Callable[[Records], None] = lambda _: None

    async def run(self, take: Callable[[Records], None]) -> None:
        self.say = take
        self.trouble = None
        self.began.set()


async def roster(source: FakeSource) -> Roster:
    found = Roster([], shared=SharedTenants(source))
    assert found
    assert found.trouble == "not yet"
    await found.run()
    await found.began()
    assert found.trouble is None
    return found


async def test_whoever_shows_a_key_is_who_the_record_says() -> None:
    source = FakeSource()
    found = await roster(source)
    source.say({"a": record("a", "one", "two", weight=3, tokens_per_minute=50)})
    a = Known(Tenant("a", 3.0, Quota(tokens_per_minute=50)), "tenant:a")
    assert found.find(b"one") == found.find(b"two") == a
    assert found.find(b"three") is None
    source.say({"a": record("a", "one"), "b": record("b", "two")})
    assert found.find(b"two") == Known(Tenant("b"), "tenant:b")
    source.say({})
    assert found.find(b"one") is None


async def test_what_cannot_be_used_changes_nothing_and_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = FakeSource()
    found = await roster(source)
    good = {"a": record("a", "one"), "b": record("b", "two")}
    source.say(good)
    for wrong in (b"{", record("a", "one", weight=-1), record("c", "one"), record("a", "two")):
        for _ in range(2):
            source.say({**good, "a": None})  # not believed
            source.say({**good, "a": wrong})
        assert found.find(b"one") == Known(Tenant("a"), "tenant:a")
        assert found.find(b"two") == Known(Tenant("b"), "tenant:b")
    source.say({**good, "c": record("c", "two", "four")})
    assert found.find(b"four") is None
    told = [r.getMessage() for r in caplog.records if "stays as it was" in r.getMessage()]
    assert told[:3] == [
        "tenant 'a' in Redis stays as it was: it is no JSON",
        "tenant 'a' in Redis stays as it was: tenant.weight must be a positive number",
        "tenant 'a' in Redis stays as it was: it describes 'c'",
    ]
    taken = "stays as it was: tenant.key_sha256[0] is a key that stands there before"
    assert told[3:] == [f"tenant 'a' in Redis {taken}", f"tenant 'c' in Redis {taken}"]


def test_no_key_is_written_and_none_is_read() -> None:
    said = {"name": "a", "keys": ["secret"], "weight": 2, "concurrent_requests": 3}
    entry = read_entry(said, "tenants[0]")
    body = written(entry)
    assert b"secret" not in body
    assert digest("secret").encode() in body
    assert read_record("a", body) == entry
    with pytest.raises(UnusableRecord, match="only `key_sha256`"):
        read_record("a", json.dumps(said).encode())


@pytest.mark.parametrize(
    ("file", "url", "told"),
    [("f", "redis://h", "--tenants-file contradict"), ("", "", "needs --redis-url")],
)
def test_what_contradicts_it_stops_the_start(file: str, url: str, told: str) -> None:
    settings = GatewaySettings(
        model="m", tenants_in_redis=True, tenants_file=file, redis=RedisSettings(url)
    )
    with pytest.raises(SettingsError, match=told):
        settings.check()
