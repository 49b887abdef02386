"""A TCP connection through a relay that can fall silent without closing anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class SilentRelay:
    """Passes bytes on, both ways, until `silence()`."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._silent = False
        self._pumps: set[asyncio.Task[None]] = set()

    def silence(self) -> None:
        self._silent = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SilentRelay"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._target_port)
        for source, target in ((reader, there[1]), (there[0], writer)):
            self._pumps.add(asyncio.create_task(self._pump(source, target)))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                if not self._silent:
                    target.write(data)
            await asyncio.Event().wait()  # an end is not passed on either
        finally:
            target.close()
