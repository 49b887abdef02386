"""A TCP data plane through a relay that can fall silent in mid-read without closing anything."""

import asyncio
from dataclasses import replace

from kv_transfer.memory import Memory
from kv_transfer.transports.base import Endpoint
from kv_transfer.transports.tcp_export import TcpExporter
from kv_transfer.transports.tcp_protocol import join_address, split_address


class StallingExporter:
    """Passes everything on until `pass_only` bytes of answers are through; then nothing."""

    def __init__(self, memory: Memory) -> None:
        self._inner = TcpExporter(memory)
        self._target = ("", 0)
        self._server: asyncio.Server | None = None
        self._left: int | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self.stalled = asyncio.Event()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)

    def pass_only(self, num_bytes: int) -> None:
        self._left = num_bytes

    def start(self) -> Endpoint:
        assert self._server is not None
        endpoint = self._inner.start()
        self._target = split_address(endpoint.address)
        port = self._server.sockets[0].getsockname()[1]
        return replace(endpoint, address=join_address("127.0.0.1", port))

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        self._inner.close()

    def _passed(self, data: bytes) -> bytes:
        """What becomes of the bytes of an answer."""
        return data

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        for source, target, counted in [
            (reader, there_writer, False),
            (there_reader, writer, True),
        ]:
            pump = asyncio.create_task(self._pump(source, target, counted))
            self._pumps.add(pump)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, counted: bool
    ) -> None:
        try:
            while data := await source.read(65536):
                if counted:
                    data = self._passed(data)
                if counted and self._left is not None:
                    data, self._left = data[: self._left], max(0, self._left - len(data))
                    if not self._left:
                        self.stalled.set()
                target.write(data)
        finally:
            target.close()
