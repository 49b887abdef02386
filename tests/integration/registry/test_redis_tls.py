"""rediss://: what travels to Redis is encrypted, and a Redis that nobody vouches for hears nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from baton.core.errors import UnavailableError
from baton.registry.redis_place import RedisPlace
from baton.registry.redis_store import RedisStore
from tests.support.certificates import Authority, Certificate, make_authority


class FakeTlsRedis:
    """Hears the first words of each client, then hangs up."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.port = 0

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.read(64))
        writer.close()

    @asynccontextmanager
    async def serving(self, shown: Certificate) -> AsyncIterator["FakeTlsRedis"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(shown.cert, shown.key)
        async with await asyncio.start_server(self.welcome, "127.0.0.1", 0, ssl=context) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self


async def asked(redis: FakeTlsRedis, authority: Authority) -> str:
    """What the store says."""
    place = RedisPlace(f"rediss://:sesame@127.0.0.1:{redis.port}?ssl_ca_certs={authority.cert}")
    place.check()
    store = RedisStore(place, "test")
    try:
        with pytest.raises(UnavailableError) as caught:
            await store.records()
    finally:
        await store.close()
    return str(caught.value)


async def test_the_password_goes_through_tls_to_whom_the_authority_vouches_for(
    tmp_path: Path,
) -> None:
    ours = make_authority(tmp_path / "ours")
    async with FakeTlsRedis().serving(ours.issue("redis")) as redis:
        await asked(redis, ours)
        assert b"AUTH" in redis.heard[0]  # under the encryption


async def test_a_redis_of_another_authority_hears_nothing(tmp_path: Path) -> None:
    ours = make_authority(tmp_path / "ours")
    theirs = make_authority(tmp_path / "theirs", "theirs")
    async with FakeTlsRedis().serving(theirs.issue("redis")) as redis:
        assert "CERTIFICATE_VERIFY_FAILED" in await asked(redis, ours)
        assert not any(redis.heard)
