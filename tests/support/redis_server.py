"""A real redis-server on a free port, which keeps nothing on disk."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis

from baton.cluster.reserved_port import reserved_port
from baton.registry.redis_place import RedisPlace
from tests.support.programs import needed

_READY = 20.0  # seconds


class RedisUnderTest:
    """`stop()` and `start()` lose all data, as a Redis without persistence does."""

    def __init__(self, program: str, port: int, folder: Path, *words: str) -> None:
        self.port = port
        self.socket = folder / "redis.sock"
        self._argv = (
            *(program, "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--unixsocket", str(self.socket), "--dir", str(folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", *words),
        )
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def place(self, prefix: str = "baton") -> RedisPlace:
        return RedisPlace(self.url, prefix)

    async def start(self) -> None:
        """Returns once it answers."""
        process = await asyncio.create_subprocess_exec(
            *self._argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        self._process = process
        assert process.stdout is not None
        said = []
        async with asyncio.timeout(_READY):
            async for line in process.stdout:
                said.append(line.decode(errors="replace"))
                if "Ready to accept connections" in said[-1] or "server is now ready" in said[-1]:
                    return
        raise AssertionError(f"redis-server ended: {''.join(said)}")

    async def stop(self) -> None:
        """SIGKILL; returns once it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        await process.stdout.read()
        await process.wait()

    def hang(self) -> None:
        """It keeps its connections, takes new ones, and answers nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        async with Redis.from_url(self.url, protocol=2) as client:
            yield client

    async def keys(self) -> list[str]:
        async with self.client() as client:
            return sorted(
                str(key, "ascii") for key in await client.keys("*") if isinstance(key, bytes)
            )


@asynccontextmanager
async def redis_under_test(folder: Path, *words: str) -> AsyncIterator[RedisUnderTest]:
    """`words`: more of its command line."""
    program = needed("redis-server", "redis-server")
    with reserved_port("127.0.0.1") as port:
        redis = RedisUnderTest(program, port, folder, *words)
        await redis.start()
        try:
            yield redis
        finally:
            await redis.stop()
